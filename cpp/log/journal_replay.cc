#include "log/journal_replay.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "base/big_endian.h"
#include "base/crc32c.h"
#include "base/probe.h"
#include "io/disk.h"
#include "log/commit_journal.h"
#include "log/file_name.h"

namespace pabal::log {
namespace {

constexpr std::uint64_t largest_segment_bytes = INT32_MAX;

std::string path_in(const std::string& log_directory) {
    return log_directory + '/' + std::string(journal_file);
}

struct FrameHeader {
    std::uint32_t checksum = 0;
    std::uint32_t bytes = 0;
    std::uint64_t sequence = 0;
    std::uint64_t tail = 0;
    std::uint32_t entries = 0;
};

struct FramePlace {
    std::uint64_t position = 0;
    FrameHeader header;
};

// One entry as it stands in a frame's memory.
struct ReadEntry {
    JournalEntry::Kind kind;
    TopicPartition partition;
    std::string name;
    Offset segment_base;
    std::int64_t position;
    Offset end;
    ByteView batches;
};

// Takes numbers and bytes from a frame; `good` is false once something was missing.
class Glance {
public:
    explicit Glance(ByteView bytes) : rest_(bytes) {}

    template <class Integer>
    Integer number() {
        const ByteView bytes = take(sizeof(Integer));
        return bytes.size() == sizeof(Integer) ? load_big_endian<Integer>(bytes.data()) : Integer{};
    }
    Uuid uuid() {
        Uuid value;
        const ByteView bytes = take(value.bytes.size());
        if (!bytes.empty()) std::memcpy(value.bytes.data(), bytes.data(), bytes.size());
        return value;
    }
    ByteView take(std::size_t count) {
        if (count > rest_.size()) {
            good_ = false;
            return {};
        }
        const ByteView taken = rest_.first(count);
        rest_ = rest_.subspan(count);
        return taken;
    }
    bool good() const { return good_; }

private:
    ByteView rest_;
    bool good_ = true;
};

// A place in the order of all entries.
struct Order {
    std::uint64_t sequence = 0;
    std::uint32_t entry = 0;

    auto operator<=>(const Order&) const = default;
};

class Replay {
public:
    Replay(io::Disk& disk, const std::string& log_directory, const SyncedUpTo& synced)
        : disk_(disk), log_directory_(log_directory), synced_(synced) {}

    IoStatus run(DirectoryId id);
    const JournalReplay& result() const { return result_; }

private:
    struct Segment {
        std::shared_ptr<io::File> file;  // Null if there is none and none may be made.
        std::uint64_t size = 0;
        bool touched = false;
    };
    struct Target {
        bool looked = false;
        bool present = false;
        bool touched = false;
        std::string path;
        Offset synced_up_to{0};
        std::optional<Offset> lowest_base;
        std::optional<Order> reset;  // Nothing up to there counts.
        std::map<Offset, Segment> segments;
    };

    IoStatus find_frames();
    IoResult<bool> read_frame(std::uint64_t position, std::vector<std::uint8_t>& frame,
                              FrameHeader& header) const;
    IoStatus choose_live();
    IoStatus each_entry(const std::function<IoStatus(Order, const ReadEntry&)>& visit);
    IoStatus look(Target& target, const ReadEntry& entry);
    IoStatus apply(Order order, const ReadEntry& entry);
    IoResult<Segment*> segment(Target& target, const ReadEntry& entry);
    IoStatus sync_all();
    IoError damaged(const std::string& what) const;

