// One partition that this broker holds: its log, what replication allows, and who waits for it. It
// leads or follows as the metadata says; a fetcher brings a follower what its leader has. Lives on
// one shard; from `prepare` to `appended` nothing suspends (an append is one synchronous
// write), while syncs happen on the disk pool. Held by shared_ptr: whoever suspends keeps it alive
// and finds it closed afterwards when the topic was deleted or the disk failed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
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
#include "replication/follower.h"
#include "replication/leader.h"
#include "runtime/topic_config.h"

namespace pabal::io {
class Gate;
}

namespace pabal::runtime {

class Cleaner;
class JournalWriter;
class Partition;
class Partitions;
struct LogDirectory;
struct Topic;

// Hears of what a fetch of the partition would tell. A link of the partition's list; unlinks itself
// when it goes.
class PartitionObserver {
public:
    // What it hears of, beside leadership, the log's start and errors.
    enum class Interest : std::uint8_t { standing, committed_records, appended_records };

    PartitionObserver() = default;
    PartitionObserver(const PartitionObserver&) = delete;
    PartitionObserver& operator=(const PartitionObserver&) = delete;

    virtual ~PartitionObserver() { unobserve(); }

    void observe(Partition* partition, Interest interest = Interest::committed_records);
    void unobserve();

private:
    friend class Partition;
    // Called in the midst of an append: takes a note, does nothing else. Whoever waits is to be
    // woken, or will do when it looks next.
    virtual void partition_changed(bool wake) = 0;

    Partition* partition_ = nullptr;
    PartitionObserver* next_ = nullptr;
    PartitionObserver** link_ = nullptr;  // What points here.
    Interest interest_ = Interest::committed_records;
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
    std::uint32_t reign = 0;    // Which of this broker's leaderships of the partition it was.
};

struct ReadOutcome {
    ErrorCode error = ErrorCode::none;
    Offset high_watermark{-1};
    Offset last_stable_offset{-1};
    Offset log_start_offset{-1};
    Offset readable_end{-1};  // There may be more records than these, but none from here on.
    std::optional<replication::EpochEnd> diverging;
    BrokerId preferred_read_replica = no_broker;  // Where a consumer should read instead (KIP-392).
    bool throttled = false;                       // What is read counts for the quota of leaders.
    Rope records;
    // Of a read of committed records only.
    std::vector<log::AbortedTransaction> aborted_transactions;
};

// What became of the records that a follower fetched.
struct ReplicateOutcome {
    ErrorCode error = ErrorCode::none;
    std::string message;
    bool start_moved = false;   // The log's; synced before the leader hears of it.
    bool awaits_flush = false;  // flush.messages=1: on disk before the leader hears of it.
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
    // OFFSET_NOT_AVAILABLE while a new leader does not know yet what its predecessors committed.
    ErrorCode end_is_known() const;

    // Checks and appends what a producer sent for this partition. Never suspends: whoever sees the
    // call return sees the records in the log. Then await `acknowledged`.
    AppendOutcome append(const Bytes& records, replication::RequiredAcks acks, bool zstd_allowed);
    // The same for batches of our own: coordinators' records and markers.
    AppendOutcome append_trusted(const Bytes& batch, replication::RequiredAcks acks,
                                 log::AppendOrigin origin);
    // Whether a transaction of this producer and epoch is open here; then what it writes belongs to
    // it.
    bool has_open_transaction(ProducerId producer, ProducerEpoch epoch) const;
    // How many ends of transactions were written here while this broker led. What was verified
    // before another one came has to be verified again.
    std::uint64_t marker_count() const { return marker_count_; }
    // Whether the acknowledgement of `appended` has something to wait for.
    bool must_wait(const AppendOutcome& appended, replication::RequiredAcks acks) const;
    // Ends when the records below `end` may be acknowledged (high watermark for acks=all; synced if
    // `awaits_flush`). REQUEST_TIMED_OUT at the deadline, NOT_LEADER_OR_FOLLOWER or
    // KAFKA_STORAGE_ERROR when it cannot happen any more; NOT_ENOUGH_REPLICAS_AFTER_APPEND. `reign`
    // is the one in which they were appended.
    io::Task<ErrorCode> acknowledged(Offset end, bool awaits_flush, std::uint32_t reign,
                                     replication::RequiredAcks acks, Instant deadline);
    std::uint32_t reign() const { return reign_; }

