#include "group/group_record.h"

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/records/consumer_group_current_member_assignment_key.h"
#include "wire/records/consumer_group_member_metadata_key.h"
#include "wire/records/consumer_group_metadata_key.h"
#include "wire/records/consumer_group_partition_metadata_key.h"
#include "wire/records/consumer_group_regular_expression_key.h"
#include "wire/records/consumer_group_target_assignment_member_key.h"
#include "wire/records/consumer_group_target_assignment_metadata_key.h"
#include "wire/records/group_metadata_key.h"
#include "wire/records/offset_commit_key.h"
#include "wire/writer.h"

namespace pabal::group {
namespace {

// The highest version that has no tagged fields: what Kafka 4.3 writes.
constexpr int group_metadata_version = 3;
constexpr int offset_commit_version = 4;
constexpr int offset_commit_version_with_expiry = 1;
constexpr int legacy_offset_commit_key = 0;

template <class Message>
Bytes encoded(int prefix, const Message& message, int version) {
    wire::Writer writer;
    writer.int16(static_cast<std::int16_t>(prefix));
    encode(writer, message, version);
    auto bytes = writer.take().flatten();
    ASSERT(bytes, "a record holds no range of a file");
    return std::move(*bytes);
}

template <class Message>
Bytes key_of(const Message& message) {
    return encoded(Message::api_key, message, Message::max_version);
}

template <class Value>
Result<std::optional<Value>> parse_value(const std::optional<Bytes>& bytes) {
    if (!bytes) return std::optional<Value>();
    wire::Reader reader(*bytes);
    const int version = reader.int16("version");
    if (!reader.ok()) return reader.status().error();
    Value value;
    PABAL_TRY(decode(reader, value, version));
    return std::optional<Value>(std::move(value));
}

template <class Key, class Value>
record::KeyValue pair(const Key& key, const std::optional<Value>& value) {
    record::KeyValue made{key_of(key), std::nullopt};
    if (value) made.value = encoded(0, *value, 0);
    return made;
}

template <class Record, class Key, class Value>
Result<GroupRecord> parse_of_group(wire::Reader& reader, const std::optional<Bytes>& bytes) {
    Key key;
    PABAL_TRY(decode(reader, key, 0));
    PABAL_TRY_ASSIGN(auto value, parse_value<Value>(bytes));
    return GroupRecord(Record{std::move(key.group_id), std::move(value)});
}

template <class Record, class Key, class Value>
Result<GroupRecord> parse_of_member(wire::Reader& reader, const std::optional<Bytes>& bytes) {
    Key key;
    PABAL_TRY(decode(reader, key, 0));
    PABAL_TRY_ASSIGN(auto value, parse_value<Value>(bytes));
    return GroupRecord(Record{std::move(key.group_id), std::move(key.member_id), std::move(value)});
}

}  // namespace

record::KeyValue to_record(const ConsumerEpoch& record) {
    return pair(wire::ConsumerGroupMetadataKey{record.group}, record.value);
}

record::KeyValue to_record(const ConsumerMemberMetadata& record) {
    return pair(wire::ConsumerGroupMemberMetadataKey{record.group, record.member}, record.value);
}

record::KeyValue to_record(const ConsumerTargetEpoch& record) {
    return pair(wire::ConsumerGroupTargetAssignmentMetadataKey{record.group}, record.value);
}

record::KeyValue to_record(const ConsumerTarget& record) {
    return pair(wire::ConsumerGroupTargetAssignmentMemberKey{record.group, record.member},
                record.value);
}

record::KeyValue to_record(const ConsumerCurrent& record) {
    return pair(wire::ConsumerGroupCurrentMemberAssignmentKey{record.group, record.member},
                record.value);
}

record::KeyValue to_record(const ConsumerPattern& record) {
    return pair(wire::ConsumerGroupRegularExpressionKey{record.group, record.pattern},
                record.value);
}

record::KeyValue partition_metadata_tombstone(const std::string& group) {
    return {key_of(wire::ConsumerGroupPartitionMetadataKey{group}), std::nullopt};
}

record::KeyValue offset_commit_record(const std::string& group, const std::string& topic,
                                      PartitionIndex partition,
                                      const wire::OffsetCommitValue& value) {
    const int version =
        value.expire_timestamp >= 0 ? offset_commit_version_with_expiry : offset_commit_version;
    return {key_of(wire::OffsetCommitKey{group, topic, partition}),
            encoded(version, value, version)};
}

record::KeyValue offset_tombstone(const std::string& group, const std::string& topic,
                                  PartitionIndex partition) {
    return {key_of(wire::OffsetCommitKey{group, topic, partition}), std::nullopt};
}

record::KeyValue group_metadata_record(const std::string& group,
                                       const wire::GroupMetadataValue& value) {
    return {key_of(wire::GroupMetadataKey{group}),
            encoded(group_metadata_version, value, group_metadata_version)};
}

record::KeyValue group_tombstone(const std::string& group) {
    return {key_of(wire::GroupMetadataKey{group}), std::nullopt};
}

Result<GroupRecord> parse_group_record(const Bytes& key, const std::optional<Bytes>& value) {
    wire::Reader reader(key);
    const int kind = reader.int16("kind");
    if (!reader.ok()) return reader.status().error();
    if (kind == legacy_offset_commit_key || kind == wire::OffsetCommitKey::api_key) {
        wire::OffsetCommitKey parsed;
        PABAL_TRY(decode(reader, parsed, 0));
        PABAL_TRY_ASSIGN(auto commit, parse_value<wire::OffsetCommitValue>(value));
        return GroupRecord(OffsetCommit{std::move(parsed.group), std::move(parsed.topic),
                                        parsed.partition, std::move(commit)});
    }
    if (kind == wire::GroupMetadataKey::api_key) {
        wire::GroupMetadataKey parsed;
        PABAL_TRY(decode(reader, parsed, 0));
        PABAL_TRY_ASSIGN(auto metadata, parse_value<wire::GroupMetadataValue>(value));
        return GroupRecord(GroupMetadata{std::move(parsed.group), std::move(metadata)});
    }
    using namespace wire;
    switch (kind) {
        case ConsumerGroupMetadataKey::api_key:
            return parse_of_group<ConsumerEpoch, ConsumerGroupMetadataKey,
                                  ConsumerGroupMetadataValue>(reader, value);
        case ConsumerGroupMemberMetadataKey::api_key:
            return parse_of_member<ConsumerMemberMetadata, ConsumerGroupMemberMetadataKey,
                                   ConsumerGroupMemberMetadataValue>(reader, value);
        case ConsumerGroupTargetAssignmentMetadataKey::api_key:
            return parse_of_group<ConsumerTargetEpoch, ConsumerGroupTargetAssignmentMetadataKey,
                                  ConsumerGroupTargetAssignmentMetadataValue>(reader, value);
        case ConsumerGroupTargetAssignmentMemberKey::api_key:
            return parse_of_member<ConsumerTarget, ConsumerGroupTargetAssignmentMemberKey,
                                   ConsumerGroupTargetAssignmentMemberValue>(reader, value);
        case ConsumerGroupCurrentMemberAssignmentKey::api_key:
            return parse_of_member<ConsumerCurrent, ConsumerGroupCurrentMemberAssignmentKey,
                                   ConsumerGroupCurrentMemberAssignmentValue>(reader, value);
        case ConsumerGroupRegularExpressionKey::api_key: {
            ConsumerGroupRegularExpressionKey parsed;
            PABAL_TRY(decode(reader, parsed, 0));
            PABAL_TRY_ASSIGN(auto matched, parse_value<ConsumerGroupRegularExpressionValue>(value));
            return GroupRecord(ConsumerPattern{std::move(parsed.group_id),
                                               std::move(parsed.regular_expression),
                                               std::move(matched)});
        }
        default: return GroupRecord(OtherRecord());
    }
}

}  // namespace pabal::group
