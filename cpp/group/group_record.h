// The records of __consumer_offsets as Kafka 4.3 writes them, and the other way round. Pure.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "base/ids.h"
#include "base/result.h"
#include "record/key_value.h"
#include "wire/records/consumer_group_current_member_assignment_value.h"
#include "wire/records/consumer_group_member_metadata_value.h"
#include "wire/records/consumer_group_metadata_value.h"
#include "wire/records/consumer_group_regular_expression_value.h"
#include "wire/records/consumer_group_target_assignment_member_value.h"
#include "wire/records/consumer_group_target_assignment_metadata_value.h"
#include "wire/records/group_metadata_value.h"
#include "wire/records/offset_commit_value.h"

namespace pabal::group {

record::KeyValue offset_commit_record(const std::string& group, const std::string& topic,
                                      PartitionIndex partition,
                                      const wire::OffsetCommitValue& value);
record::KeyValue offset_tombstone(const std::string& group, const std::string& topic,
                                  PartitionIndex partition);
record::KeyValue group_metadata_record(const std::string& group,
                                       const wire::GroupMetadataValue& value);
record::KeyValue group_tombstone(const std::string& group);

struct OffsetCommit {
    std::string group;
    std::string topic;
    PartitionIndex partition;
    std::optional<wire::OffsetCommitValue> value;  // None: the offset was deleted.
};
struct GroupMetadata {
    std::string group;
    std::optional<wire::GroupMetadataValue> value;  // None: the group was deleted.
};

// Of the consumer group protocol (KIP-848).
struct ConsumerEpoch {
    std::string group;
    std::optional<wire::ConsumerGroupMetadataValue> value;  // None: the group was deleted.
};
struct ConsumerMemberMetadata {
    std::string group;
    std::string member;
    std::optional<wire::ConsumerGroupMemberMetadataValue> value;  // None: the member left.
};
struct ConsumerTargetEpoch {
    std::string group;
    std::optional<wire::ConsumerGroupTargetAssignmentMetadataValue> value;
};
struct ConsumerTarget {
    std::string group;
    std::string member;
    std::optional<wire::ConsumerGroupTargetAssignmentMemberValue> value;
};
struct ConsumerCurrent {
    std::string group;
    std::string member;
    std::optional<wire::ConsumerGroupCurrentMemberAssignmentValue> value;
};
// What a regular expression matched that members subscribe to.
struct ConsumerPattern {
    std::string group;
    std::string pattern;
    std::optional<wire::ConsumerGroupRegularExpressionValue> value;  // None: nobody uses it.
};
record::KeyValue to_record(const ConsumerEpoch& record);
record::KeyValue to_record(const ConsumerMemberMetadata& record);
record::KeyValue to_record(const ConsumerTargetEpoch& record);
record::KeyValue to_record(const ConsumerTarget& record);
record::KeyValue to_record(const ConsumerCurrent& record);
record::KeyValue to_record(const ConsumerPattern& record);
// Of a record that Kafka no longer writes and still takes away with a group.
record::KeyValue partition_metadata_tombstone(const std::string& group);

// Of a kind that this broker does not act on.
struct OtherRecord {};

using GroupRecord =
    std::variant<OtherRecord, OffsetCommit, GroupMetadata, ConsumerEpoch, ConsumerMemberMetadata,
                 ConsumerTargetEpoch, ConsumerTarget, ConsumerCurrent, ConsumerPattern>;

// INVALID_RECORD names what does not parse.
Result<GroupRecord> parse_group_record(const Bytes& key, const std::optional<Bytes>& value);

}  // namespace pabal::group
