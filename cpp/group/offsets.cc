#include "group/offsets.h"

#include <utility>

namespace pabal::group {

CommittedOffset committed_offset(wire::OffsetCommitValue value) {
    CommittedOffset offset;
    offset.offset = value.offset;
    offset.leader_epoch = value.leader_epoch;
    offset.metadata = std::move(value.metadata);
    offset.commit_timestamp = value.commit_timestamp;
    offset.expire_timestamp = value.expire_timestamp;
    offset.topic_id = value.topic_id;
    return offset;
}

wire::OffsetCommitValue offset_value(const CommittedOffset& offset) {
    wire::OffsetCommitValue value;
    value.offset = offset.offset;
    value.leader_epoch = offset.leader_epoch;
    value.metadata = offset.metadata;
    value.commit_timestamp = offset.commit_timestamp;
    value.expire_timestamp = offset.expire_timestamp;
    // The version that can expire has no place for the id.
    if (offset.expire_timestamp < 0) value.topic_id = offset.topic_id;
    return value;
}

const CommittedOffset* Offsets::find(const std::string& topic, PartitionIndex partition) const {
    const auto found = topics_.find(topic);
    if (found == topics_.end()) return nullptr;
    const auto offset = found->second.find(partition);
    return offset == found->second.end() ? nullptr : &offset->second;
}

void Offsets::set(const std::string& topic, PartitionIndex partition, CommittedOffset offset) {
    topics_[topic][partition] = std::move(offset);
}

void Offsets::remove(const std::string& topic, PartitionIndex partition) {
    const auto found = topics_.find(topic);
    if (found == topics_.end()) return;
    found->second.erase(partition);
    if (found->second.empty()) topics_.erase(found);
}

}  // namespace pabal::group
