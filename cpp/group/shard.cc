#include "group/shard.h"

#include <algorithm>

#include "base/probe.h"
#include "group/group_record.h"
#include "group/subscription.h"
#include "metadata/cluster_image.h"

namespace pabal::group {

Shard::~Shard() = default;

Shard::Group* Shard::find(const std::string& id) {
    // Records and requests of one group come in a row.
    if (recent_ != groups_.end() && recent_->first == id) return recent_->second.get();
    const auto found = groups_.find(id);
    if (found == groups_.end()) return nullptr;
    recent_ = found;
    return found->second.get();
}

const Shard::Group* Shard::find(const std::string& id) const {
    const auto found = groups_.find(id);
    return found == groups_.end() ? nullptr : found->second.get();
}

Shard::Group* Shard::find_or_create(const std::string& id, Moment moment) {
    if (Group* known = find(id)) return known;
    recent_ =
        groups_.emplace(id, std::make_unique<Group>(ClassicGroup(id, settings_, moment))).first;
    return recent_->second.get();
}

void Shard::remove(const std::string& id) {
    const auto found = groups_.find(id);
    if (found == groups_.end()) return;
    timers_.erase({found->second->armed, id});
    if (recent_ == found) recent_ = groups_.end();
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

Status Shard::replay(const record::KeyValue& record, Moment moment, ProducerId producer) {
    PABAL_TRY_ASSIGN(GroupRecord parsed, parse_group_record(record.key, record.value));
    if (auto* commit = std::get_if<OffsetCommit>(&parsed)) {
        if (commit->value) {
            Group* group = find_or_create(commit->group, moment);
            CommittedOffset offset = committed_offset(std::move(*commit->value));
            offset.order = ++last_order_;
            if (producer != no_producer_id) transactions_[producer].insert(commit->group);
            Offsets& offsets =
                producer == no_producer_id ? group->offsets : group->pending[producer];
            offsets.set(commit->topic, commit->partition, std::move(offset));
            return Status();
        }
        Group* group = find(commit->group);
        if (!group) return Status();
        group->offsets.remove(commit->topic, commit->partition);
        remove_pending(group, commit->topic, commit->partition);
        // It existed through its offsets alone.
        if (group->offsets.empty() && group->pending.empty() && !group->has_record &&
            !group->consumer)
            remove(commit->group);
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
        if (group->offsets.empty() && group->pending.empty() && !group->consumer) {
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
            if (group->offsets.empty() && group->pending.empty() && !group->has_record)
                remove(epoch->group);
        }
    } else if (const auto* member = std::get_if<ConsumerMemberMetadata>(&record)) {
        Group* group = group_for(member->group, !member->value);
        if (!group) return;
        group->consumer->replay(*member, moment);
        arm(member->group, group);
    } else if (const auto* target_epoch = std::get_if<ConsumerTargetEpoch>(&record)) {
        Group* group = group_for(target_epoch->group, !target_epoch->value);
        if (group && target_epoch->value)
            group->consumer->replay_target_epoch(target_epoch->value->assignment_epoch,
                                                 target_epoch->value->assignment_timestamp);
    } else if (const auto* target = std::get_if<ConsumerTarget>(&record)) {
        if (Group* group = group_for(target->group, !target->value))
            group->consumer->replay(*target);
    } else if (const auto* current = std::get_if<ConsumerCurrent>(&record)) {
        if (Group* group = group_for(current->group, !current->value)) {
            group->consumer->replay(*current, moment);
            arm(current->group, group);
        }
    } else if (const auto* pattern = std::get_if<ConsumerPattern>(&record)) {
        if (Group* group = group_for(pattern->group, !pattern->value))
            group->consumer->replay(*pattern);
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
    if (!group && !joins) return refuse("Group " + id + " not found.");
    if (!group || !group->consumer) {
        if (group && !joins) return refuse("Group " + id + " is not a consumer group.");
        if (group && !group->classic.is_empty())
            return upgrade(group, request, caller, moment, effects);
        // An empty classic group changes its protocol with its first member.
        return begin_consumer(std::make_unique<ConsumerGroup>(id, settings_), request, caller,
                              moment, effects);
    }
    if (request.member_epoch == ConsumerGroup::leave_epoch &&
        group->consumer->check_leave(request).ok() &&
        group->consumer->becomes_classic_without({request.member_id})) {
        wire::ConsumerGroupHeartbeatResponse response;
        response.member_id = request.member_id;
        response.member_epoch = request.member_epoch;
        effects->replies.push_back({caller.call, std::move(response)});
        downgrade(id, group, {request.member_id}, moment, effects);
        return Duration();
    }
    const Duration patience = group->consumer->heartbeat(request, caller, *image_, moment, effects);
    arm(id, group);
    return patience;
}

// All or nothing, in one batch: where the first member is refused the group stays what it was.
Duration Shard::begin_consumer(std::unique_ptr<ConsumerGroup> consumer,
                               const wire::ConsumerGroupHeartbeatRequest& request,
                               const Caller& caller, Moment moment, Effects* effects) {
    const std::string& id = request.group_id;
    Group* group = find(id);
    Effects joined;
    if (group && group->has_record) joined.records.push_back(group_tombstone(id));
    if (!consumer->is_empty()) consumer->snapshot(&joined);
    const Duration patience = consumer->heartbeat(request, caller, *image_, moment, &joined);
    const auto tell = [&] {
        std::move(joined.replies.begin(), joined.replies.end(),
                  std::back_inserter(effects->replies));
    };
    if (!consumer->has_member(request.member_id)) {
        tell();
        return Duration();
    }
    if (!group) group = find_or_create(id, moment);
    group->classic.abandon(ErrorCode::rebalance_in_progress, effects);
    std::move(joined.records.begin(), joined.records.end(), std::back_inserter(effects->records));
    tell();
    group->classic = ClassicGroup(id, settings_, moment);
    group->has_record = false;
    group->consumer = std::move(consumer);
    arm(id, group);
    return patience;
}

// KIP-848: the classic members live on in the group that the first of the others makes of it.
Duration Shard::upgrade(Group* group, const wire::ConsumerGroupHeartbeatRequest& request,
                        const Caller& caller, Moment moment, Effects* effects) {
    const std::string& id = request.group_id;
    ClassicGroup& classic = group->classic;
    auto consumer = std::make_unique<ConsumerGroup>(id, settings_);
    const bool may = settings_->may_upgrade && classic.is_consumer_group() &&
                     classic.member_count() <= settings_->consumer_max_size;
    const Status adopted =
        may ? consumer->adopt(classic.generation(), classic.migrants(), *image_, moment)
            : Error{ErrorCode::group_id_not_found, "Group " + id + " is not a consumer group."};
    if (!adopted.ok()) {
        wire::ConsumerGroupHeartbeatResponse response;
        response.error_code = adopted.error().code;
        response.error_message = adopted.error().message;
        effects->replies.push_back({caller.call, std::move(response)});
        return Duration();
    }
    const Duration patience = begin_consumer(std::move(consumer), request, caller, moment, effects);
    if (group->consumer) REACHED("classic-group-becomes-a-consumer-group");
    return patience;
}

void Shard::downgrade(const std::string& id, Group* group, const std::set<std::string>& leaving,
                      Moment moment, Effects* effects) {
    REACHED("consumer-group-becomes-a-classic-one");
    ConsumerGroup& consumer = *group->consumer;
    consumer.abandon(ErrorCode::rebalance_in_progress, effects, leaving);
    consumer.write_tombstones(effects);
    group->classic =
        ClassicGroup(id, settings_, consumer.epoch(), consumer.migrants(leaving, *image_), moment);
    effects->records.push_back(group_metadata_record(id, group->classic.metadata()));
    group->has_record = true;
    // What those had that left goes to others; nothing does where one only took another's place.
    if (!leaving.empty() || !consumer.is_settled()) group->classic.rebalance(moment, effects);
    group->consumer.reset();
    arm(id, group);
}

wire::ConsumerGroupHeartbeatResponse Shard::nothing_new(
    const wire::ConsumerGroupHeartbeatRequest& request, CallId call) {
    Group* group = find(request.group_id);
    if (group && group->consumer) return group->consumer->nothing_new(request, call);
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
            group->consumer->join(request, joiner, *image_, moment, &random_, effects);
            if (group->consumer->became_classic())
                downgrade(request.group_id, group, {}, moment, effects);
            arm(request.group_id, group);
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
    if (group->consumer) {
        group->consumer->sync(request, call, *image_, moment, effects);
        arm(request.group_id, group);
        return;
    }
    const std::size_t first = effects->records.size();
    group->classic.sync(request, call, moment, effects);
    note_records(request.group_id, first, effects);
    arm(request.group_id, group);
}

ErrorCode Shard::heartbeat(const wire::HeartbeatRequest& request, Moment moment) {
    Group* group = find(request.group_id);
    if (!group) return ErrorCode::unknown_member_id;
    // A session that begins anew brings no deadline forward.
    if (!group->consumer) return group->classic.heartbeat(request, moment);
    const ErrorCode answer = group->consumer->heartbeat(request, moment);
    // Being told to join again does.
    if (answer == ErrorCode::rebalance_in_progress) arm(request.group_id, group);
    return answer;
}

Duration Shard::park_heartbeat(const wire::HeartbeatRequest& request, CallId call) {
    Group* group = find(request.group_id);
    if (!group) return Duration();
    return group->consumer ? group->consumer->park_heartbeat(request.member_id, call)
                           : group->classic.park_heartbeat(request.member_id, call);
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
    if (group->consumer) {
        const std::set<std::string> leaving = group->consumer->leaving(request, &response.members);
        if (group->consumer->becomes_classic_without(leaving)) {
            downgrade(request.group_id, group, leaving, moment, effects);
        } else {
            group->consumer->remove_members(leaving, *image_, moment, effects);
        }
    } else {
        const std::size_t first = effects->records.size();
        response.members = group->classic.leave(request, moment, effects);
        note_records(request.group_id, first, effects);
    }
    arm(request.group_id, group);
    return response;
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
    Offsets all = group->offsets;
    for (const auto& [producer, pending] : group->pending) {
        for (const auto& [topic, partitions] : pending.topics()) {
            for (const auto& [index, offset] : partitions) all.set(topic, index, offset);
        }
    }
    for (const auto& [topic, partitions] : all.topics()) {
        for (const auto& [index, offset] : partitions)
            effects->records.push_back(offset_tombstone(id, topic, index));
    }
    remove_group(id, effects);
    return ErrorCode::none;
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
        if (!group->consumer) {
            group->classic.elapsed(moment, effects);
            note_records(id, first, effects);
        } else if (const auto leaving = group->consumer->overdue(moment);
                   !leaving.empty() && group->consumer->becomes_classic_without(leaving)) {
            downgrade(id, group, leaving, moment, effects);
        } else {
            group->consumer->elapsed(*image_, moment, effects);
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
                take(offset_commit_record(id, topic, index, offset_value(offset)));
        }
    }
}

}  // namespace pabal::group
