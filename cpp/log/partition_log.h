// The log of one partition: segments of record batches with their indexes, the history of leader
// epochs, and what idempotent and transactional producers wrote last. Owned by the partition's
// shard, the only one that calls it; `open` and the `run` of a prepared flush may happen on the
// disk pool. Synchronous: nothing here waits for anything but the Disk port. Files and layout are
// Kafka's, and no byte beyond the log's end ever stands in a `.log` while it is open. Memory: less
// than 1 KiB while a partition is idle, a few KiB while it is written.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/rope.h"
#include "base/time.h"

namespace pabal::io {
class Disk;
class File;
}  // namespace pabal::io
namespace pabal::record {
struct ValidatedBatch;
}

namespace pabal::log {

// The topic's configuration as the log obeys it. Durations and sizes of -1 mean "without limit".
struct LogConfig {
    std::int32_t segment_bytes = 1 << 30;
    Duration segment_age = Duration::seconds(7 * 24 * 3600);
    Duration segment_jitter;
    std::int32_t segment_index_bytes = 10 << 20;
    std::int32_t index_interval_bytes = 4096;
    std::int32_t max_message_bytes = 1'048'588;
    std::int64_t retention_bytes = -1;
    std::int64_t retention_milliseconds = 7LL * 24 * 3600 * 1000;
    bool retention_deletes = true;  // cleanup.policy contains "delete".
    bool compacted = false;         // It contains "compact": offsets may have gaps.
    double min_cleanable_dirty_ratio = 0.5;
    std::int64_t min_compaction_lag_milliseconds = 0;
    std::int64_t max_compaction_lag_milliseconds = INT64_MAX;
    std::int64_t delete_retention_milliseconds = 24LL * 3600 * 1000;  // Of tombstones.
    std::int64_t flush_messages = INT64_MAX;
    std::int64_t flush_milliseconds = INT64_MAX;
    Duration file_delete_delay = Duration::seconds(60);
    Duration producer_id_expiration = Duration::seconds(24 * 3600);
};

// Where the log stood when a checkpoint was taken. Spares `open` every read of a `.log` file that
// has not grown since.
struct LogStanding {
    Offset end_offset{0};
    Offset segment_base{0};           // Of the active segment then.
    std::int64_t segment_size = 0;    // Position of `end_offset` in it.
    std::int64_t max_timestamp = -1;  // Of the active segment.
    Offset max_timestamp_offset{-1};  // A record that has it.
    bool has_producers = false;       // Then a producer snapshot at `end_offset` was written.
};

// What survives of the last run besides the files; from the store, or from Kafka's checkpoint
// files.
struct LogCheckpoint {
    Offset log_start_offset{0};
    Offset recovery_point{0};     // Everything below is known to be on disk and valid.
    Offset high_watermark{0};     // Not used by the log itself.
    bool clean_shutdown = false;  // Then nothing needs to be scanned.
    // The machine has not gone down since the log was open last: the kernel kept every write, so
    // that damage before whole batches cannot be the trace of a lost one.
    bool writes_survived = false;
    bool was_compacted = false;  // Once, whatever its configuration says now: there may be gaps.
    std::optional<LogStanding> standing;  // At `recovery_point`; a hint that is checked.
};

// Who appends: decides how much of the producer's claims is checked (KIP-98).
enum class AppendOrigin {
    client,       // Epoch and sequence.
    coordinator,  // Epoch only: group offsets inside a transaction, EndTxn markers.
};

struct AppendedBatch {
    Offset base_offset;
    Offset last_offset;
    WallTime append_time;  // -1 with create time.
    Offset log_start_offset;
    bool duplicate = false;     // The producer had this batch acknowledged before: nothing written.
    bool flush_is_due = false;  // A segment was closed, or `flush_messages` were reached.
};

// Batches as they were written: where they stand, and their bytes, `head` and then `body`.
struct WrittenBatches {
    Offset segment_base;
    std::int64_t position = 0;  // In that segment's `.log`.
    Offset from;                // Where the log ended before.
    Offset end;
    Bytes head;
    Bytes body;
};

// What `open` had to cut away, for the operator's eyes: never records below the recovery point.
struct LogRepair {
    std::string path;  // Of the `.log` that held what is no batch.
    std::int64_t position = 0;
    Offset offset;                   // Where the log ends now.
    std::int64_t dropped_bytes = 0;  // With those of later segments.
    std::string reason;
};

struct TimestampAndOffset {
    WallTime timestamp;
    Offset offset;
    LeaderEpoch leader_epoch;
};

struct ReadResult {
    Rope records;  // Whole batches, the first one holding the asked offset; one file range.
    // The first batch is larger than `max_bytes` (it is here only if `at_least_one` was asked).
    bool first_batch_larger_than_limit = false;
};

// For a consumer that reads committed records only: skip this producer's from `first_offset` on.
struct AbortedTransaction {
    ProducerId producer;
    Offset first_offset;

