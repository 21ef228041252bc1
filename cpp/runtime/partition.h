// One partition that this broker holds: its log, what replication allows, and who waits for it.
// Lives on one shard; from `prepare` to `appended` nothing suspends (an append is one synchronous
// write), while syncs happen on the disk pool. Held by shared_ptr: whoever suspends keeps it alive
// and finds it closed afterwards when the topic was deleted or the disk failed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/error_code.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/rope.h"
#include "base/time.h"
#include "io/task.h"
#include "log/partition_log.h"
#include "record/validation.h"
#include "replication/leader.h"
#include "runtime/topic_config.h"

namespace pabal::io {
class Gate;
}

namespace pabal::runtime {

class Partition;
class Partitions;
struct LogDirectory;
struct Topic;

// Hears of everything that a fetch of the partition would tell: records, watermarks, the log's
// start, leadership, errors. A link of the partition's list; unlinks itself when it goes.
class PartitionObserver {
public:
    PartitionObserver() = default;
    PartitionObserver(const PartitionObserver&) = delete;
    PartitionObserver& operator=(const PartitionObserver&) = delete;

    virtual ~PartitionObserver() { unobserve(); }

    void observe(Partition* partition);
    void unobserve();

private:
    friend class Partition;
    // Called in the midst of an append: takes a note, does nothing else.
    virtual void partition_changed() = 0;

    Partition* partition_ = nullptr;
    PartitionObserver* next_ = nullptr;
    PartitionObserver** link_ = nullptr;  // What points here.
};

// What became of the records of one partition in a Produce request.
struct AppendOutcome {
    ErrorCode error = ErrorCode::none;
    std::string message;                             // Empty: nothing beyond the error's own text.
    std::vector<record::RecordError> record_errors;  // KIP-467.
    Offset base_offset{-1};
    Offset end_offset{-1};  // After the last record.
    WallTime append_time;   // -1 with create time.
    Offset log_start_offset{-1};
    bool awaits_flush = false;  // flush.messages wants it on disk before it is acknowledged.
};

struct ReadOutcome {
    ErrorCode error = ErrorCode::none;
    Offset high_watermark{-1};
    Offset last_stable_offset{-1};
    Offset log_start_offset{-1};
    Offset readable_end{-1};  // There may be more records than these, but none from here on.
    std::optional<replication::EpochEnd> diverging;
    Rope records;
    // Of a read of committed records only.
    std::vector<log::AbortedTransaction> aborted_transactions;
};

class Partition : public std::enable_shared_from_this<Partition> {
public:
    // Made by Partitions, which outlives it.
    Partition(Partitions* partitions, std::shared_ptr<const std::string> topic_name,
              TopicPartition id, LogDirectory* directory,
              std::shared_ptr<const TopicConfig> config);
    ~Partition();
    Partition(const Partition&) = delete;
    Partition& operator=(const Partition&) = delete;

    const TopicPartition& id() const { return id_; }
    const std::string& topic_name() const { return *topic_name_; }
    LogDirectory* directory() const { return directory_; }
    // Null while the log cannot be used: its disk failed, or its topic was deleted.
    const log::PartitionLog* log() const { return log_.get(); }
    bool deleted() const { return deleted_; }
    // Why log() is null: KAFKA_STORAGE_ERROR, or UNKNOWN_TOPIC_OR_PARTITION for a deleted one.
    ErrorCode unavailable() const;

    bool leads() const { return leader_ && leader_->leads(); }
    LeaderEpoch leader_epoch() const { return leader_ ? leader_->epoch() : no_leader_epoch; }
    BrokerId leader() const { return leader_ ? leader_->leader() : no_broker; }
    Offset high_watermark() const { return leader_ ? leader_->high_watermark() : Offset(0); }
    Offset last_stable_offset() const;
    // What a consumer with this isolation may read up to.
    Offset readable_end(replication::Isolation isolation) const;
    // FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER_OR_FOLLOWER, or why there is no log.
    ErrorCode check_leads(LeaderEpoch current) const;

