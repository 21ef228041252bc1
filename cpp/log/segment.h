// One segment of a partition's log: the `.log` file and its indexes. Owned by the log, used on its
// shard. Knows how far it is written; finds batches by offset, position and time; keeps the places
// of the newest batches in memory, so that a consumer at the end costs no look-up on the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "log/offset_index.h"
#include "log/time_index.h"
#include "log/transaction_index.h"
#include "record/record_batch.h"

namespace pabal::io {
class Disk;
class File;
}  // namespace pabal::io

namespace pabal::log {

struct LogConfig;

// Sizes as the directory lists them.
struct SegmentFiles {
    std::int64_t log = -1;  // -1 where there is no `.log`.
    std::int64_t offset_index = 0;
    std::int64_t time_index = 0;
    std::int64_t transaction_index = 0;
};

// What the segment must know of a batch, besides its bytes.
struct BatchPlace {
    Offset base_offset;
    Offset last_offset;
    std::int64_t max_timestamp = -1;
    std::int64_t position = 0;
    std::int64_t size = 0;
};

class Segment {
public:
    // `directory` outlives the segment and may change when it is renamed.
    Segment(io::Disk& disk, const std::string& directory, Offset base, SegmentFiles files,
            std::int32_t index_interval_bytes, WallTime created);
    ~Segment();

    Offset base() const { return base_; }
    std::int64_t size() const { return size_; }
    IoResult<std::shared_ptr<io::File>> file() const;
    // Without opening anything; null if it was not used yet.
    const std::shared_ptr<io::File>& open_file() const { return file_; }

    // Whether a batch of `bytes`, ending at `last_offset`, belongs into a new segment (KIP-32: by
    // its timestamp, not by the clock).
    IoResult<bool> must_roll(std::int64_t bytes, Offset last_offset, std::int64_t max_timestamp,
                             const LogConfig& config, WallTime now);
    // Offsets of a segment fit 31 bits beside its base.
    bool can_hold(Offset offset) const { return offset >= base_ && offset - base_ <= INT32_MAX; }

    // Makes the `.log` stand although it is empty: its name says where the log begins.
    IoStatus create_file();
    // Writes at the end. After an error the file is as long as before, or `usable` is false.
    IoStatus write(std::span<const ByteView> pieces, std::int64_t bytes);
    // The batch was written: lengthens the segment, adds index entries.
    void appended(const BatchPlace& batch);
    bool usable() const { return usable_; }

    // The first batch that ends at or after `offset`; nothing if there is none.
    IoResult<std::optional<BatchPlace>> find(Offset offset) const;
    // Position of the first batch that ends at or after `offset`, or the end.
    IoResult<std::int64_t> position_of(Offset offset) const;
    // The last boundary of batches at or below `position`.
    IoResult<std::int64_t> boundary_at_or_below(std::int64_t position) const;
    // Where the last batch that the offset index knows starts: what follows is found by scanning.
    IoResult<std::int64_t> last_indexed_position() const;

    // The largest timestamp and the last offset of the first batch that has it; -1 if empty.
    IoResult<TimestampOffset> max_timestamp() const;
    // Start of the batches that may hold `timestamp` or a later one: none before does.
    IoResult<std::int64_t> position_before_timestamp(std::int64_t timestamp) const;
    // Spares a read of the file.
    void know_max_timestamp(TimestampOffset known) { max_timestamp_ = known; }

    // Cuts batches from `position` on, a boundary, and what the indexes say of them.
    IoStatus truncate(std::int64_t position, Offset offset);
    // No appends any more: the time index gets its last entry, the indexes are written.
    IoStatus close_for_appends();
    IoStatus write_indexes();
    // Begins again with empty indexes up to `position`; recovery adds the rest by `appended`.
    IoStatus forget_indexes_from(std::int64_t position, Offset offset);
    // Recovery found the bytes up to `size` valid; the file may be longer until `cut`.
    void set_size(std::int64_t size) { size_ = size; }

    // The timestamp of the first batch, from which rolling counts; nothing if there is none.
    IoResult<std::optional<std::int64_t>> first_timestamp() const;
    // Of the larger of the two indexes.
    std::int64_t index_bytes() const;
    bool has_index_entries() const { return offset_index_ && offset_index_->count() > 0; }
    TransactionIndex& transactions() const;
    bool has_transactions() const {
        return transactions_ ? !transactions_->empty() : files_.transaction_index > 0;
    }
    // What a flush must sync: files that were used since the segment was opened.
    void collect_files(std::vector<std::shared_ptr<io::File>>& files) const;
    // Moves `.log` and index files to other names, or away.
    IoStatus add_suffix(std::string_view suffix, std::vector<std::string>& paths);
    IoStatus remove_files();

    const std::optional<TimestampOffset>& known_max_timestamp() const { return max_timestamp_; }

private:
    std::string path(std::string_view suffix) const;
    // The offset and time index, rebuilt from the batches if they are missing or wrong.
    IoStatus load_indexes() const;
    IoStatus rebuild_indexes() const;
    IoResult<bool> last_entry_is_right() const;
    void create_indexes() const;
    IoResult<std::optional<BatchPlace>> find_from(std::int64_t position, Offset offset) const;
    IoError no_batch(std::int64_t position, const std::string& reason) const;

    io::Disk& disk_;
    const std::string& directory_;
    Offset base_;
    std::int64_t size_;
    mutable std::shared_ptr<io::File> file_;
    mutable SegmentFiles files_;
    std::int32_t index_interval_bytes_;
    bool usable_ = true;
    bool file_exists_;
    mutable bool indexes_loaded_ = false;
    mutable std::int64_t bytes_since_index_entry_ = 0;
    WallTime created_;
    // Of the first batch: what rolling counts from.
    mutable std::optional<std::int64_t> first_timestamp_;
    mutable std::optional<TimestampOffset> max_timestamp_;
    mutable std::unique_ptr<OffsetIndex> offset_index_;
    mutable std::unique_ptr<TimeIndex> time_index_;
    mutable std::unique_ptr<TransactionIndex> transactions_;
    std::vector<BatchPlace> recent_;  // The newest batches, without a gap up to the end.
};

}  // namespace pabal::log