    // What a consumer finds at `place`. Reads no record: the answer holds ranges of files.
    ReadOutcome read(const replication::ReadPlace& place, replication::Isolation isolation,
                     std::int32_t max_bytes, bool at_least_one,
                     replication::Reader reader = replication::Reader::consumer) const;
    // The same for a follower, up to the log end offset. If that is news, `fetch` is taken as proof
    // of what the follower holds, unless its past turns out not to be ours. Nothing is read for one
    // that the quota of leaders holds back.
    ReadOutcome read_as_follower(const replication::ReadPlace& place,
                                 const replication::FollowerFetch& fetch, bool is_news,
                                 std::int32_t max_bytes, bool at_least_one);
    // As a follower: the topic asks for its fetches to be held to the quota of followers.
    bool throttled_as_follower() const;
    // The replica in sync from which a consumer in `rack` reads best, if not from the leader
    // (KIP-392); -1 for the leader.
    BrokerId preferred_read_replica(std::string_view rack, Offset offset) const;

    // DeleteRecords: nothing below `offset` (the high watermark if it is -1) is readable any more.
    // The new log start offset; OFFSET_OUT_OF_RANGE, POLICY_VIOLATION, KAFKA_STORAGE_ERROR. The
    // caller awaits Partitions::checkpoints_synced before it answers.
    Result<Offset> delete_records(Offset offset);
    // The lowest log start offset of the replicas that live.
    Offset low_watermark() const;
    // Ends when no replica that lives holds anything below `offset`. REQUEST_TIMED_OUT,
    // NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR.
    io::Task<ErrorCode> deleted_everywhere(Offset offset, Instant deadline);

    // The newest leader epoch that the log knows of, as leader the current one (KIP-320).
    std::optional<LeaderEpoch> latest_epoch() const;
    // Where `epoch`, or the largest known one below it, ends. Nothing if it is newer than all.
    std::optional<replication::EpochEnd> end_of_epoch(LeaderEpoch epoch) const;

    // --- as a follower
    // As the metadata has it, whether there is a log or not.
    BrokerId metadata_leader() const { return leadership_.leader; }
    // Another broker leads, and there is a log to write to.
    bool follows() const { return log_ && leader() != no_broker && !leads(); }
    // What its fetcher asks the leader for next.
    replication::FollowerPlace ask(replication::PartitionFollower* follower) const;
    // What the leader's answer means for the log as it stands now.
    replication::FollowerStep answered(const replication::PartitionFollower& follower,
                                       const replication::LeaderAnswer& answer) const;
    replication::FollowerStep bounds_told(const replication::PartitionFollower& follower,
                                          replication::LogBounds leader) const;
    // Appends batches as they came, then takes over the leader's high watermark and log start.
    ReplicateOutcome replicate(const Bytes& batches, const replication::LeaderAnswer& answer);
    // Drops what the leader never had. The caller awaits Partitions::checkpoints_synced before it
    // asks the leader again.
    IoStatus cut(Offset offset);
    IoStatus restart(Offset offset);
    // Ends when everything below `end` survives a loss of power. Errors as those of `acknowledged`.
    io::Task<ErrorCode> durable(Offset end, Instant deadline);
    // The same, but in the files of the partition itself.
    io::Task<ErrorCode> flushed(Offset end, Instant deadline);
    // With flush.messages=1 a follower claims to hold what is durable; false, and soon true, while
    // that is not all.
    bool may_claim_end();

    // --- the in-sync replicas
    // What the controller is to be asked for, if anything; it is pending from then on.
    std::optional<replication::IsrChange> next_isr_change();
    // Whether the answer to `change` still matters.
    bool awaits(const replication::IsrChange& change) const {
        return log_ && leads() && leader_->awaits(change);
    }
    void isr_answered(const replication::IsrChange& change, const replication::IsrAnswer& answer);

private:
    friend class Cleaner;
    friend class JournalWriter;
    friend class Partitions;
    friend class PartitionObserver;
    struct Waiter {
        Offset committed;
        Offset durable;
        Offset low_watermark;
        io::Gate* gate;
        Offset flushed{0};
    };