    bool operator==(const AbortedTransaction&) const = default;
};

// What DescribeProducers tells about one producer (KIP-664).
struct ActiveProducer {
    ProducerId producer;
    ProducerEpoch epoch;
    std::int32_t last_sequence = -1;
    std::int64_t last_timestamp = -1;
    std::int32_t coordinator_epoch = -1;
    std::optional<Offset> transaction_start;
    std::optional<Offset> last_data_offset;  // Of its newest batch that is no marker.
};

class Compaction;
struct CompactionMeans;

// What a compacted log offers to be cleaned: whole segments, below the active one and what is not
// stable, replicated and old enough.
struct Cleanable {
    Offset first_dirty;
    Offset end;                    // At or below `first_dirty` there is nothing to do.
    std::int64_t clean_bytes = 0;  // Of segments that were cleaned before.
    std::int64_t dirty_bytes = 0;
    bool overdue = false;  // max.compaction.lag.ms has passed for a record of it (KIP-354).

    double dirty_ratio() const {
        const auto all = static_cast<double>(clean_bytes + dirty_bytes);
        return all > 0 ? static_cast<double>(dirty_bytes) / all : 0;
    }
};

// The work of one flush, taken on the shard. `run` syncs and may happen on the disk pool while the
// log goes on.
class LogFlush {
public:
    IoStatus run();
    // Everything is on disk already.
    bool empty() const { return files_.empty() && !new_names_; }
    std::size_t sync_count() const { return files_.size() + (new_names_ ? 1 : 0); }
    Offset up_to() const { return standing_.end_offset; }

private:
    friend class PartitionLog;
    io::Disk* disk_ = nullptr;
    std::string directory_;
    bool new_names_ = false;  // Files were made since the last flush: the directory is synced too.
    std::vector<std::shared_ptr<io::File>> files_;
    LogStanding standing_;
    std::uint32_t truncations_ = 0;  // Those before it; one more and it says nothing any more.
};

class PartitionLog {
public:
    // Opens or creates the log in `directory`, recovers what the checkpoint does not vouch for: the
    // result is a prefix of what was appended. Blocks. An error names file and position;
    // acknowledged data in the middle is never dropped silently.
    static IoResult<std::unique_ptr<PartitionLog>> open(io::Disk& disk, std::string directory,
                                                        LogConfig config, LogCheckpoint checkpoint,
                                                        WallTime now);
    ~PartitionLog();

    // Leader's append of one batch that `record::validate` accepted; assigns its offsets. Checks
    // the producer's sequence (KIP-98): duplicates of the last five batches are answered, not
    // written. Errors: kafka_storage_error when the disk refuses (nothing stands, nothing is
    // acknowledged; the next append tries again), out_of_order_sequence_number,
    // invalid_producer_epoch, invalid_txn_state, transaction_coordinator_fenced. What was written
    // is added to `written`, for a commit journal.
    Result<AppendedBatch> append(const record::ValidatedBatch& batch, LeaderEpoch epoch,
                                 WallTime now, AppendOrigin origin = AppendOrigin::client,
                                 std::vector<WrittenBatches>* written = nullptr);
    // Follower's (and the metadata log's) append of batches that carry their offsets and epochs;
    // returns the log end offset. A trailing partial batch is left away. Errors: corrupt_message,
    // offset_out_of_range when the first batch begins before the log's end.
    Result<Offset> append_as_follower(const Bytes& batches, WallTime now,
                                      std::vector<WrittenBatches>* written = nullptr);

    // Whole batches from the one that holds `from` on, below `bound` (a batch boundary: high
    // watermark, last stable offset or log end offset), at most `max_bytes`, but at least one batch
    // when `at_least_one`. Never crosses a segment: less than asked for may come. Errors:
    // offset_out_of_range, kafka_storage_error.
    Result<ReadResult> read(Offset from, Offset bound, std::int32_t max_bytes,
                            bool at_least_one) const;

    // First record whose timestamp is at or after `timestamp`, below `bound`; nothing if none.
    Result<std::optional<TimestampAndOffset>> find_timestamp(WallTime timestamp,
                                                             Offset bound) const;
    // The first record that has the largest timestamp of all below `bound` (KIP-734).
    Result<std::optional<TimestampAndOffset>> find_max_timestamp(Offset bound) const;

