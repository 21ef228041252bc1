// The log of one partition: segments of record batches with their indexes, the history of leader
// epochs, and what idempotent producers wrote last. Owned by the partition's shard, which alone
// appends; `flush`, `open` and the work of retention may run on the disk pool. Synchronous: nothing
// here waits for anything but the Disk port. Files and layout are Kafka's.
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
}
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
    std::int64_t flush_messages = INT64_MAX;
    std::int64_t flush_milliseconds = INT64_MAX;
    Duration file_delete_delay = Duration::seconds(60);
    Duration producer_id_expiration = Duration::seconds(24 * 3600);
};

// What survives of the last run besides the files; from the store, or from Kafka's checkpoint files.
struct LogCheckpoint {
    Offset log_start_offset{0};
    Offset recovery_point{0};     // Everything below is known to be on disk and valid.
    Offset high_watermark{0};
    bool clean_shutdown = false;  // Then nothing needs to be scanned.
};

struct AppendedBatch {
    Offset base_offset;
    Offset last_offset;
    WallTime append_time;         // -1 with create time.
    Offset log_start_offset;
    bool duplicate = false;       // The producer had this batch acknowledged before: nothing written.
};

// A place in the log, by record batch.
struct LogPosition {
    Offset offset;
    std::int32_t segment_position = 0;
};

struct TimestampAndOffset {
    WallTime timestamp;
    Offset offset;
    LeaderEpoch leader_epoch;
};

struct ReadResult {
    Rope records;          // Whole batches, the first one holding the asked offset; file ranges.
    bool first_batch_larger_than_limit = false;
};

class PartitionLog {
public:
    // Opens or creates the log in `directory`, recovers what the checkpoint does not vouch for: the
    // result is a prefix of what was appended. Blocks. An error names file and position; acknowledged
    // data in the middle is never dropped silently.
    static IoResult<std::unique_ptr<PartitionLog>> open(io::Disk& disk, std::string directory,
                                                        LogConfig config, LogCheckpoint checkpoint,
                                                        WallTime now);
    ~PartitionLog();

    // Leader's append of one batch that `record::validate` accepted; assigns its offsets. Checks
    // the producer's sequence (KIP-98): duplicates of the last five batches are answered, not written.
    Result<AppendedBatch> append(const record::ValidatedBatch& batch, LeaderEpoch epoch, WallTime now);
    // Follower's (and the metadata log's) append of batches that carry their offsets and epochs.
    Result<Offset> append_as_follower(const Bytes& batches, WallTime now);

    // Batches from the one that holds `from` on, below `bound`, at most `max_bytes`, but at least one
    // batch when `at_least_one`. Errors: offset_out_of_range.
    Result<ReadResult> read(Offset from, Offset bound, std::int32_t max_bytes, bool at_least_one) const;

    // First record whose timestamp is at or after `timestamp`, below `bound`; nothing if none.
    Result<std::optional<TimestampAndOffset>> find_timestamp(WallTime timestamp, Offset bound) const;
    Result<std::optional<TimestampAndOffset>> find_max_timestamp(Offset bound) const;

    // Drops everything from `offset` on.
    IoStatus truncate_to(Offset offset);
    // Drops everything and starts again, empty, at `offset`.
    IoStatus truncate_fully_and_start_at(Offset offset);
    // DeleteRecords and retention: nothing below `offset` is readable any more.
    IoStatus raise_log_start_offset(Offset offset);
    // Rolls by age, deletes by time, size and log start offset; returns true if something changed.
    IoResult<bool> apply_retention(Offset high_watermark, WallTime now);
    void set_config(LogConfig config);
    // Everything below the returned offset survives a loss of power.
    IoResult<Offset> flush();
    // Flush, producer snapshot, clean files.
    IoStatus close(WallTime now);

    Offset log_start_offset() const;
    Offset log_end_offset() const;
    Offset recovery_point() const;
    std::int64_t size_bytes() const;
    std::optional<LeaderEpoch> latest_epoch() const;
    // KIP-101/320: the largest known epoch at or below `epoch`, and where it ends.
    struct EpochEnd {
        LeaderEpoch epoch;
        Offset end_offset;
    };
    std::optional<EpochEnd> end_of_epoch(LeaderEpoch epoch) const;

private:
    PartitionLog();
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace pabal::log
