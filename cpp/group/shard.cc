#include "group/shard.h"

#include <algorithm>

#include "group/group_record.h"
#include "group/subscription.h"
#include "metadata/cluster_image.h"

namespace pabal::group {
namespace {

CommittedOffset from_record(wire::OffsetCommitValue value) {
    return {value.offset,           value.leader_epoch,     std::move(value.metadata),
            value.commit_timestamp, value.expire_timestamp, value.topic_id};
}

wire::OffsetCommitValue to_record(const CommittedOffset& offset) {
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

}  // namespace

Shard::~Shard() = default;

Shard::Group* Shard::find(const std::string& id) {
    const auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : found->second.get();
}

const Shard::Group* Shard::find(const std::string& id) const {
    const auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : found->second.get();
}

Shard::Group* Shard::find_or_create(const std::string& id, Moment moment) {
    auto& group = groups_[id];
    if (!group) group = std::make_unique<Group>(ClassicGroup(id, settings_, moment));
    return group.get();
}

void Shard::remove(const std::string& id) {
    const auto found = groups_.find(id);
    if (found == groups_.end()) return;
    timers_.erase({found->second->armed, id});
    groups_.erase(found);
}

void Shard::arm(const std::string& id, Group* group) {
    Instant deadline = group->classic.deadline();
    if (group->consumer) deadline = std::min(deadline, group->consumer->deadline());
    if (deadline == group->armed) return;
    if (group->armed != Instant::never()) timers_.erase({group->armed, id});
    group->armed = deadline;
    if (deadline != Instant::never()) timers_.emplace(deadline, id);
}

Status Shard::replay(const record::KeyValue& record, Moment moment) {
    PABAL_TRY_ASSIGN(GroupRecord parsed, parse_group_record(record.key, record.value));
    if (auto* commit = std::get_if<OffsetCommit>(&parsed)) {
        if (commit->value) {
            Group* group = find_or_create(commit->group, moment);
            group->offsets.set(commit->topic, commit->partition,
                               from_record(std::move(*commit->value)));
            return Status();
        }
        Group* group = find(commit->group);
        if (!group) return Status();
        group->offsets.remove(commit->topic, commit->partition);
        // It existed through its offsets alone.
        if (group->offsets.empty() && !group->has_record) remove(commit->group);
    } else if (auto* metadata = std::get_if<GroupMetadata>(&parsed)) {
        if (metadata->value) {
            Group* group = find_or_create(metadata->group, moment);
            group->classic = ClassicGroup(metadata->group, settings_, *metadata->value, moment);
            group->has_record = true;
            arm(metadata->group, group);
            return Status();
        }
        Group* group = find(metadata->group);
        if (!group) return Status();
        if (group->offsets.empty()) {
            remove(metadata->group);
        } else {
            group->classic = ClassicGroup(metadata->group, settings_, moment);
            group->has_record = false;
            arm(metadata->group, group);
        }
    } else {
        replay_consumer(parsed, moment);
    }
    return Status();
}

Shard::Group* Shard::find_or_create_consumer(const std::string& id, Moment moment) {
    Group* group = find_or_create(id, moment);
    if (!group->consumer) group->consumer = std::make_unique<ConsumerGroup>(id, settings_);
    return group;
}

void Shard::replay_consumer(const GroupRecord& record, Moment moment) {
    // What removes makes nothing.
    const auto group_for = [&](const std::string& id, bool removes) -> Group* {
        if (!removes) return find_or_create_consumer(id, moment);
        Group* group = find(id);
        return group && group->consumer ? group : nullptr;
    };
    if (const auto* epoch = std::get_if<ConsumerEpoch>(&record)) {
        Group* group = group_for(epoch->group, !epoch->value);
        if (!group) return;
        if (epoch->value) {
            group->consumer->replay_epoch(epoch->value->epoch, epoch->value->metadata_hash);
        } else {
            group->consumer.reset();
            arm(epoch->group, group);
            if (group->offsets.empty() && !group->has_record) remove(epoch->group);
        }
    } else if (const auto* member = std::get_if<ConsumerMemberMetadata>(&record)) {
        Group* group = group_for(member->group, !member->value);
        if (!group) return;
        group->consumer->replay(*member, moment);
        arm(member->group, group);
    } else if (const auto* target_epoch = std::get_if<ConsumerTargetEpoch>(&record)) {
        Group* group = group_for(target_epoch->group, !target_epoch->value);
        if (group && target_epoch->value)
            group->consumer->replay_target_epoch(target_epoch->value->assignment_epoch);
    } else if (const auto* target = std::get_if<ConsumerTarget>(&record)) {
        if (Group* group = group_for(target->group, !target->value))
            group->consumer->replay(*target);
    } else if (const auto* current = std::get_if<ConsumerCurrent>(&record)) {
        if (Group* group = group_for(current->group, !current->value))
            group->consumer->replay(*current);
    }
}

bool Shard::is_empty(const Group& group) const {
    return group.consumer ? group.consumer->is_empty() : group.classic.is_empty();
}

bool Shard::subscribes(const Group& group, const std::string& topic) const {
    return group.consumer ? group.consumer->subscribes(topic) : group.classic.subscribes(topic);
}

// --- the consumer group protocol

Duration Shard::consumer_heartbeat(const wire::ConsumerGroupHeartbeatRequest& request,
                                   const Caller& caller, Moment moment, Effects* effects) {
    const std::string& id = request.group_id;
    Group* group = find(id);
    const auto refuse = [&](std::string message) {
        wire::ConsumerGroupHeartbeatResponse response;
        response.error_code = ErrorCode::group_id_not_found;
        response.error_message = std::move(message);
        effects->replies.push_back({caller.call, std::move(response)});
        return Duration();
    };
    const bool joins = request.member_epoch == ConsumerGroup::join_epoch;
    bool fresh = false;
    if (!group && !joins) return refuse("Group " + id + " not found.");
    if (!group || !group->consumer) {
        if (group && (!joins || !group->classic.is_empty()))
            return refuse("Group " + id + " is not a consumer group.");
        // An empty classic group changes its protocol with its first member.
        if (group && group->has_record) effects->records.push_back(group_tombstone(id));
        fresh = group == nullptr;
        group = find_or_create_consumer(id, moment);
        group->classic = ClassicGroup(id, settings_, moment);
        group->has_record = false;
    }
    const Duration patience = group->consumer->heartbeat(request, caller, *image_, moment, effects);
    arm(id, group);
    // Its first member was refused.
    if (fresh && group->consumer->is_empty()) remove(id);
    return patience;
}

wire::ConsumerGroupHeartbeatResponse Shard::nothing_new(
    const wire::ConsumerGroupHeartbeatRequest& request) const {
    const Group* group = find(request.group_id);
    if (group && group->consumer) return group->consumer->nothing_new(request);
    return {};
}

wire::ConsumerGroupDescribeResponse::DescribedGroup Shard::describe_consumer(
    const std::string& id) const {
    const Group* group = find(id);
    if (group && group->consumer) return group->consumer->describe(*image_);
    wire::ConsumerGroupDescribeResponse::DescribedGroup described;
    described.group_id = id;
    described.error_code = ErrorCode::group_id_not_found;
    described.error_message =
        group ? "Group " + id + " is not a consumer group." : "Group " + id + " not found.";
    return described;
}

void Shard::learn(std::shared_ptr<const metadata::ClusterImage> image, Moment moment,
                  Effects* effects) {
    image_ = std::move(image);
    for (auto& [id, group] : groups_) {
        if (!group->consumer) continue;
        group->consumer->metadata_changed(*image_, moment, effects);
        arm(id, group.get());
    }
}

// --- the classic protocol

void Shard::note_records(const std::string& id, std::size_t first, Effects* effects) {
    // Of the requests that call this, only the metadata of that one group is written.
    if (effects->records.size() == first) return;
    if (Group* group = find(id)) group->has_record = true;
}

void Shard::join(const wire::JoinGroupRequest& request, const Joiner& joiner, Moment moment,
                 Effects* effects) {
    Group* group = find(request.group_id);
    if (!group && !request.member_id.empty()) {
        wire::JoinGroupResponse response;
        response.error_code = ErrorCode::unknown_member_id;
        response.member_id = request.member_id;
        effects->replies.push_back({joiner.call, std::move(response)});
        return;
    }
    if (group && group->consumer) {
        if (!group->consumer->is_empty()) {
            wire::JoinGroupResponse response;
            response.error_code = ErrorCode::inconsistent_group_protocol;
            response.member_id = request.member_id;
            effects->replies.push_back({joiner.call, std::move(response)});
            return;
        }
        group->consumer->write_tombstones(effects);
        group->consumer.reset();
        arm(request.group_id, group);
    }
    const bool fresh = group == nullptr;
    if (fresh) group = find_or_create(request.group_id, moment);
    const std::size_t first = effects->records.size();
    group->classic.join(request, joiner, moment, &random_, effects);
    if (fresh && effects->records.size() == first) {
        // Somebody knows of the group now, so it must be found again.
        wire::GroupMetadataValue value;
        value.generation = 0;
        value.current_state_timestamp = group->classic.state_timestamp();
        effects->records.push_back(group_metadata_record(request.group_id, value));
    }
    note_records(request.group_id, first, effects);
    arm(request.group_id, group);
}

void Shard::sync(const wire::SyncGroupRequest& request, CallId call, Moment moment,
                 Effects* effects) {
    Group* group = find(request.group_id);
    if (!group) {
        wire::SyncGroupResponse response;
        response.error_code = ErrorCode::unknown_member_id;
        effects->replies.push_back({call, std::move(response)});
        return;
    }
    const std::size_t first = effects->records.size();
    group->classic.sync(request, call, moment, effects);
    note_records(request.group_id, first, effects);
    arm(request.group_id, group);
}

ErrorCode Shard::heartbeat(const wire::HeartbeatRequest& request, Moment moment) {
    Group* group = find(request.group_id);
    // A session that begins anew brings no deadline forward.
    return group ? group->classic.heartbeat(request, moment) : ErrorCode::unknown_member_id;
}

Duration Shard::park_heartbeat(const wire::HeartbeatRequest& request, CallId call) {
    Group* group = find(request.group_id);
    return group ? group->classic.park_heartbeat(request.member_id, call) : Duration();
}

wire::LeaveGroupResponse Shard::leave(const wire::LeaveGroupRequest& request, Moment moment,
                                      Effects* effects) {
    wire::LeaveGroupResponse response;
    Group* group = find(request.group_id);
    if (!group) {
        for (const auto& member : request.members) {
            auto& answered = response.members.emplace_back();
            answered.member_id = member.member_id;
            answered.group_instance_id = member.group_instance_id;
            answered.error_code = ErrorCode::unknown_member_id;
        }
        return response;
    }
    const std::size_t first = effects->records.size();
    response.members = group->classic.leave(request, moment, effects);
    note_records(request.group_id, first, effects);
    arm(request.group_id, group);
    return response;
}

wire::OffsetCommitResponse Shard::commit(const wire::OffsetCommitRequest& request, int version,
                                         Moment moment, Effects* effects) {
    wire::OffsetCommitResponse response;
    Group* group = find(request.group_id);
    ErrorCode refusal = ErrorCode::none;
    if (group && group->consumer) {
        refusal =
            group->consumer->check_epoch(request.member_id, request.generation_id_or_member_epoch);
    } else if (group) {
        refusal = group->classic.commit(request.member_id, request.group_instance_id,
                                        request.generation_id_or_member_epoch, moment);
    } else if (request.generation_id_or_member_epoch >= 0) {
        refusal = version >= 9 ? ErrorCode::group_id_not_found : ErrorCode::illegal_generation;
    }
    response.topics.reserve(request.topics.size());
    for (const auto& topic : request.topics) {
        auto& answered_topic = response.topics.emplace_back();
        answered_topic.name = topic.name;
        answered_topic.topic_id = topic.topic_id;
        answered_topic.partitions.reserve(topic.partitions.size());
        for (const auto& partition : topic.partitions) {
            auto& answered = answered_topic.partitions.emplace_back();
            answered.partition_index = partition.partition_index;
            answered.error_code = refusal;
            if (refusal != ErrorCode::none) continue;
            CommittedOffset offset;
            offset.metadata = partition.committed_metadata.value_or("");
            if (offset.metadata.size() > settings_->offset_metadata_max_bytes) {
                answered.error_code = ErrorCode::offset_metadata_too_large;
                continue;
            }
            offset.offset = partition.committed_offset;
            offset.leader_epoch = partition.committed_leader_epoch;
            offset.commit_timestamp = moment.wall.milliseconds;
            if (request.retention_time_ms >= 0)
                offset.expire_timestamp = moment.wall.milliseconds + request.retention_time_ms;
            offset.topic_id = topic.topic_id;
            // A group that nobody joined lives through its offsets.
            if (!group) group = find_or_create(request.group_id, moment);
            effects->records.push_back(offset_commit_record(
                request.group_id, topic.name, partition.partition_index, to_record(offset)));
            group->offsets.set(topic.name, partition.partition_index, std::move(offset));
        }
    }
    return response;
}

wire::OffsetFetchResponse::OffsetFetchResponseGroup Shard::fetch(
    const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request) const {
    using Response = wire::OffsetFetchResponse;
    Response::OffsetFetchResponseGroup response;
    response.group_id = request.group_id;
    const Group* group = find(request.group_id);
    if (request.member_id && request.member_epoch >= 0) {
        if (!group) response.error_code = ErrorCode::group_id_not_found;
        if (group && group->consumer)
            response.error_code =
                group->consumer->check_epoch(*request.member_id, request.member_epoch);
        if (response.error_code != ErrorCode::none) return response;
    }
    const auto answer = [](PartitionIndex index, const CommittedOffset* offset) {
        Response::OffsetFetchResponsePartitions answered;
        answered.partition_index = index;
        answered.committed_offset = offset ? offset->offset : Offset(-1);
        answered.committed_leader_epoch = offset ? offset->leader_epoch : no_leader_epoch;
        answered.metadata = offset ? offset->metadata : "";
        return answered;
    };
    if (!request.topics) {
        if (!group) return response;
        for (const auto& [name, partitions] : group->offsets.topics()) {
            auto& topic = response.topics.emplace_back();
            topic.name = name;
            for (const auto& [index, offset] : partitions)
                topic.partitions.push_back(answer(index, &offset));
        }
        return response;
    }
    for (const auto& asked : *request.topics) {
        auto& topic = response.topics.emplace_back();
        topic.name = asked.name;
        topic.topic_id = asked.topic_id;
        for (const PartitionIndex index : asked.partition_indexes) {
            topic.partitions.push_back(
                answer(index, group ? group->offsets.find(asked.name, index) : nullptr));
        }
    }
    return response;
}

wire::OffsetDeleteResponse Shard::delete_offsets(const wire::OffsetDeleteRequest& request, Moment,
                                                 Effects* effects) {
    wire::OffsetDeleteResponse response;
    Group* group = find(request.group_id);
    if (!group) {
        response.error_code = ErrorCode::group_id_not_found;
        return response;
    }
    if (!group->consumer && !group->classic.is_empty() && !group->classic.is_consumer_group()) {
        response.error_code = ErrorCode::non_empty_group;
        return response;
    }
    for (const auto& topic : request.topics) {
        auto& answered_topic = response.topics.emplace_back();
        answered_topic.name = topic.name;
        const bool subscribed = subscribes(*group, topic.name);
        for (const auto& partition : topic.partitions) {
            auto& answered = answered_topic.partitions.emplace_back();
            answered.partition_index = partition.partition_index;
            if (subscribed) {
                answered.error_code = ErrorCode::group_subscribed_to_topic;
            } else if (group->offsets.find(topic.name, partition.partition_index)) {
                remove_offset(request.group_id, group, topic.name, partition.partition_index,
                              effects);
            }
        }
    }
    return response;
}

void Shard::remove_offset(const std::string& id, Group* group, const std::string& topic,
                          PartitionIndex partition, Effects* effects) {
    effects->records.push_back(offset_tombstone(id, topic, partition));
    group->offsets.remove(topic, partition);
}

wire::DescribeGroupsResponse::DescribedGroup Shard::describe(const std::string& id) const {
    const Group* group = find(id);
    if (group && !group->consumer) return group->classic.describe();
    wire::DescribeGroupsResponse::DescribedGroup described;
    described.group_id = id;
    described.error_code = ErrorCode::group_id_not_found;
    described.error_message =
        group ? "Group " + id + " is not a classic group." : "Group " + id + " not found.";
    described.group_state = state_name(GroupState::dead);
    return described;
}

void Shard::list(std::vector<wire::ListGroupsResponse::ListedGroup>* listed) const {
    for (const auto& [id, group] : groups_) {
        auto& each = listed->emplace_back();
        each.group_id = id;
        each.protocol_type = group->classic.protocol_type().value_or("");
        each.group_state = state_name(group->classic.state());
        each.group_type = "classic";
        if (!group->consumer) continue;
        each.protocol_type = consumer_protocol_type;
        each.group_state = group->consumer->state();
        each.group_type = "consumer";
    }
}

ErrorCode Shard::delete_group(const std::string& id, Effects* effects) {
    Group* group = find(id);
    if (!group) return ErrorCode::group_id_not_found;
    if (!is_empty(*group)) return ErrorCode::non_empty_group;
    for (const auto& [topic, partitions] : group->offsets.topics()) {
        for (const auto& [index, offset] : partitions)
            effects->records.push_back(offset_tombstone(id, topic, index));
    }
    remove_group(id, effects);
    return ErrorCode::none;
}

void Shard::topic_deleted(const std::string& topic, TopicId id, Effects* effects) {
    for (auto& [group_id, group] : groups_) {
        const auto found = group->offsets.topics().find(topic);
        if (found == group->offsets.topics().end()) continue;
        std::vector<PartitionIndex> gone;
        for (const auto& [index, offset] : found->second) {
            // A topic of the same name may have come since.
            if (offset.topic_id == id || offset.topic_id.value().is_zero()) gone.push_back(index);
        }
        for (const PartitionIndex index : gone)
            remove_offset(group_id, group.get(), topic, index, effects);
    }
}

// KIP-211: a group that somebody reads with keeps the offsets of what it reads; an empty one keeps
// them for the retention time since it became empty; a simple consumer since each commit.
void Shard::expire_offsets(Moment moment, Effects* effects) {
    const std::int64_t now = moment.wall.milliseconds;
    const std::int64_t retention = settings_->offsets_retention.to_milliseconds();
    std::vector<std::string> finished;
    for (auto& [id, group] : groups_) {
        const ClassicGroup& classic = group->classic;
        const bool simple = group->consumer || !classic.protocol_type().has_value();
        const bool reads = group->consumer
                               ? !group->consumer->is_empty()
                               : classic.state() == GroupState::stable &&
                                     classic.is_consumer_group() && classic.knows_subscriptions();
        if (!simple && !classic.is_empty() && !reads) continue;
        std::vector<std::pair<std::string, PartitionIndex>> expired;
        for (const auto& [topic, partitions] : group->offsets.topics()) {
            if (reads && subscribes(*group, topic)) continue;
            for (const auto& [index, offset] : partitions) {
                std::int64_t since = offset.commit_timestamp;
                if (!simple && classic.is_empty() && classic.state_timestamp() >= 0)
                    since = classic.state_timestamp();
                const bool due = offset.expire_timestamp >= 0 ? now >= offset.expire_timestamp
                                                              : now - since >= retention;
                if (due) expired.emplace_back(topic, index);
            }
        }
        for (const auto& [topic, index] : expired)
            remove_offset(id, group.get(), topic, index, effects);
        // An id that was given keeps the group: its member is about to come.
        if (group->offsets.empty() && is_empty(*group) && classic.deadline() == Instant::never())
            finished.push_back(id);
    }
    for (const std::string& id : finished) remove_group(id, effects);
}

void Shard::remove_group(const std::string& id, Effects* effects) {
    Group* group = find(id);
    if (group->consumer) {
        group->consumer->write_tombstones(effects);
    } else {
        effects->records.push_back(group_tombstone(id));
    }
    remove(id);
}

Instant Shard::deadline() const {
    return timers_.empty() ? Instant::never() : timers_.begin()->first;
}

void Shard::elapsed(Moment moment, Effects* effects) {
    while (!timers_.empty() && timers_.begin()->first <= moment.now) {
        const std::string id = timers_.begin()->second;
        Group* group = find(id);
        const std::size_t first = effects->records.size();
        if (group->consumer) {
            group->consumer->elapsed(*image_, moment, effects);
        } else {
            group->classic.elapsed(moment, effects);
            note_records(id, first, effects);
        }
        arm(id, group);
    }
}

void Shard::abandon(ErrorCode error, Effects* effects) {
    for (auto& [id, group] : groups_) {
        group->classic.abandon(error, effects);
        if (group->consumer) group->consumer->abandon(error, effects);
    }
}

void Shard::snapshot(const std::function<void(record::KeyValue)>& take) const {
    for (const auto& [id, group] : groups_) {
        if (group->consumer) {
            Effects effects;
            group->consumer->snapshot(&effects);
            for (auto& record : effects.records) take(std::move(record));
        }
        if (group->has_record) take(group_metadata_record(id, group->classic.metadata()));
        for (const auto& [topic, partitions] : group->offsets.topics()) {
            for (const auto& [index, offset] : partitions)
                take(offset_commit_record(id, topic, index, to_record(offset)));
        }
    }
}

}  // namespace pabal::group
