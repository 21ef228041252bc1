// What a ConsumerGroup writes into its log, and how the log brings it back.
#include <algorithm>

#include "group/consumer/assignment_wire.h"
#include "group/consumer/group.h"
#include "group/consumer/member.h"
#include "group/group_record.h"

namespace pabal::group {
namespace {

using CurrentValue = wire::ConsumerGroupCurrentMemberAssignmentValue;
using TargetValue = wire::ConsumerGroupTargetAssignmentMemberValue;
using MemberValue = wire::ConsumerGroupMemberMetadataValue;

std::vector<CurrentValue::TopicPartitions> held(const Assignment& assignment,
                                                const ConsumerMember& member) {
    auto topics = to_wire<CurrentValue::TopicPartitions>(assignment);
    for (auto& topic : topics) {
        auto& epochs = topic.assignment_epochs.emplace();
        for (const PartitionIndex partition : topic.partitions)
            epochs.push_back(member.since.at({topic.topic_id, partition}));
    }
    return topics;
}

// The bytes that were read shall not live as long as the member.
std::optional<MemberValue::ClassicMemberMetadata> own(
    std::optional<MemberValue::ClassicMemberMetadata> classic) {
    if (!classic || classic->supported_protocols.empty()) return std::nullopt;
    for (auto& protocol : classic->supported_protocols)
        protocol.metadata = Bytes::copy_of(protocol.metadata.view());
    return classic;
}

}  // namespace

void ConsumerGroup::write_metadata(const Member& member, Effects* effects) const {
    MemberValue value;
    value.instance_id = member.instance_id;
    value.rack_id = member.rack_id;
    value.client_id = member.client_id;
    value.client_host = member.client_host;
    value.subscribed_topic_names = member.topic_names;
    value.subscribed_topic_regex = member.pattern;
    value.rebalance_timeout_ms = member.rebalance_timeout_ms;
    value.server_assignor = member.server_assignor;
    value.classic_member_metadata = member.classic;
    effects->records.push_back(to_record(ConsumerMemberMetadata{id_, member.id, std::move(value)}));
}

void ConsumerGroup::write_current(const Member& member, Effects* effects) const {
    CurrentValue value;
    value.member_epoch = member.epoch;
    value.previous_member_epoch = member.previous_epoch;
    value.state = static_cast<std::int8_t>(member.state);
    value.assigned_partitions = held(member.assigned, member);
    value.partitions_pending_revocation = held(member.pending, member);
    effects->records.push_back(to_record(ConsumerCurrent{id_, member.id, std::move(value)}));
}

void ConsumerGroup::write_target(const std::string& member, const Assignment& target,
                                 Effects* effects) const {
    TargetValue value;
    value.topic_partitions = to_wire<TargetValue::TopicPartition>(target);
    effects->records.push_back(to_record(ConsumerTarget{id_, member, std::move(value)}));
}

void ConsumerGroup::write_removal(const std::string& member, Effects* effects) const {
    effects->records.push_back(to_record(ConsumerCurrent{id_, member, std::nullopt}));
    effects->records.push_back(to_record(ConsumerTarget{id_, member, std::nullopt}));
    effects->records.push_back(to_record(ConsumerMemberMetadata{id_, member, std::nullopt}));
}

void ConsumerGroup::write_tombstones(Effects* effects) const {
    for (const auto& [id, member] : members_)
        effects->records.push_back(to_record(ConsumerCurrent{id_, id, std::nullopt}));
    for (const auto& [id, member] : members_)
        effects->records.push_back(to_record(ConsumerTarget{id_, id, std::nullopt}));
    effects->records.push_back(to_record(ConsumerTargetEpoch{id_, std::nullopt}));
    for (const auto& [id, member] : members_)
        effects->records.push_back(to_record(ConsumerMemberMetadata{id_, id, std::nullopt}));
    for (const auto& [pattern, topics] : matched_)
        effects->records.push_back(to_record(ConsumerPattern{id_, pattern, std::nullopt}));
    effects->records.push_back(partition_metadata_tombstone(id_));
    effects->records.push_back(to_record(ConsumerEpoch{id_, std::nullopt}));
}

void ConsumerGroup::snapshot(Effects* effects) const {
    for (const auto& [id, member] : members_) write_metadata(*member, effects);
    for (const auto& [pattern, topics] : matched_) {
        wire::ConsumerGroupRegularExpressionValue value;
        value.topics.assign(topics.begin(), topics.end());
        effects->records.push_back(to_record(ConsumerPattern{id_, pattern, std::move(value)}));
    }
    wire::ConsumerGroupMetadataValue value;
    value.epoch = epoch_;
    value.metadata_hash = metadata_hash_;
    effects->records.push_back(to_record(ConsumerEpoch{id_, value}));
    for (const auto& [id, target] : targets_) write_target(id, target, effects);
    wire::ConsumerGroupTargetAssignmentMetadataValue target_value;
    target_value.assignment_epoch = target_epoch_;
    target_value.assignment_timestamp = target_timestamp_;
    effects->records.push_back(to_record(ConsumerTargetEpoch{id_, target_value}));
    for (const auto& [id, member] : members_) write_current(*member, effects);
}

void ConsumerGroup::replay(const ConsumerMemberMetadata& record, Moment moment) {
    const auto found = members_.find(record.member);
    if (!record.value) {
        if (found == members_.end()) return;
        set_held(found->second.get(), {}, {}, 0);
        if (const auto& instance = found->second->instance_id) {
            const auto holder = static_members_.find(*instance);
            if (holder != static_members_.end() && holder->second == record.member)
                static_members_.erase(holder);
        }
        members_.erase(found);
        return;
    }
    Member* member = found == members_.end() ? add_member(record.member) : found->second.get();
    member->instance_id = record.value->instance_id;
    member->rack_id = record.value->rack_id;
    member->client_id = record.value->client_id;
    member->client_host = record.value->client_host;
    member->topic_names = record.value->subscribed_topic_names;
    std::sort(member->topic_names.begin(), member->topic_names.end());
    member->pattern = record.value->subscribed_topic_regex.value_or("");
    member->rebalance_timeout_ms = record.value->rebalance_timeout_ms;
    member->server_assignor = record.value->server_assignor;
    member->classic = own(record.value->classic_member_metadata);
    begin_session(member, moment);
    if (member->instance_id) static_members_[*member->instance_id] = member->id;
}

void ConsumerGroup::replay(const ConsumerTarget& record) {
    if (record.value) {
        targets_[record.member] = from_wire(record.value->topic_partitions);
    } else {
        targets_.erase(record.member);
    }
}

void ConsumerGroup::replay(const ConsumerCurrent& record, Moment moment) {
    const auto found = members_.find(record.member);
    if (found == members_.end()) return;
    Member* member = found->second.get();
    member->revoke_by = Instant::never();
    if (!record.value) {
        set_held(member, {}, {}, 0);
        member->epoch = join_epoch;
        return;
    }
    member->epoch = record.value->member_epoch;
    member->previous_epoch = record.value->previous_member_epoch;
    member->state = static_cast<MemberState>(record.value->state);
    if (member->state == MemberState::unrevoked)
        member->revoke_by = moment.now + Duration::milliseconds(member->rebalance_timeout_ms);
    set_held(member, from_wire(record.value->assigned_partitions),
             from_wire(record.value->partitions_pending_revocation), member->epoch);
    const auto learn_epochs = [&](const auto& topics) {
        for (const auto& topic : topics) {
            // Before KIP-1251 none were written.
            if (!topic.assignment_epochs ||
                topic.assignment_epochs->size() != topic.partitions.size())
                continue;
            for (std::size_t i = 0; i < topic.partitions.size(); ++i)
                member->since[{topic.topic_id, topic.partitions[i]}] =
                    (*topic.assignment_epochs)[i];
        }
    };
    learn_epochs(record.value->assigned_partitions);
    learn_epochs(record.value->partitions_pending_revocation);
}

void ConsumerGroup::replay(const ConsumerPattern& record) {
    if (record.value) {
        const auto& topics = record.value->topics;
        matched_[record.pattern] = std::set<std::string>(topics.begin(), topics.end());
    } else {
        matched_.erase(record.pattern);
    }
}

void ConsumerGroup::replay_epoch(std::int32_t epoch, std::int64_t hash) {
    epoch_ = epoch;
    metadata_hash_ = hash;
}

void ConsumerGroup::replay_target_epoch(std::int32_t epoch, std::int64_t timestamp) {
    target_epoch_ = epoch;
    target_timestamp_ = timestamp;
}

}  // namespace pabal::group
