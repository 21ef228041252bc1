#include "log/commit_journal.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/big_endian.h"
#include "base/crc32c.h"
#include "base/probe.h"
#include "io/disk.h"

namespace pabal::log {
namespace {

constexpr std::uint64_t largest_step = 1 << 20;
constexpr std::uint64_t largest_frame = 16 << 20;
constexpr std::size_t checksum_position = 8;
constexpr std::size_t checked_position = 12;  // Everything from here on is in the checksum.
constexpr std::array<std::uint8_t, 64 * 1024> zeros{};

std::uint64_t in_blocks(std::uint64_t bytes) {
    return (bytes + journal_block_bytes - 1) / journal_block_bytes * journal_block_bytes;
}

// Appends big-endian numbers and bytes to memory that is large enough.
class Pen {
public:
    explicit Pen(std::uint8_t* at) : at_(at) {}

    template <class Integer>
    void number(Integer value) {
        store_big_endian(at_, value);
        at_ += sizeof value;
    }
    void uuid(const Uuid& value) {
        std::memcpy(at_, value.bytes.data(), value.bytes.size());
        at_ += value.bytes.size();
    }
    void text(std::string_view value) {
        std::memcpy(at_, value.data(), value.size());
        at_ += value.size();
    }
    const std::uint8_t* at() const { return at_; }

private:
    std::uint8_t* at_;
};

}  // namespace

Bytes encode_journal_header(const JournalHeader& header) {
    Buffer block(journal_block_bytes);
    std::memset(block.data(), 0, block.size());
    Pen pen(block.data());
    pen.number(journal_magic);
    pen.number(std::uint32_t{0});
    pen.uuid(header.directory.value());
    pen.uuid(header.id);
    store_big_endian(block.data() + checksum_position,
                     crc32c(ByteView(block.data(), block.size()).subspan(checked_position)));
    return Bytes(std::move(block));
}

std::optional<JournalHeader> parse_journal_header(ByteView block) {
    if (block.size() < journal_block_bytes) return std::nullopt;
    block = block.first(journal_block_bytes);
    if (load_big_endian<std::uint64_t>(block.data()) != journal_magic) return std::nullopt;
    const auto checksum = load_big_endian<std::uint32_t>(block.data() + checksum_position);
    if (crc32c(block.subspan(checked_position)) != checksum) return std::nullopt;
    JournalHeader header;
    Uuid directory;
    const std::uint8_t* at = block.data() + checked_position;
    std::memcpy(directory.bytes.data(), at, directory.bytes.size());
    std::memcpy(header.id.bytes.data(), at + directory.bytes.size(), header.id.bytes.size());
    header.directory = DirectoryId(directory);
    return header;
}

CommitJournal::CommitJournal(io::Disk* disk, Options options)
    : disk_(disk),
      options_(std::move(options)),
      capacity_(std::max(options_.capacity_bytes, least_journal_bytes) / journal_block_bytes *
                journal_block_bytes),
      most_bytes_(std::min(largest_frame, (capacity_ - journal_block_bytes) / 4) -
                  frame_header_bytes),
      step_bytes_(std::min(largest_step, in_blocks(capacity_ / 8))) {}

IoStatus CommitJournal::create() {
    const std::string path = options_.directory + '/' + std::string(journal_file);
    PABAL_TRY_ASSIGN(auto file, disk_->open(path, io::OpenMode::create));
    PABAL_TRY(file->truncate(0));
    const Bytes header = encode_journal_header({options_.directory_id, options_.id});
    const ByteView piece = header.view();
    if (auto written = file->write(0, {&piece, 1}); !written.ok()) {
        (void)file->truncate(0);
        return written;
    }
    PABAL_TRY(file->sync());
    PABAL_TRY(disk_->sync_directory(options_.directory));
    file_ = std::move(file);
    return {};
}

// Where a frame of so many bytes would begin behind `head`, while what begins at `oldest` must
// stay. Nothing if there is no such place.
std::optional<std::uint64_t> CommitJournal::place_for(std::uint64_t bytes, std::uint64_t head,
                                                      std::optional<std::uint64_t> oldest) const {
    if (oldest && head <= *oldest) {
        // It is full where they meet.
        return head + bytes <= *oldest ? std::optional(head) : std::nullopt;
    }
    if (head + bytes <= capacity_) return head;
    const std::uint64_t end = oldest.value_or(capacity_);
    return journal_block_bytes + bytes <= end ? std::optional(journal_block_bytes) : std::nullopt;
}

bool CommitJournal::fits(std::uint64_t entry_bytes) const {
    const std::uint64_t bytes = in_blocks(frame_header_bytes + entry_bytes);
    const auto oldest = live_.empty() ? std::nullopt : std::optional(live_.front().position);
    const auto place = place_for(bytes, head_, oldest);
    if (!place || entry_bytes == 0) return place.has_value();
    return place_for(journal_block_bytes, *place + bytes, oldest.value_or(*place)).has_value();
}

IoStatus CommitJournal::append(std::span<const JournalEntry* const> entries, std::uint64_t tail) {
    std::size_t described = frame_header_bytes;
    std::uint64_t total = frame_header_bytes;
    for (const auto* entry : entries) {
        described += entry_header_bytes + entry->directory->size();
        total += entry->size();
    }
    std::vector<std::uint8_t> descriptions(described);
    std::vector<ByteView> pieces;
    pieces.reserve(3 * entries.size() + 2);
    Pen pen(descriptions.data());
    pen.number(frame_magic);
    pen.number(std::uint32_t{0});
    pen.number(static_cast<std::uint32_t>(total));
    pen.uuid(options_.id);
    pen.number(next_sequence_);
    pen.number(tail);
    pen.number(static_cast<std::uint32_t>(entries.size()));
    const std::uint8_t* begin = descriptions.data();
    for (const auto* entry : entries) {
        pen.number(static_cast<std::uint8_t>(entry->kind));
        pen.uuid(entry->partition.topic.value());
        pen.number(entry->partition.partition.value());
        pen.number(entry->segment_base.value());
        pen.number(entry->position);
        pen.number(entry->from.value());
        pen.number(entry->end.value());
        pen.number(static_cast<std::uint16_t>(entry->directory->size()));
        pen.number(static_cast<std::uint32_t>(entry->head.size() + entry->body.size()));
        pen.text(*entry->directory);
        if (entry->head.empty() && entry->body.empty()) continue;
        pieces.emplace_back(begin, pen.at());
        begin = pen.at();
        pieces.push_back(entry->head);
        pieces.push_back(entry->body);
    }
    if (begin != pen.at()) pieces.emplace_back(begin, pen.at());
    std::uint32_t checksum = crc32c(pieces.front().subspan(checked_position));
    for (std::size_t i = 1; i < pieces.size(); ++i) checksum = crc32c(checksum, pieces[i]);
    store_big_endian(descriptions.data() + checksum_position, checksum);

    const std::uint64_t bytes = in_blocks(total);
    if (bytes > total) pieces.push_back(ByteView(zeros).first(bytes - total));
    const auto oldest = live_.empty() ? std::nullopt : std::optional(live_.front().position);
    const auto place = place_for(bytes, head_, oldest);
    ASSERT(place, "what is appended to the journal fits");
    if (*place < head_) REACHED("journal-wraps");
    auto written = file_->write(*place, pieces);
    if (written.ok()) written = write_ahead(*place + bytes);
    if (!written.ok()) {
        // The last room of a full disk is for segments.
        (void)file_->truncate(written_);
        return written;
    }
    live_.push_back({next_sequence_++, *place, bytes});
    used_ += bytes;
    head_ = *place + bytes;
    appended_tail_ = tail;
    return {};
}

// The sync that follows writes zeros behind the frame, too, so that those to come find their
// blocks in place.
IoStatus CommitJournal::write_ahead(std::uint64_t end) {
    if (end <= written_) return {};
    const std::uint64_t ahead = std::min(
        capacity_, (end + step_bytes_ - 1) / step_bytes_ * step_bytes_ + journal_block_bytes);
    std::vector<ByteView> pieces;
    for (std::uint64_t at = end; at < ahead; at += pieces.back().size())
        pieces.push_back(ByteView(zeros).first(std::min<std::uint64_t>(zeros.size(), ahead - at)));
    if (!pieces.empty()) PABAL_TRY(file_->write(end, pieces));
    written_ = std::max(end, ahead);
    return {};
}

IoStatus CommitJournal::sync() {
    if (!SABOTAGED("journal-is-not-synced")) PABAL_TRY(file_->sync());
    synced_tail_ = appended_tail_;
    while (!live_.empty() && live_.front().sequence < synced_tail_) {
        used_ -= live_.front().bytes;
        live_.pop_front();
    }
    return {};
}

}  // namespace pabal::log