    // The end of what a committed read may see: no transaction below is undecided, nor decided by a
    // marker at or above `high_watermark`.
    Offset last_stable_offset(Offset high_watermark) const;
    // Transactions that a read of [from, upper) must hide; ordered by where they ended.
    Result<std::vector<AbortedTransaction>> aborted_transactions(Offset from, Offset upper) const;
    std::vector<ActiveProducer> active_producers() const;  // By producer id.
    std::optional<ActiveProducer> active_producer(ProducerId producer) const;

    // Drops everything from `offset` on; a batch that holds it in its middle goes as a whole. The
    // caller persists checkpoint() before the next append: an older one vouches for what is gone.
    IoStatus truncate_to(Offset offset);
    // Drops everything and starts again, empty, at `offset`.
    IoStatus truncate_fully_and_start_at(Offset offset);
    // DeleteRecords and retention: nothing below `offset` is readable any more. The caller persists
    // checkpoint() before it answers.
    IoStatus raise_log_start_offset(Offset offset);
    // Rolls by age, deletes by time, size and log start offset; forgets expired producers. Returns
    // true if the log start offset moved.
    IoResult<bool> apply_retention(Offset high_watermark, WallTime now);
    // Compaction (KIP-58). What there is to be cleaned, if everything below `cleaned_up_to` was
    // cleaned before; nonsense there (below the log's start, above its end) means that nothing was.
    IoResult<Cleanable> cleanable(std::optional<Offset> cleaned_up_to, Offset last_stable_offset,
                                  WallTime now) const;
    // A cleaning of that, to be stepped through on the disk pool. All of it must be below the
    // recovery point of the newest checkpoint that is safe on disk.
    IoResult<std::unique_ptr<Compaction>> prepare_compaction(const Cleanable& range,
                                                             const CompactionMeans& means,
                                                             WallTime now);
    // Puts the segment that `compaction` has ready in the place of those that it was made of. False
    // if these are not there any more: then the cleaning is void. The caller syncs the directory.
    IoResult<bool> replace_segments(const Compaction& compaction, WallTime now);
    // Deleted segments keep their files as `.deleted` for `file_delete_delay`. Those that are due.
    std::vector<std::string> take_deleted_files(WallTime now);
    void set_config(LogConfig config);
    // When epoch `epoch` begins here: the next batch of a leader belongs to it (KIP-101).
    void assign_epoch(LeaderEpoch epoch);
    // The active segment ends here. Nothing happens when it is empty.
    IoStatus roll(WallTime now);

    // Flush = prepare on the shard, run anywhere, `flushed` on the shard; then the caller persists
    // checkpoint(). Bounds what a restart after a kill must scan: flush now and then.
    IoResult<LogFlush> prepare_flush();
    void flushed(const LogFlush& flush);
    // All three; everything below the returned offset survives a loss of power.
    IoResult<Offset> flush();
    // Bytes appended since the last prepared flush.
    std::int64_t unflushed_bytes() const;
    // Writes what a clean shutdown leaves: producer snapshot, index files without slack. Run the
    // flush, hand it to `flushed`, and persist checkpoint() as a clean shutdown's; nothing else may
    // be called any more.
    IoResult<LogFlush> prepare_close();
    // All of it; without the syncs if so told.
    IoStatus close(WallTime now, bool sync = true);
    // What to persist for the next open.
    LogCheckpoint checkpoint() const;

    Offset log_start_offset() const;
    Offset log_end_offset() const;
    Offset recovery_point() const;
    std::int64_t size_bytes() const;
    std::size_t segment_count() const;
    const std::string& directory() const;
    // The `.log` that holds `offset`, for messages.
    std::string file_of(Offset offset) const;
    // The directory was renamed by the caller (deletion, move): files follow.
    void renamed(std::string directory);
    const LogConfig& config() const;
    // False once a failed write could not be taken back: only opening it again helps.
    bool usable() const;
    // Why the disk failed under a read or write (io::is_disk_failure); empty if it did not.
    const std::string& disk_failure() const;
    std::optional<LeaderEpoch> latest_epoch() const;
    // KIP-101/320: the largest known epoch at or below `epoch`, and where it ends.
    struct EpochEnd {
        LeaderEpoch epoch;
        Offset end_offset;

        bool operator==(const EpochEnd&) const = default;
    };
    std::optional<EpochEnd> end_of_epoch(LeaderEpoch epoch) const;
    // The epoch of the record at `offset`, as far as known.
    std::optional<LeaderEpoch> epoch_of(Offset offset) const;

    // Nothing if the log was whole when it was opened.
    const std::optional<LogRepair>& repair() const;

    struct State;

private:
    explicit PartitionLog(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace pabal::log
