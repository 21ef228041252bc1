#include "group/consumer/group.h"

#include <algorithm>
#include <tuple>

#include "group/consumer/assignor.h"
#include "group/consumer/member.h"
#include "group/consumer/topic_pattern.h"
#include "group/group_record.h"
#include "metadata/cluster_image.h"

namespace pabal::group {
namespace {

using CurrentValue = wire::ConsumerGroupCurrentMemberAssignmentValue;
using TargetValue = wire::ConsumerGroupTargetAssignmentMemberValue;
using Heartbeat = wire::ConsumerGroupHeartbeatRequest;

template <class Topics>
Assignment from_wire(const Topics& topics) {
    Assignment assignment;
    for (const auto& topic : topics) {
        for (const PartitionIndex partition : topic.partitions)
            add(&assignment, {topic.topic_id, partition});
    }
    return assignment;
}

template <class Topic>
std::vector<Topic> to_wire(const Assignment& assignment) {
    std::vector<Topic> topics;
    for (const auto& [id, partitions] : assignment) {
        Topic& topic = topics.emplace_back();
        topic.topic_id = id;
        topic.partitions.assign(partitions.begin(), partitions.end());
    }
    return topics;
}

bool overlap(const Assignment& a, const Assignment& b) {
    bool found = false;
    for_each(a, [&](const TopicPartition& partition) { found |= contains(b, partition); });
    return found;
}

bool subset(const Assignment& part, const Assignment& whole) {
    bool all = true;
    for_each(part, [&](const TopicPartition& partition) { all &= contains(whole, partition); });
    return all;
}

}  // namespace

ConsumerGroup::ConsumerGroup(std::string id, const Settings* settings)
    : id_(std::move(id)), settings_(settings) {}

ConsumerGroup::~ConsumerGroup() = default;

std::string_view ConsumerGroup::state() const {
    if (members_.empty()) return "Empty";
    if (epoch_ > target_epoch_) return "Assigning";
    for (const auto& [id, member] : members_) {
        if (member->state != MemberState::stable || member->epoch != target_epoch_)
            return "Reconciling";
    }
    return "Stable";
}

bool ConsumerGroup::subscribes(const std::string& topic) const {
    for (const auto& [id, member] : members_) {
        if (std::binary_search(member->topic_names.begin(), member->topic_names.end(), topic))
            return true;
        const auto matched = matched_.find(member->pattern);
        if (matched != matched_.end() && matched->second.count(topic) > 0) return true;
    }
    return false;
}

// --- heartbeats

Duration ConsumerGroup::heartbeat(const Request& request, const Caller& caller,
                                  const metadata::ClusterImage& image, Moment moment,
                                  Effects* effects) {
    if (request.member_epoch < 0) {
        const auto member = members_.find(request.member_id);
        if (member == members_.end()) {
            refuse(caller.call, ErrorCode::unknown_member_id,
                   "Member " + request.member_id + " is not a member of group " + id_ + ".",
                   effects);
        } else {
            leave(member->second.get(), request, caller, image, moment, effects);
        }
        return Duration();
    }
    auto found = find_or_join(request, effects);
    if (!found.ok()) {
        refuse(caller.call, found.error().code, found.error().message, effects);
        return Duration();
    }
    Member* member = *found;
    auto subscribed_anew = update_subscription(member, request, caller);
    if (!subscribed_anew.ok()) {
        refuse(caller.call, subscribed_anew.error().code, subscribed_anew.error().message, effects);
        if (member->epoch == 0 && targets_.count(member->id) == 0) members_.erase(member->id);
        return Duration();
    }
    // A heartbeat that still waits comes from a connection that is gone.
    member->beating = 0;
    member->expires = moment.now + Duration::milliseconds(settings_->consumer_session_timeout_ms);
    const bool joins = request.member_epoch == join_epoch;
    if (*subscribed_anew) {
        match_patterns(image);
        write_metadata(*member, effects);
    }
    const std::int32_t epoch_before = epoch_;
    refresh(*subscribed_anew, image, effects);

    std::optional<Assignment> owned;
    if (request.topic_partitions) owned = from_wire(*request.topic_partitions);
    const Assignment before = member->assigned;
    const bool moved = reconcile(member, owned, moment);
    if (moved) write_current(*member, effects);
    const bool full = request.rebalance_timeout_ms != -1 && request.topic_partitions &&
                      (request.subscribed_topic_names || request.subscribed_topic_regex);
    const bool with_assignment = joins || full || before != member->assigned;
    const bool news = with_assignment || request.member_epoch != member->epoch;
    if (moved || epoch_ != epoch_before) tell_parked(moment, effects);
    // Nobody is helped by hearing that there is nothing for him yet.
    const bool empty_handed =
        joins && member->state == MemberState::unreleased && member->assigned.empty();
    if (!news || empty_handed) {
        member->beating = caller.call;
        // librdkafka gives up a heartbeat that is not answered within the interval.
        return Duration::milliseconds(settings_->consumer_heartbeat_interval_ms * 3 / 4);
    }
    effects->replies.push_back({caller.call, response_for(*member, with_assignment)});
    return Duration();
}

Result<ConsumerGroup::Member*> ConsumerGroup::find_or_join(const Request& request,
                                                           Effects* effects) {
    const auto found = members_.find(request.member_id);
    const bool joins = request.member_epoch == join_epoch;
    if (request.instance_id) {
        const auto holder = static_members_.find(*request.instance_id);
        const bool known = holder != static_members_.end();
        if (!joins && !known) {
            return Error{ErrorCode::unknown_member_id,
                         "Instance id " + *request.instance_id + " is unknown."};
        }
        if (known && holder->second != request.member_id) {
            if (!joins) {
                return Error{ErrorCode::fenced_instance_id,
                             "Static member " + request.member_id + " with instance id " +
                                 *request.instance_id + " was fenced by member " + holder->second +
                                 "."};
            }
            if (members_.at(holder->second)->epoch != leave_static_epoch) {
                return Error{ErrorCode::unreleased_instance_id,
                             "Static member " + request.member_id + " with instance id " +
                                 *request.instance_id +
                                 " cannot join the group because the instance id is owned by " +
                                 holder->second + " member."};
            }
            // It takes the place, and what the place was to have (KIP-345).
            const std::string old_id = holder->second;
            Assignment target = targets_[old_id];
            auto node = members_.extract(old_id);
            Member* member = node.mapped().get();
            for (const auto& record :
                 {to_record(ConsumerCurrent{id_, old_id, std::nullopt}),
                  to_record(ConsumerTarget{id_, old_id, std::nullopt}),
                  to_record(ConsumerMemberMetadata{id_, old_id, std::nullopt})})
                effects->records.push_back(record);
            set_held(member, {}, {});
            member->id = request.member_id;
            node.key() = request.member_id;
            members_.insert(std::move(node));
            targets_.erase(old_id);
            member->epoch = join_epoch;
            member->previous_epoch = join_epoch;
            member->state = MemberState::stable;
            static_members_[*request.instance_id] = member->id;
            targets_[member->id] = target;
            TargetValue value;
            value.topic_partitions = to_wire<TargetValue::TopicPartition>(target);
            write_metadata(*member, effects);
            effects->records.push_back(
                to_record(ConsumerTarget{id_, member->id, std::move(value)}));
            return member;
        }
    }
    if (found == members_.end()) {
        if (!joins) {
            return Error{ErrorCode::unknown_member_id,
                         "Member " + request.member_id + " is not a member of group " + id_ + "."};
        }
        if (members_.size() >= settings_->consumer_max_size) {
            return Error{ErrorCode::group_max_size_reached,
                         "The consumer group has reached its maximum capacity of " +
                             std::to_string(settings_->consumer_max_size) + " members."};
        }
        auto member = std::make_unique<Member>();
        member->id = request.member_id;
        return members_.emplace(request.member_id, std::move(member)).first->second.get();
    }
    Member* member = found->second.get();
    if (joins) {
        // It begins anew and holds nothing.
        set_held(member, {}, {});
        member->state = MemberState::stable;
        member->epoch = join_epoch;
        member->revoke_by = Instant::never();
        return member;
    }
    if (check_heartbeat_epoch(*member, request) != ErrorCode::none) {
        return Error{ErrorCode::fenced_member_epoch,
                     "The consumer group member has epoch " + std::to_string(request.member_epoch) +
                         " and the group's is " + std::to_string(member->epoch) +
                         "; it must abandon all its partitions and rejoin."};
    }
    return member;
}

ErrorCode ConsumerGroup::check_heartbeat_epoch(const Member& member, const Request& request) const {
    if (request.member_epoch == member.epoch) return ErrorCode::none;
    if (request.member_epoch > member.epoch) return ErrorCode::fenced_member_epoch;
    // It did not hear our last answer, and holds nothing that it should not.
    const bool lawful = request.member_epoch == member.previous_epoch && request.topic_partitions &&
                        subset(from_wire(*request.topic_partitions), member.assigned);
    return lawful ? ErrorCode::none : ErrorCode::fenced_member_epoch;
}

Result<bool> ConsumerGroup::update_subscription(Member* member, const Request& request,
                                                const Caller& caller) {
    const auto fields = [](const Member& m) {
        return std::tie(m.instance_id, m.rack_id, m.client_id, m.client_host,
                        m.rebalance_timeout_ms, m.topic_names, m.pattern, m.server_assignor);
    };
    Member updated = *member;
    if (request.instance_id) updated.instance_id = request.instance_id;
    if (request.rack_id) updated.rack_id = request.rack_id;
    if (request.rebalance_timeout_ms != -1)
        updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
    if (request.subscribed_topic_names) {
        updated.topic_names = *request.subscribed_topic_names;
        std::sort(updated.topic_names.begin(), updated.topic_names.end());
    }
    if (request.subscribed_topic_regex) updated.pattern = *request.subscribed_topic_regex;
    if (request.server_assignor) updated.server_assignor = request.server_assignor;
    updated.client_id = caller.client_id;
    updated.client_host = caller.client_host;
    if (fields(updated) == fields(*member) && targets_.count(member->id) > 0) return false;
    if (updated.pattern != member->pattern && !updated.pattern.empty())
        PABAL_TRY(TopicPattern::parse(updated.pattern));
    *member = std::move(updated);
    if (member->instance_id) static_members_[*member->instance_id] = member->id;
    return true;
}

void ConsumerGroup::leave(Member* member, const Request& request, const Caller& caller,
                          const metadata::ClusterImage& image, Moment moment, Effects* effects) {
    wire::ConsumerGroupHeartbeatResponse response;
    response.member_id = request.member_id;
    response.member_epoch = request.member_epoch;
    if (request.member_epoch == leave_static_epoch) {
        if (member->instance_id != request.instance_id) {
            refuse(caller.call, ErrorCode::unknown_member_id,
                   "Instance id " + request.instance_id.value_or("") + " is unknown.", effects);
            return;
        }
        // Its place is kept until its session ends.
        set_held(member, member->assigned, {});
        member->previous_epoch = member->epoch;
        member->epoch = leave_static_epoch;
        member->state = MemberState::stable;
        member->revoke_by = Instant::never();
        write_current(*member, effects);
        effects->replies.push_back({caller.call, std::move(response)});
        return;
    }
    effects->replies.push_back({caller.call, std::move(response)});
    remove_member(member->id, effects);
    refresh(true, image, effects);
    tell_parked(moment, effects);
}

wire::ConsumerGroupHeartbeatResponse ConsumerGroup::nothing_new(const Request& request) const {
    const auto member = members_.find(request.member_id);
    if (member == members_.end()) return {};
    return response_for(*member->second, request.member_epoch == join_epoch);
}

wire::ConsumerGroupHeartbeatResponse ConsumerGroup::response_for(const Member& member,
                                                                 bool with_assignment) const {
    wire::ConsumerGroupHeartbeatResponse response;
    response.member_id = member.id;
    response.member_epoch = member.epoch;
    response.heartbeat_interval_ms = settings_->consumer_heartbeat_interval_ms;
    if (with_assignment) {
        response.assignment.emplace();
        response.assignment->topic_partitions =
            to_wire<wire::ConsumerGroupHeartbeatResponseTopicPartitions>(member.assigned);
    }
    return response;
}

void ConsumerGroup::refuse(CallId call, ErrorCode error, std::string message,
                           Effects* effects) const {
    wire::ConsumerGroupHeartbeatResponse response;
    response.error_code = error;
    response.error_message = std::move(message);
    effects->replies.push_back({call, std::move(response)});
}

ErrorCode ConsumerGroup::check_epoch(const std::string& member, std::int32_t epoch) const {
    if (epoch < 0 && members_.empty()) return ErrorCode::none;
    const auto found = members_.find(member);
    if (found == members_.end()) return ErrorCode::unknown_member_id;
    return found->second->epoch == epoch ? ErrorCode::none : ErrorCode::stale_member_epoch;
}

void ConsumerGroup::remove_member(const std::string& id, Effects* effects) {
    const auto found = members_.find(id);
    Member* member = found->second.get();
    if (member->beating != 0) {
        refuse(member->beating, ErrorCode::unknown_member_id, "The member has left the group.",
               effects);
    }
    set_held(member, {}, {});
    if (member->instance_id) static_members_.erase(*member->instance_id);
    effects->records.push_back(to_record(ConsumerCurrent{id_, id, std::nullopt}));
    effects->records.push_back(to_record(ConsumerTarget{id_, id, std::nullopt}));
    effects->records.push_back(to_record(ConsumerMemberMetadata{id_, id, std::nullopt}));
    targets_.erase(id);
    members_.erase(found);
}

// --- epochs and targets

void ConsumerGroup::metadata_changed(const metadata::ClusterImage& image, Moment moment,
                                     Effects* effects) {
    match_patterns(image);
    if (members_.empty() || hash_of(image) == metadata_hash_) return;
    refresh(true, image, effects);
    tell_parked(moment, effects);
}

void ConsumerGroup::match_patterns(const metadata::ClusterImage& image) {
    matched_.clear();
    for (const auto& [id, member] : members_) {
        if (member->pattern.empty() || matched_.count(member->pattern) > 0) continue;
        auto& names = matched_[member->pattern];
        auto pattern = TopicPattern::parse(member->pattern);
        if (!pattern.ok()) continue;
        for (const auto& [name, topic] : image.topic_ids()) {
            if (pattern->matches(name)) names.insert(name);
        }
    }
}

std::set<TopicId> ConsumerGroup::subscribed(const Member& member,
                                            const metadata::ClusterImage& image) const {
    std::set<TopicId> topics;
    const auto take = [&](const std::string& name) {
        if (auto topic = image.topic(name)) topics.insert(topic->id);
    };
    for (const std::string& name : member.topic_names) take(name);
    const auto matched = matched_.find(member.pattern);
    if (matched != matched_.end()) {
        for (const std::string& name : matched->second) take(name);
    }
    return topics;
}

std::int64_t ConsumerGroup::hash_of(const metadata::ClusterImage& image) const {
    std::set<TopicId> topics;
    for (const auto& [id, member] : members_) topics.merge(subscribed(*member, image));
    if (topics.empty()) return 0;
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a.
    const auto mix = [&](std::uint8_t byte) { hash = (hash ^ byte) * 1099511628211u; };
    for (const TopicId& id : topics) {
        for (const std::uint8_t byte : id.value().bytes) mix(byte);
        const std::size_t count = image.topic(id)->partitions.size();
        for (int shift = 0; shift < 32; shift += 8) mix(static_cast<std::uint8_t>(count >> shift));
    }
    return static_cast<std::int64_t>(hash);
}

void ConsumerGroup::refresh(bool changed, const metadata::ClusterImage& image, Effects* effects) {
    if (changed) {
        ++epoch_;
        metadata_hash_ = hash_of(image);
        wire::ConsumerGroupMetadataValue value;
        value.epoch = epoch_;
        value.metadata_hash = metadata_hash_;
        effects->records.push_back(to_record(ConsumerEpoch{id_, value}));
    }
    if (epoch_ > target_epoch_) compute_target(image, effects);
}

std::string ConsumerGroup::assignor() const {
    std::map<std::string, int> votes;
    for (const auto& [id, member] : members_) {
        if (member->server_assignor) ++votes[*member->server_assignor];
    }
    std::string best = settings_->consumer_assignors.front();
    int most = 0;
    for (const std::string& name : settings_->consumer_assignors) {
        const auto found = votes.find(name);
        if (found == votes.end() || found->second <= most) continue;
        best = name;
        most = found->second;
    }
    return best;
}

void ConsumerGroup::compute_target(const metadata::ClusterImage& image, Effects* effects) {
    AssignorInput input;
    for (const auto& [id, member] : members_) {
        AssignedMember& each = input.members[id];
        each.order = member->instance_id.value_or(id);
        each.topics = subscribed(*member, image);
        const auto target = targets_.find(id);
        if (target != targets_.end()) each.target = target->second;
        for (const TopicId& topic : each.topics) {
            input.partition_counts.emplace(
                topic, static_cast<std::int32_t>(image.topic(topic)->partitions.size()));
        }
    }
    Targets targets = assignor() == "range" ? assign_range(input) : assign_uniform(input);
    for (auto& [id, target] : targets) {
        const auto before = targets_.find(id);
        if (before != targets_.end() && before->second == target) continue;
        TargetValue value;
        value.topic_partitions = to_wire<TargetValue::TopicPartition>(target);
        effects->records.push_back(to_record(ConsumerTarget{id_, id, std::move(value)}));
    }
    targets_ = std::move(targets);
    target_epoch_ = epoch_;
    wire::ConsumerGroupTargetAssignmentMetadataValue value;
    value.assignment_epoch = target_epoch_;
    effects->records.push_back(to_record(ConsumerTargetEpoch{id_, value}));
}

// --- leading members to their targets

bool ConsumerGroup::held_by_other(const TopicPartition& partition, const Member& member) const {
    const auto holder = holders_.find(partition);
    return holder != holders_.end() && holder->second != member.id;
}

void ConsumerGroup::set_held(Member* member, Assignment assigned, Assignment pending) {
    const auto drop = [&](const TopicPartition& partition) {
        const auto holder = holders_.find(partition);
        if (holder != holders_.end() && holder->second == member->id) holders_.erase(holder);
    };
    for_each(member->assigned, drop);
    for_each(member->pending, drop);
    member->assigned = std::move(assigned);
    member->pending = std::move(pending);
    const auto hold = [&](const TopicPartition& partition) { holders_[partition] = member->id; };
    for_each(member->assigned, hold);
    for_each(member->pending, hold);
}

bool ConsumerGroup::reconcile(Member* member, const std::optional<Assignment>& owned,
                              Moment moment) {
    if (member->epoch == leave_static_epoch) return false;
    const MemberState state_before = member->state;
    const std::int32_t epoch_before = member->epoch;
    bool moved = false;
    switch (member->state) {
        case MemberState::stable:
            if (member->epoch != target_epoch_) moved = advance(member, member->epoch, owned);
            break;
        case MemberState::unrevoked:
            // It has given up what it had to when it no longer owns it.
            if (owned && !overlap(*owned, member->pending))
                moved = advance(member, member->epoch + 1, owned);
            break;
        case MemberState::unreleased: moved = advance(member, member->epoch, owned); break;
    }
    if (member->state != MemberState::unrevoked) {
        member->revoke_by = Instant::never();
    } else if (state_before != MemberState::unrevoked || epoch_before != member->epoch) {
        member->revoke_by = moment.now + Duration::milliseconds(member->rebalance_timeout_ms);
    }
    return moved;
}

bool ConsumerGroup::advance(Member* member, std::int32_t epoch,
                            const std::optional<Assignment>& owned) {
    const auto before = std::make_tuple(member->epoch, member->state);
    const Assignment assigned_before = member->assigned;
    const Assignment pending_before = member->pending;
    const auto found = targets_.find(member->id);
    static const Assignment nothing;
    const Assignment& target = found == targets_.end() ? nothing : found->second;
    Assignment kept;
    Assignment revoked;
    for_each(member->assigned, [&](const TopicPartition& partition) {
        add(contains(target, partition) ? &kept : &revoked, partition);
    });
    const std::int32_t old_epoch = member->epoch;
    if (!revoked.empty() && (!owned || overlap(*owned, revoked))) {
        set_held(member, std::move(kept), std::move(revoked));
        member->state = MemberState::unrevoked;
        member->epoch = epoch;
    } else {
        bool unreleased = false;
        for_each(target, [&](const TopicPartition& partition) {
            if (held_by_other(partition, *member)) {
                unreleased = true;
            } else {
                add(&kept, partition);
            }
        });
        set_held(member, std::move(kept), {});
        member->state = unreleased ? MemberState::unreleased : MemberState::stable;
        member->epoch = target_epoch_;
    }
    if (member->epoch != old_epoch) member->previous_epoch = old_epoch;
    return before != std::make_tuple(member->epoch, member->state) ||
           assigned_before != member->assigned || pending_before != member->pending;
}

void ConsumerGroup::tell_parked(Moment moment, Effects* effects) {
    for (auto& [id, member] : members_) {
        if (member->beating == 0) continue;
        const Assignment before = member->assigned;
        if (!reconcile(member.get(), std::nullopt, moment)) continue;
        write_current(*member, effects);
        effects->replies.push_back(
            {member->beating, response_for(*member, before != member->assigned)});
        member->beating = 0;
    }
}

// --- time

Instant ConsumerGroup::deadline() const {
    Instant earliest = Instant::never();
    for (const auto& [id, member] : members_)
        earliest = std::min({earliest, member->expires, member->revoke_by});
    return earliest;
}

void ConsumerGroup::elapsed(const metadata::ClusterImage& image, Moment moment, Effects* effects) {
    std::vector<std::string> gone;
    for (const auto& [id, member] : members_) {
        if (std::min(member->expires, member->revoke_by) <= moment.now) gone.push_back(id);
    }
    if (gone.empty()) return;
    for (const std::string& id : gone) remove_member(id, effects);
    refresh(true, image, effects);
    tell_parked(moment, effects);
}

void ConsumerGroup::abandon(ErrorCode error, Effects* effects) {
    for (auto& [id, member] : members_) {
        if (member->beating != 0) refuse(member->beating, error, "", effects);
        member->beating = 0;
    }
}

// --- records

void ConsumerGroup::write_metadata(const Member& member, Effects* effects) const {
    wire::ConsumerGroupMemberMetadataValue value;
    value.instance_id = member.instance_id;
    value.rack_id = member.rack_id;
    value.client_id = member.client_id;
    value.client_host = member.client_host;
    value.subscribed_topic_names = member.topic_names;
    if (!member.pattern.empty()) value.subscribed_topic_regex = member.pattern;
    value.rebalance_timeout_ms = member.rebalance_timeout_ms;
    value.server_assignor = member.server_assignor;
    value.classic_member_metadata.reset();
    effects->records.push_back(to_record(ConsumerMemberMetadata{id_, member.id, std::move(value)}));
}

void ConsumerGroup::write_current(const Member& member, Effects* effects) const {
    CurrentValue value;
    value.member_epoch = member.epoch;
    value.previous_member_epoch = member.previous_epoch;
    value.state = static_cast<std::int8_t>(member.state);
    value.assigned_partitions = to_wire<CurrentValue::TopicPartitions>(member.assigned);
    value.partitions_pending_revocation = to_wire<CurrentValue::TopicPartitions>(member.pending);
    effects->records.push_back(to_record(ConsumerCurrent{id_, member.id, std::move(value)}));
}

void ConsumerGroup::write_tombstones(Effects* effects) const {
    for (const auto& [id, member] : members_)
        effects->records.push_back(to_record(ConsumerCurrent{id_, id, std::nullopt}));
    for (const auto& [id, member] : members_)
        effects->records.push_back(to_record(ConsumerTarget{id_, id, std::nullopt}));
    effects->records.push_back(to_record(ConsumerTargetEpoch{id_, std::nullopt}));
    for (const auto& [id, member] : members_)
        effects->records.push_back(to_record(ConsumerMemberMetadata{id_, id, std::nullopt}));
    effects->records.push_back(to_record(ConsumerEpoch{id_, std::nullopt}));
}

void ConsumerGroup::snapshot(Effects* effects) const {
    for (const auto& [id, member] : members_) write_metadata(*member, effects);
    wire::ConsumerGroupMetadataValue value;
    value.epoch = epoch_;
    value.metadata_hash = metadata_hash_;
    effects->records.push_back(to_record(ConsumerEpoch{id_, value}));
    for (const auto& [id, target] : targets_) {
        TargetValue told;
        told.topic_partitions = to_wire<TargetValue::TopicPartition>(target);
        effects->records.push_back(to_record(ConsumerTarget{id_, id, std::move(told)}));
    }
    wire::ConsumerGroupTargetAssignmentMetadataValue target_value;
    target_value.assignment_epoch = target_epoch_;
    effects->records.push_back(to_record(ConsumerTargetEpoch{id_, target_value}));
    for (const auto& [id, member] : members_) write_current(*member, effects);
}

void ConsumerGroup::replay(const ConsumerMemberMetadata& record, Moment moment) {
    const auto found = members_.find(record.member);
    if (!record.value) {
        if (found == members_.end()) return;
        set_held(found->second.get(), {}, {});
        if (const auto& instance = found->second->instance_id) {
            const auto holder = static_members_.find(*instance);
            if (holder != static_members_.end() && holder->second == record.member)
                static_members_.erase(holder);
        }
        members_.erase(found);
        return;
    }
    if (found == members_.end()) members_[record.member] = std::make_unique<Member>();
    Member* member = members_[record.member].get();
    member->id = record.member;
    member->instance_id = record.value->instance_id;
    member->rack_id = record.value->rack_id;
    member->client_id = record.value->client_id;
    member->client_host = record.value->client_host;
    member->topic_names = record.value->subscribed_topic_names;
    std::sort(member->topic_names.begin(), member->topic_names.end());
    member->pattern = record.value->subscribed_topic_regex.value_or("");
    member->rebalance_timeout_ms = record.value->rebalance_timeout_ms;
    member->server_assignor = record.value->server_assignor;
    member->expires = moment.now + Duration::milliseconds(settings_->consumer_session_timeout_ms);
    if (member->instance_id) static_members_[*member->instance_id] = member->id;
}

void ConsumerGroup::replay(const ConsumerTarget& record) {
    if (record.value) {
        targets_[record.member] = from_wire(record.value->topic_partitions);
    } else {
        targets_.erase(record.member);
    }
}

void ConsumerGroup::replay(const ConsumerCurrent& record) {
    const auto found = members_.find(record.member);
    if (found == members_.end()) return;
    Member* member = found->second.get();
    if (!record.value) {
        set_held(member, {}, {});
        member->epoch = join_epoch;
        return;
    }
    member->epoch = record.value->member_epoch;
    member->previous_epoch = record.value->previous_member_epoch;
    member->state = static_cast<MemberState>(record.value->state);
    set_held(member, from_wire(record.value->assigned_partitions),
             from_wire(record.value->partitions_pending_revocation));
}

void ConsumerGroup::replay_epoch(std::int32_t epoch, std::int64_t hash) {
    epoch_ = epoch;
    metadata_hash_ = hash;
}

wire::ConsumerGroupDescribeResponse::DescribedGroup ConsumerGroup::describe(
    const metadata::ClusterImage& image) const {
    using Response = wire::ConsumerGroupDescribeResponse;
    const auto told = [&](const Assignment& assignment) {
        Response::Assignment made;
        for (const auto& [id, partitions] : assignment) {
            auto topic = image.topic(id);
            if (!topic) continue;
            auto& each = made.topic_partitions.emplace_back();
            each.topic_id = id;
            each.topic_name = topic->name;
            each.partitions.assign(partitions.begin(), partitions.end());
        }
        return made;
    };
    Response::DescribedGroup group;
    group.group_id = id_;
    group.group_state = state();
    group.group_epoch = epoch_;
    group.assignment_epoch = target_epoch_;
    group.assignor_name = assignor();
    for (const auto& [id, member] : members_) {
        auto& each = group.members.emplace_back();
        each.member_id = id;
        each.instance_id = member->instance_id;
        each.rack_id = member->rack_id;
        each.member_epoch = member->epoch;
        each.client_id = member->client_id;
        each.client_host = member->client_host;
        each.subscribed_topic_names = member->topic_names;
        if (!member->pattern.empty()) each.subscribed_topic_regex = member->pattern;
        each.assignment = told(member->assigned);
        const auto target = targets_.find(id);
        if (target != targets_.end()) each.target_assignment = told(target->second);
        each.member_type = 1;
    }
    return group;
}

}  // namespace pabal::group