    // Checks and appends what a producer sent for this partition. Never suspends: whoever sees the
    // call return sees the records in the log. Then await `acknowledged`.
    AppendOutcome append(const Bytes& records, replication::RequiredAcks acks, bool zstd_allowed);
    // The same for batches of our own: coordinators' records and markers.
    AppendOutcome append_trusted(const Bytes& batch, replication::RequiredAcks acks,
                                 log::AppendOrigin origin);
    // Whether the acknowledgement of `appended` has something to wait for.
    bool must_wait(const AppendOutcome& appended, replication::RequiredAcks acks) const;
    // Ends when the records below `end` may be acknowledged (high watermark for acks=all; synced if
    // `awaits_flush`). REQUEST_TIMED_OUT at the deadline, NOT_LEADER_OR_FOLLOWER or
    // KAFKA_STORAGE_ERROR when it cannot happen any more.
    io::Task<ErrorCode> acknowledged(Offset end, bool awaits_flush, replication::RequiredAcks acks,
                                     Instant deadline);

    // What a consumer finds at `place`. Reads no record: the answer holds ranges of files.
    ReadOutcome read(const replication::ReadPlace& place, replication::Isolation isolation,
                     std::int32_t max_bytes, bool at_least_one) const;

    // DeleteRecords: nothing below `offset` (the high watermark if it is -1) is readable any more.
    // The new log start offset; OFFSET_OUT_OF_RANGE, POLICY_VIOLATION, KAFKA_STORAGE_ERROR. The
    // caller awaits Partitions::checkpoints_synced before it answers.
    Result<Offset> delete_records(Offset offset);

    // The newest leader epoch that the log knows of, as leader the current one (KIP-320).
    std::optional<LeaderEpoch> latest_epoch() const;
    // Where `epoch`, or the largest known one below it, ends. Nothing if it is newer than all.
    std::optional<replication::EpochEnd> end_of_epoch(LeaderEpoch epoch) const;

private:
    friend class Partitions;
    friend class PartitionObserver;
    struct Waiter {
        Offset committed;
        Offset durable;
        io::Gate* gate;
    };

    // Partitions opens the log on the disk pool and hands it in.
    void opened(std::unique_ptr<log::PartitionLog> log, Offset high_watermark);
    void lead(replication::Leadership leadership);
    void set_config(std::shared_ptr<const TopicConfig> config);
    // Nothing can be done with the log any more, and everybody who waits hears of it.
    std::unique_ptr<log::PartitionLog> shut();

    replication::LogBounds bounds() const;
    // The end of what may become committed. With flush.messages=1 that is what is on disk, so that
    // nobody reads what a loss of power could take back.
    Offset committable_end() const;
    bool satisfied(const Waiter& waiter) const;
    AppendOutcome append_validated(const record::ValidatedBatch& batch, log::AppendOrigin origin,
                                   WallTime now);
    void advance();
    void wake(bool all);
    void changed();
    void want_flush();
    io::Task<void> flush_while_wanted();

    Partitions* partitions_;
    std::shared_ptr<const std::string> topic_name_;
    TopicPartition id_;
    LogDirectory* directory_;
    std::shared_ptr<const TopicConfig> config_;
    std::unique_ptr<log::PartitionLog> log_;
    std::uint32_t log_generation_ = 0;  // Counts the logs that stood in log_.
    std::optional<replication::PartitionLeader> leader_;
    replication::Leadership leadership_;
    std::vector<Waiter> waiters_;
    PartitionObserver* observers_ = nullptr;
    Offset flush_target_{0};  // Where the newest demand of flush.messages for a flush ends.
    // Of Partitions' account of what a restart would have to read.
    std::int64_t counted_unflushed_bytes_ = 0;
    std::int32_t dirty_index_ = -1;
    Instant dirty_since_;
    bool flushing_ = false;
    bool flush_wanted_ = false;
    bool deleted_ = false;
    bool reopening_ = false;
    bool names_synced_ = false;  // The partition's directory and its partition.metadata.
};

}  // namespace pabal::runtime