    io::Disk& disk_;
    const std::string& log_directory_;
    const SyncedUpTo& synced_;
    std::shared_ptr<io::File> file_;
    std::uint64_t size_ = 0;
    Uuid journal_id_;
    std::map<std::uint64_t, FramePlace> frames_;  // By sequence.
    std::map<TopicPartition, Target> targets_;
    JournalReplay result_;
};

IoError Replay::damaged(const std::string& what) const {
    return IoError{0, path_in(log_directory_) + " is damaged: " + what +
                          ". Records that were acknowledged may be in it alone; restore the file, "
                          "or remove it to give them up"};
}

IoStatus Replay::run(DirectoryId id) {
    PABAL_TRY_ASSIGN(file_, disk_.open(path_in(log_directory_), io::OpenMode::read_only));
    PABAL_TRY_ASSIGN(size_, file_->size());
    std::vector<std::uint8_t> block(journal_block_bytes);
    PABAL_TRY_ASSIGN(const std::size_t read, file_->read(0, {block.data(), block.size()}));
    const auto header = parse_journal_header(ByteView(block).first(read));
    // Its header is durable before anything is appended: where there is none, nothing was.
    if (!header) return {};
    if (header->directory != id) {
        return IoError{0, path_in(log_directory_) + " belongs to another log directory, " +
                              header->directory.value().text() + ", and not to " +
                              id.value().text() +
                              "; if this is a copy of that directory, remove the file"};
    }
    journal_id_ = header->id;
    PABAL_TRY(find_frames());
    if (frames_.empty()) return {};
    PABAL_TRY(choose_live());
    PABAL_TRY(each_entry([this](Order order, const ReadEntry& entry) -> IoStatus {
        if (entry.kind == JournalEntry::Kind::reset) targets_[entry.partition].reset = order;
        return {};
    }));
    PABAL_TRY(
        each_entry([this](Order order, const ReadEntry& entry) { return apply(order, entry); }));
    return sync_all();
}

// True if a whole frame of this journal stands there.
IoResult<bool> Replay::read_frame(std::uint64_t position, std::vector<std::uint8_t>& frame,
                                  FrameHeader& header) const {
    frame.resize(frame_header_bytes);
    PABAL_TRY_ASSIGN(const std::size_t read,
                     file_->read(position, {frame.data(), frame_header_bytes}));
    if (read < frame_header_bytes) return false;
    Glance glance(frame);
    if (glance.number<std::uint64_t>() != frame_magic) return false;
    header.checksum = glance.number<std::uint32_t>();
    header.bytes = glance.number<std::uint32_t>();
    if (glance.uuid() != journal_id_) return false;
    header.sequence = glance.number<std::uint64_t>();
    header.tail = glance.number<std::uint64_t>();
    header.entries = glance.number<std::uint32_t>();
    if (header.bytes < frame_header_bytes || header.bytes > size_ - position) return false;
    frame.resize(header.bytes);
    PABAL_TRY_ASSIGN(const std::size_t whole, file_->read(position, {frame.data(), frame.size()}));
    if (whole < frame.size()) return false;
    return crc32c(ByteView(frame).subspan(12)) == header.checksum;
}

IoStatus Replay::find_frames() {
    std::vector<std::uint8_t> frame;
    for (std::uint64_t at = journal_block_bytes; at + frame_header_bytes <= size_;) {
        FrameHeader header;
        PABAL_TRY_ASSIGN(const bool whole, read_frame(at, frame, header));
        if (whole) frames_[header.sequence] = {at, header};
        const std::uint64_t bytes = whole ? header.bytes : 1;
        at += (bytes + journal_block_bytes - 1) / journal_block_bytes * journal_block_bytes;
    }
    return {};
}

IoStatus Replay::choose_live() {
    const std::uint64_t newest = frames_.rbegin()->first;
    const std::uint64_t tail = frames_.rbegin()->second.header.tail;
    frames_.erase(frames_.begin(), frames_.lower_bound(tail));
    for (std::uint64_t expected = tail; const auto& [sequence, place] : frames_) {
        if (sequence != expected++) {
            return damaged("frame " + std::to_string(expected - 1) + " is missing, but frame " +
                           std::to_string(newest) + " was written after it had been synced");
        }
    }
    result_.frames = frames_.size();
    return {};
}

IoStatus Replay::each_entry(const std::function<IoStatus(Order, const ReadEntry&)>& visit) {
    std::vector<std::uint8_t> frame;
    for (const auto& [sequence, place] : frames_) {
        FrameHeader header;
        PABAL_TRY_ASSIGN(const bool whole, read_frame(place.position, frame, header));
        if (!whole) return damaged("frame " + std::to_string(sequence) + " changed while read");
        Glance glance(ByteView(frame).subspan(frame_header_bytes));
        for (std::uint32_t index = 0; index < header.entries; ++index) {
            ReadEntry entry{};
            entry.kind = static_cast<JournalEntry::Kind>(glance.number<std::uint8_t>());
            entry.partition.topic = TopicId(glance.uuid());
            entry.partition.partition = PartitionIndex(glance.number<std::int32_t>());
            entry.segment_base = Offset(glance.number<std::int64_t>());
            entry.position = glance.number<std::int64_t>();
            (void)glance.number<std::int64_t>();  // Where the log ended before.
            entry.end = Offset(glance.number<std::int64_t>());
            const auto name_bytes = glance.number<std::uint16_t>();
            const auto batch_bytes = glance.number<std::uint32_t>();
            entry.name = as_text(glance.take(name_bytes));
            entry.batches = glance.take(batch_bytes);
            if (!glance.good() || entry.position < 0) {
                return damaged("frame " + std::to_string(sequence) +
                               " was written by a version of pabal that this one cannot read");
            }
            PABAL_TRY(visit({sequence, index}, entry));
        }
    }
    return {};
}

IoStatus Replay::look(Target& target, const ReadEntry& entry) {
    if (target.looked) return {};
    target.looked = true;
    const auto synced = synced_(entry.partition, entry.name);
    if (!synced) return {};
    target.path = log_directory_ + '/' + entry.name;
    PABAL_TRY_ASSIGN(const auto files, disk_.list(target.path));
    for (const auto& file : files) {
        const auto base = base_offset_of(file.name, log_suffix);
        if (base && (!target.lowest_base || *base < *target.lowest_base))
            target.lowest_base = *base;
    }
    target.synced_up_to = *synced;
    target.present = true;
    return {};
}

IoResult<Replay::Segment*> Replay::segment(Target& target, const ReadEntry& entry) {
    const auto [found, fresh] = target.segments.try_emplace(entry.segment_base);
    Segment& segment = found->second;
    if (!fresh) return &segment;
    const std::string path = file_path(target.path, entry.segment_base, log_suffix);
    PABAL_TRY_ASSIGN(const bool exists, disk_.exists(path));
    // What stood before in a segment that is not there was synced once: somebody deleted it.
    if (!exists && entry.position > 0) return &segment;
    PABAL_TRY_ASSIGN(segment.file, disk_.open(path, io::OpenMode::create));
    PABAL_TRY_ASSIGN(segment.size, segment.file->size());
    return &segment;
}

IoStatus Replay::apply(Order order, const ReadEntry& entry) {
    if (entry.kind != JournalEntry::Kind::batches) return {};
    ++result_.entries;
    Target& target = targets_[entry.partition];
    PABAL_TRY(look(target, entry));
    if (!target.present || (target.reset && order <= *target.reset)) return {};
    if (entry.end <= target.synced_up_to) return {};
    // Retention deletes from the front; what it deleted does not come back.
    if (target.lowest_base && entry.segment_base < *target.lowest_base) return {};
    const auto position = static_cast<std::uint64_t>(entry.position);
    if (position + entry.batches.size() > largest_segment_bytes)
        return damaged("an entry lies behind the end of any segment");
    PABAL_TRY_ASSIGN(Segment* const segment, this->segment(target, entry));
    // What stood before it was promised to nobody, and is lost.
    if (!segment->file || segment->size < position) return {};
    PABAL_TRY(segment->file->write(position, {&entry.batches, 1}));
    segment->size = std::max(segment->size, position + entry.batches.size());
    segment->touched = true;
    target.touched = true;
    result_.bytes += entry.batches.size();
    return {};
}

IoStatus Replay::sync_all() {
    for (const auto& [partition, target] : targets_) {
        if (!target.touched) continue;
        ++result_.partitions;
        for (const auto& [base, segment] : target.segments) {
            if (segment.touched) PABAL_TRY(segment.file->sync());
        }
        PABAL_TRY(disk_.sync_directory(target.path));
    }
    return {};
}

}  // namespace

IoResult<JournalReplay> replay_journal(io::Disk& disk, const std::string& log_directory,
                                       DirectoryId id, const SyncedUpTo& synced) {
    REACHED("journal-is-replayed");
    Replay replay(disk, log_directory, synced);
    if (!SABOTAGED("journal-is-not-replayed")) PABAL_TRY(replay.run(id));
    PABAL_TRY(remove_journal(disk, log_directory));
    return replay.result();
}

IoStatus remove_journal(io::Disk& disk, const std::string& log_directory) {
    PABAL_TRY(disk.remove(path_in(log_directory)));
    return disk.sync_directory(log_directory);
}

}  // namespace pabal::log
