// How far one group has read: its committed offsets by topic and partition. Values only; who may
// change them is the group's business. Ordered, so that what is listed or expired comes in one
// order.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/ids.h"
#include "wire/records/offset_commit_value.h"

namespace pabal::group {

struct CommittedOffset {
    Offset offset{-1};
    LeaderEpoch leader_epoch{-1};
    std::string metadata;
    std::int64_t commit_timestamp = -1;
    std::int64_t expire_timestamp = -1;  // Of commits that name a retention time of their own.
    TopicId topic_id;
    std::uint64_t order = 0;  // Of its record among the shard's; not in the record.

    bool operator==(const CommittedOffset&) const = default;
};

// As its record has it, and the other way round.
CommittedOffset committed_offset(wire::OffsetCommitValue value);
wire::OffsetCommitValue offset_value(const CommittedOffset& offset);

class Offsets {
public:
    using Partitions = std::map<PartitionIndex, CommittedOffset>;
    using Topics = std::map<std::string, Partitions, std::less<>>;

    const Topics& topics() const { return topics_; }
    bool empty() const { return topics_.empty(); }
    // Null if nothing was committed there.
    const CommittedOffset* find(const std::string& topic, PartitionIndex partition) const;
    void set(const std::string& topic, PartitionIndex partition, CommittedOffset offset);
    void remove(const std::string& topic, PartitionIndex partition);

private:
    Topics topics_;  // No topic without a partition.
};

}  // namespace pabal::group
