// What a broker may do with one partition: whether it leads it, in which epoch, who follows and how
// far, what is therefore committed, and what a reader may see. One per partition that the broker
// holds, on the partition's shard. Pure: callers pass the time, do the reading, writing and waking,
// and carry changes of the in-sync replicas to the controller. Errors are Kafka's codes, bare: they
// are made for every partition of every request.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/error_code.h"
#include "base/ids.h"
#include "base/time.h"

namespace pabal::replication {

// `acks` of a Produce request.
enum class RequiredAcks : std::int16_t { all = -1, none = 0, leader = 1 };

// `isolation_level` of Fetch and ListOffsets (KIP-98).
enum class Isolation : std::int8_t { read_uncommitted = 0, read_committed = 1 };

// Who reads, and from whom: decides what is served and how far.
enum class Reader : std::uint8_t {
    consumer,     // From the leader alone.
    any_replica,  // A consumer that may be served by followers too (KIP-392).
    follower,     // Up to the log end offset.
};

// What the metadata log says of the partition.
struct Leadership {
    BrokerId leader = no_broker;
    LeaderEpoch epoch = no_leader_epoch;
    PartitionEpoch partition_epoch{-1};
    std::vector<BrokerId> replicas;
    std::vector<BrokerId> in_sync;
    bool recovering = false;  // After an unclean election, until the leader says it is done.

    bool operator==(const Leadership&) const = default;
};

// Where the local log begins and ends.
struct LogBounds {
    Offset start;
    Offset end;
};

// The end of a leader epoch in the local log (KIP-101); nothing if that is not known.
struct EpochEnd {
    LeaderEpoch epoch;
    Offset end_offset;

    bool operator==(const EpochEnd&) const = default;
};

// Where a reader asks to begin.
struct ReadPlace {
    Offset offset;
    LeaderEpoch current_leader_epoch = no_leader_epoch;  // As the reader knows it (KIP-320).
    LeaderEpoch last_fetched_epoch = no_leader_epoch;    // Of what it read last.
};

struct Readable {
    ErrorCode error = ErrorCode::none;
    Offset bound;  // Nothing at or above may be read.
    // Set if the reader's past is not ours: it has to truncate to there first (KIP-595).
    std::optional<EpochEnd> diverging;
};

// What a follower's fetch says about it.
struct FollowerFetch {
    BrokerId follower;
    BrokerEpoch broker_epoch{-1};  // From Fetch v15 on (KIP-903).
    Offset offset;                 // It holds everything below.
    Offset log_start{-1};
    // It lives, does not shut down, and is the incarnation that the metadata knows.
    bool eligible = true;
};

struct Fetched {
    ErrorCode error = ErrorCode::none;
    bool high_watermark_moved = false;
    bool log_start_moved = false;
    bool may_join = false;  // Call `expand`.
};

// One follower as its leader sees it.
struct Follower {
    BrokerId id;
    BrokerEpoch broker_epoch{-1};
    Offset log_end{-1};  // -1: it has not fetched in this leader epoch.
    Offset log_start{-1};
    bool eligible = false;
    bool in_sync = false;  // As committed by the controller.
    bool counts = false;   // In the maximal ISR: committed or asked for (KIP-497).
    // When it last had all that the leader had; nothing if it never did.
    std::optional<Instant> caught_up;
    Instant last_fetch;
    Offset leader_end_then{-1};  // Where the leader's log ended at its last fetch.
};

// What the controller is asked for.
struct IsrChange {
    struct Member {
        BrokerId id;
        BrokerEpoch epoch{-1};  // -1 for the leader itself, which the caller knows.

        bool operator==(const Member&) const = default;
    };
    LeaderEpoch leader_epoch;
    PartitionEpoch partition_epoch;
    std::vector<Member> in_sync;

    bool operator==(const IsrChange&) const = default;
};

// What it answered.
struct IsrAnswer {
    ErrorCode error = ErrorCode::none;
    Leadership state;  // `replicas` are not told.
};

class PartitionLeader {
public:
    // `high_watermark` as the last run left it; it is brought into the log's bounds. A follower is
    // in sync while it caught up within `lag_max` (replica.lag.time.max.ms).
    PartitionLeader(BrokerId self, Offset high_watermark, LogBounds log, Duration lag_max);

    // The metadata has news of this partition; older epochs are ignored. What is in the log already
    // may become committed: `committable` is the end of what is as safe as an acknowledgement
    // promises. Returns true if the leader or its epoch changed.
    bool lead(const Leadership& leadership, LogBounds log, Offset committable, Instant now);
    // The log is gone or its disk failed: leads nothing from now on.
    void resign();
    // min.insync.replicas; no more than there are replicas are ever asked for.
    void set_min_in_sync_replicas(std::int32_t count) { min_in_sync_replicas_ = count; }