    // Partitions opens the log on the disk pool and hands it in.
    void opened(std::unique_ptr<log::PartitionLog> log, Offset high_watermark);
    void lead(const replication::Leadership& leadership);
    // Brokers came or went.
    void judge_followers();
    void set_config(std::shared_ptr<const TopicConfig> config);
    // Nothing can be done with the log any more, and everybody who waits hears of it.
    std::unique_ptr<log::PartitionLog> shut();

    replication::LogBounds bounds() const;
    bool satisfied(const Waiter& waiter) const;
    AppendOutcome append_validated(const record::ValidatedBatch& batch, log::AppendOrigin origin,
                                   WallTime now);
    bool is_eligible(const replication::Follower& follower) const;
    ReadOutcome read_up_to(const replication::Readable& readable, Offset from,
                           replication::Isolation isolation, std::int32_t max_bytes,
                           bool at_least_one) const;
    io::Task<ErrorCode> wait_for(Waiter waiter, std::uint32_t reign, Instant deadline);
    ErrorCode note_follower(const replication::FollowerFetch& fetch);
    void advance();
    void committed();
    void wake(bool all);
    void changed(PartitionObserver::Interest what = PartitionObserver::Interest::standing);

    // --- what survives a loss of power (partition_durability.cc)
    // The end of what may become committed. With flush.messages=1 that is what is durable, so that
    // nobody reads what a loss of power could take back.
    Offset committable_end() const;
    // Its own files are synced up to there.
    bool synced_to(Offset end) const;
    JournalWriter* journal() const;
    // What was appended has to be durable as flush.messages says; `written` of it may go to the
    // journal.
    void make_durable(const std::vector<log::WrittenBatches>& written);
    // The journal holds what was appended from `from` to `end` in that life; false if that does
    // not matter any more. Call made_durable when all such news is told.
    bool journaled(std::uint32_t life, Offset from, Offset end);
    void made_durable();
    void note_durable();
    void begin_life();
    io::Task<ErrorCode> wait_for_disk(Waiter waiter, Instant deadline);
    void want_flush();
    io::Task<void> flush_while_wanted();

    Partitions* partitions_;
    std::shared_ptr<const std::string> topic_name_;
    TopicPartition id_;
    LogDirectory* directory_;
    std::shared_ptr<const std::string> directory_name_;
    std::shared_ptr<const TopicConfig> config_;
    std::unique_ptr<log::PartitionLog> log_;
    std::uint32_t log_generation_ = 0;  // Counts the logs that stood in log_.
    std::optional<replication::PartitionLeader> leader_;
    replication::Leadership leadership_;
    std::vector<Waiter> waiters_;
    PartitionObserver* observers_ = nullptr;
    Offset flush_target_{0};  // Where the newest demand of flush.messages ends.
    // Everything below survives a loss of power. Goes back with the log's end only.
    Offset durable_end_{0};
    // The newest stretch without a gap that the journal holds.
    Offset journaled_from_{0};
    Offset journaled_end_{0};
    std::uint32_t life_ = 0;      // Counts the times that the log was opened or cut.
    bool journaled_ = false;      // The journal may hold something of it.
    bool reset_pending_ = false;  // It may hold what must not come back, and has to forget.
    // Of Partitions' account of what a restart would have to read.
    std::int64_t counted_unflushed_bytes_ = 0;
    std::int32_t dirty_index_ = -1;
    Instant dirty_since_;
    Offset saved_high_watermark_{0};  // By the newest checkpoint.
    std::uint32_t reign_ = 0;         // Counts the times that this broker stopped to lead.
    std::uint64_t marker_count_ = 0;
    // Those of whom the disk refused a batch that has not been taken since.
    std::set<ProducerId> refused_producers_;
    bool flushing_ = false;
    bool flush_wanted_ = false;
    bool deleted_ = false;
    bool moved_away_ = false;  // Deleted here, held by others.
    bool reopening_ = false;
    bool names_synced_ = false;  // The partition's directory and its partition.metadata.
};

}  // namespace pabal::runtime
