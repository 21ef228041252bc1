// The commit journal of one log directory: the batches of all partitions whose acknowledgements
// promise a synced disk, a second time, so that one sync of one file serves whatever waits. A ring
// of frames in the file `pabal-journal`, each of which holds what waited together; blocks are
// written before they are needed and used again and again, because a sync of such blocks is the
// cheapest there is. Owned by the runtime's JournalWriter: `create`, `append` and `sync` block and
// happen on the disk pool, one call at a time, the rest between them on the shard. What a crash
// leaves is read by journal_replay.
//
// The file: a block that names the log directory, then frames, each at a boundary of 4096 bytes so
// that no write touches what an earlier one made durable:
//
//   header  magic 8, checksum 4 of all that follows, bytes 4, journal id 16, sequence 8, tail 8,
//           entries 4
//   entry   kind 1, topic id 16, partition 4, segment's base offset 8, position in its `.log` 8,
//           where the log ended before 8 and after 8, length of the name 2, of the batches 4; the
//           name of the partition's directory; the batches as they stand in the `.log`
//
// Frames are numbered in the order of writing and synced one by one. `tail` is the oldest frame
// that is still needed: of those before it the segments are synced. A frame is written over only
// when a synced one says that it is not needed any more, so every frame from the newest one's tail
// on is whole, or the disk has lost what it synced.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/uuid.h"

namespace pabal::io {
class Disk;
class File;
}  // namespace pabal::io

namespace pabal::log {

inline constexpr std::string_view journal_file = "pabal-journal";
inline constexpr std::uint64_t journal_block_bytes = 4096;
inline constexpr std::uint64_t least_journal_bytes = 16 * journal_block_bytes;
inline constexpr std::uint64_t journal_magic = 0x7061'6261'6C20'6A31;  // "pabal j1"
inline constexpr std::uint64_t frame_magic = 0x7061'6261'6C20'6631;    // "pabal f1"
inline constexpr std::size_t frame_header_bytes = 52;
inline constexpr std::size_t entry_header_bytes = 59;

struct JournalEntry {
    enum class Kind : std::uint8_t {
        batches = 1,
        // Nothing that came before for this partition is to be replayed: its segments are synced,
        // and what follows may stand where something else stood.
        reset = 2,
    };
    Kind kind = Kind::batches;
    TopicPartition partition;
    std::shared_ptr<const std::string> directory;  // The name of the partition's directory.
    // Of batches: where they stand.
    Offset segment_base{0};
    std::int64_t position = 0;
    Offset from{0};  // Where the log ended before.
    Offset end{0};
    Bytes head;  // Their bytes are these two, one after the other.
    Bytes body;

    std::uint64_t size() const {
        return entry_header_bytes + directory->size() + head.size() + body.size();
    }
};

class CommitJournal {
public:
    struct Options {
        std::string directory;  // The path of the log directory.
        DirectoryId directory_id;
        Uuid id;  // Of this journal, known to nobody else: no record can look like a frame.
        std::uint64_t capacity_bytes = 64 << 20;
    };
    // Touches no disk. `disk` outlives this object.
    CommitJournal(io::Disk* disk, Options options);

    // What all entries of one frame may have, and so the most that a single one may.
    std::uint64_t most_bytes() const { return most_bytes_; }
    std::uint64_t capacity_bytes() const { return capacity_; }
    // Whether a frame with entries of so many bytes can be written now, and after it one without
    // any, which can always be written once more: to say that others are not needed.
    bool fits(std::uint64_t entry_bytes) const;
    std::uint64_t used_bytes() const { return used_; }
    // As the newest synced frame says.
    std::uint64_t synced_tail() const { return synced_tail_; }
    // Of the frame that is appended next; the first is 1.
    std::uint64_t next_sequence() const { return next_sequence_; }

    bool created() const { return file_ != nullptr; }
    // Makes the file, empty and durable.
    IoStatus create();
    // Writes one frame, which must fit. After an error nothing may be appended any more.
    IoStatus append(std::span<const JournalEntry* const> entries, std::uint64_t tail);
    // What was appended survives a loss of power.
    IoStatus sync();

private:
    struct Frame {
        std::uint64_t sequence;
        std::uint64_t position;
        std::uint64_t bytes;
    };
    std::optional<std::uint64_t> place_for(std::uint64_t bytes, std::uint64_t head,
                                           std::optional<std::uint64_t> oldest) const;
    IoStatus write_ahead(std::uint64_t end);

    io::Disk* disk_;
    Options options_;
    std::uint64_t capacity_;
    std::uint64_t most_bytes_;
    std::uint64_t step_bytes_;  // The file grows by so much at a time.
    std::shared_ptr<io::File> file_;
    std::deque<Frame> live_;  // Ascending; those that may not be written over.
    std::uint64_t head_ = journal_block_bytes;
    std::uint64_t written_ = journal_block_bytes;  // Below, every block was written once.
    std::uint64_t used_ = 0;                       // By the live frames.
    std::uint64_t next_sequence_ = 1;
    std::uint64_t appended_tail_ = 1;
    std::uint64_t synced_tail_ = 1;
};

// The block at the file's beginning.
struct JournalHeader {
    DirectoryId directory;
    Uuid id;
};
Bytes encode_journal_header(const JournalHeader& header);
// Nothing if the block is none.
std::optional<JournalHeader> parse_journal_header(ByteView block);

}  // namespace pabal::log