    bool leads() const { return leadership_.leader == self_; }
    LeaderEpoch epoch() const { return leadership_.epoch; }
    BrokerId leader() const { return leadership_.leader; }
    const Leadership& leadership() const { return leadership_; }
    const std::vector<Follower>& followers() const { return followers_; }
    bool is_in_sync(BrokerId replica) const;
    // Where the log ended when this broker began to lead in this epoch.
    Offset epoch_start() const { return epoch_start_; }

    // May records be appended under epoch()? Changes nothing: the log can still refuse them.
    // NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS (acks=all and fewer than min.insync.replicas in
    // sync).
    ErrorCode prepare(RequiredAcks acks) const;
    // The local log ends at `end`, and holds everything below `committable` as safely as an
    // acknowledgement promises. Returns true if the high watermark moved.
    bool appended(Offset end, Offset committable, Instant now);
    // What a produce with acks=all hears once its records are committed: none, or
    // NOT_ENOUGH_REPLICAS_AFTER_APPEND.
    ErrorCode enough_replicas() const;
    // The log start offset moved; the high watermark is never below it.
    void log_start_moved(Offset log_start);

    // A follower asked for records, and its past is ours up to there. NOT_LEADER_OR_FOLLOWER if it
    // is no replica or an incarnation of the past.
    Fetched fetched(const FollowerFetch& fetch, LogBounds log, Instant now);
    // The metadata says which brokers live, in which incarnation. Returns true if the high
    // watermark moved, since it waits for nobody who cannot join.
    bool judge(const std::function<bool(const Follower&)>& eligible, Instant now);
    // The replicas in sync with those added that caught up, or without those that lag, or the same
    // once what followed an unclean election is done. Nothing while an earlier change is
    // unanswered, or if there is no reason for one. From then on the change is pending and both old
    // and new members count (KIP-497).
    std::optional<IsrChange> expand();
    std::optional<IsrChange> shrink(LogBounds log, Instant now);
    std::optional<IsrChange> recovered();
    bool awaits(const IsrChange& change) const { return pending_ == change; }
    // The controller answered `change`. Returns true if the high watermark moved. An error that
    // the metadata will explain leaves the change pending until then.
    bool answered(const IsrChange& change, const IsrAnswer& answer, Instant now);

    // The lowest log start offset of the replicas that live (DeleteRecords).
    Offset low_watermark(Offset own_log_start, const std::function<bool(BrokerId)>& lives) const;
    // A follower learns from its leader how far records are committed.
    bool committed(Offset leader_high_watermark, LogBounds log);
    // A follower's log was cut.
    void truncated(LogBounds log);

    // Is `current`, as a client knows the leader epoch, ours? Nothing is checked if it is -1.
    // FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER_OR_FOLLOWER (KIP-320).
    ErrorCode check_leads(LeaderEpoch current) const;

    // May it be read from there, and how far? `last_fetched` is what the log knows of the end of
    // place.last_fetched_epoch. OFFSET_OUT_OF_RANGE, OFFSET_NOT_AVAILABLE (a follower that does not
    // know yet whether it is committed), and those of check_leads.
    Readable readable(const ReadPlace& place, Isolation isolation, LogBounds log,
                      Offset last_stable_offset, std::optional<EpochEnd> last_fetched,
                      Reader reader = Reader::consumer) const;

    // Invariant: high-watermark-monotonic.
    Offset high_watermark() const { return high_watermark_; }

private:
    ErrorCode check_epoch(LeaderEpoch current) const;
    std::int32_t effective_min_in_sync() const;
    bool is_caught_up(const Follower& follower, Offset log_end, Instant now) const;
    bool may_join(const Follower& follower) const;
    // The smallest end among the replicas that count.
    bool advance(Instant now);
    void mark_members();
    Follower* find(BrokerId id);
    IsrChange ask_for(const std::vector<BrokerId>& members);

    BrokerId self_;
    Duration lag_max_;
    Leadership leadership_;
    std::int32_t min_in_sync_replicas_ = 1;
    Offset high_watermark_;
    Offset log_end_;
    Offset committable_;
    Offset epoch_start_{0};
    std::vector<Follower> followers_;   // By id; empty unless this broker leads.
    std::optional<IsrChange> pending_;  // Sent to the controller, not decided yet.
};

}  // namespace pabal::replication
