// What a broker may do with one partition: whether it leads it, in which epoch, what is committed
// and what a reader may see. One per partition that the broker holds, on the partition's shard.
// Pure: callers do the reading, writing and waking. Errors are Kafka's codes, bare: they are made
// for every partition of every request.
#pragma once

#include <cstdint>
#include <optional>

#include "base/error_code.h"
#include "base/ids.h"

namespace pabal::replication {

// `acks` of a Produce request.
enum class RequiredAcks : std::int16_t { all = -1, none = 0, leader = 1 };

// `isolation_level` of Fetch and ListOffsets (KIP-98).
enum class Isolation : std::int8_t { read_uncommitted = 0, read_committed = 1 };

// What the metadata log says of the partition.
struct Leadership {
    BrokerId leader = no_broker;
    LeaderEpoch epoch = no_leader_epoch;
    std::int32_t in_sync_replica_count = 0;

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

class PartitionLeader {
public:
    // `high_watermark` as the last run left it; it is brought into the log's bounds.
    PartitionLeader(BrokerId self, Offset high_watermark, LogBounds log);

    // The metadata has news of this partition; older epochs are ignored. What is in the log already
    // may become committed. Returns true if the leader or its epoch changed.
    bool lead(Leadership leadership, LogBounds log);
    // The log is gone or its disk failed: leads nothing from now on.
    void resign() { leadership_.leader = no_broker; }

    bool leads() const { return leadership_.leader == self_; }
    LeaderEpoch epoch() const { return leadership_.epoch; }
    BrokerId leader() const { return leadership_.leader; }

    // May records be appended under epoch()? Changes nothing: the log can still refuse them.
    // NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS (acks=all and fewer than
    // `min_in_sync_replicas` in sync).
    ErrorCode prepare(RequiredAcks acks, std::int32_t min_in_sync_replicas) const;
    // The local log holds everything below `end` as safely as an acknowledgement promises. Returns
    // true if the high watermark moved.
    bool appended(Offset end);
    // The log start offset moved; the high watermark is never below it.
    void log_start_moved(Offset log_start);

    // Is `current`, as a client knows the leader epoch, ours? Nothing is checked if it is -1.
    // FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, NOT_LEADER_OR_FOLLOWER (KIP-320).
    ErrorCode check_leads(LeaderEpoch current) const;

    // May a consumer read from there, and how far? `last_fetched` is what the log knows of the end
    // of place.last_fetched_epoch. OFFSET_OUT_OF_RANGE and those of check_leads.
    Readable readable(const ReadPlace& place, Isolation isolation, LogBounds log,
                      Offset last_stable_offset, std::optional<EpochEnd> last_fetched) const;

    // Invariant: high-watermark-monotonic.
    Offset high_watermark() const { return high_watermark_; }

private:
    BrokerId self_;
    Leadership leadership_;
    Offset high_watermark_;
};

}  // namespace pabal::replication
