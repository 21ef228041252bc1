// Classic members inside a ConsumerGroup, and the change of a group from one protocol to the other
// (KIP-848).
#include <algorithm>

#include "base/prng.h"
#include "base/probe.h"
#include "group/classic/group.h"
#include "group/consumer/group.h"
#include "group/consumer/member.h"
#include "group/consumer/metadata_hash.h"
#include "group/member_id.h"
#include "group/subscription.h"
#include "metadata/cluster_image.h"

namespace pabal::group {
namespace {

// Topics that do not exist are nobody's.
template <class Topics>
Assignment by_id(const Topics& topics, const metadata::ClusterImage& image) {
    Assignment assignment;
    for (const auto& each : topics) {
        auto topic = image.topic(each.topic);
        if (!topic) continue;
        for (const PartitionIndex partition : each.partitions)
            add(&assignment, {topic->id, partition});
    }
    return assignment;
}

Bytes by_name(const Assignment& assignment, const metadata::ClusterImage& image,
              const Bytes& metadata) {
    wire::ConsumerProtocolAssignment told;
    for (const auto& [id, partitions] : assignment) {
        auto topic = image.topic(id);
        if (!topic) continue;
        auto& each = told.assigned_partitions.emplace_back();
        each.topic = topic->name;
        each.partitions.assign(partitions.begin(), partitions.end());
    }
    return encode_assignment(told, metadata);
}

std::vector<std::string> sorted(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

}  // namespace

// --- from one protocol to the other

Status ConsumerGroup::adopt(std::int32_t generation, const std::vector<Migrant>& members,
                            const metadata::ClusterImage& image, Moment moment) {
    const auto refused = [&](const char* why) {
        return Error{ErrorCode::group_id_not_found,
                     "Cannot upgrade classic group " + id_ + " to consumer group because " + why};
    };
    epoch_ = generation;
    target_epoch_ = generation;
    for (const Migrant& migrant : members) {
        const auto subscription = parse_subscription(migrant.protocols[migrant.selected].metadata);
        const auto assignment = parse_assignment(migrant.assignment);
        if (!subscription || !assignment)
            return refused("the embedded consumer protocol is malformed.");
        if (assignment->user_data && !assignment->user_data->empty())
            return refused("an unsupported custom assignor is in use.");
        Member* member = add_member(migrant.id);
        member->instance_id = migrant.instance_id;
        if (!subscription->rack_id.value_or("").empty()) member->rack_id = subscription->rack_id;
        member->client_id = migrant.client_id;
        member->client_host = migrant.client_host;
        member->rebalance_timeout_ms = migrant.rebalance_timeout_ms;
        member->topic_names = sorted(subscription->topics);
        auto& classic = member->classic.emplace();
        classic.session_timeout_ms = migrant.session_timeout_ms;
        for (const ClassicProtocol& protocol : migrant.protocols)
            classic.supported_protocols.push_back({protocol.name, protocol.metadata});
        member->epoch = generation;
        member->previous_epoch = generation;
        Assignment held = by_id(assignment->assigned_partitions, image);
        targets_[member->id] = held;
        set_held(member, std::move(held), {}, generation);
        if (member->instance_id) static_members_[*member->instance_id] = member->id;
        begin_session(member, moment);
    }
    metadata_hash_ = metadata_hash(subscriptions(image).all, image);
    return Status();
}

bool ConsumerGroup::becomes_classic_without(const std::set<std::string>& leaving) const {
    bool last_leaves = false;
    std::size_t remaining = 0;
    for (const auto& [id, member] : members_) {
        if (leaving.count(id) > 0) {
            last_leaves |= !member->classic;
        } else if (!member->classic) {
            return false;
        } else {
            ++remaining;
        }
    }
    return last_leaves && remaining > 0 && remaining <= settings_->max_size &&
           settings_->may_downgrade;
}

bool ConsumerGroup::is_settled() const {
    return std::all_of(members_.begin(), members_.end(),
                       [&](const auto& each) { return each.second->epoch == epoch_; });
}

std::vector<Migrant> ConsumerGroup::migrants(const std::set<std::string>& leaving,
                                             const metadata::ClusterImage& image) const {
    std::vector<Migrant> migrants;
    for (const auto& [id, member] : members_) {
        if (leaving.count(id) > 0) continue;
        Migrant& migrant = migrants.emplace_back();
        migrant.id = id;
        migrant.instance_id = member->instance_id;
        migrant.client_id = member->client_id;
        migrant.client_host = member->client_host;
        migrant.rebalance_timeout_ms = member->rebalance_timeout_ms;
        migrant.session_timeout_ms = member->classic->session_timeout_ms;
        for (const auto& protocol : member->classic->supported_protocols)
            migrant.protocols.push_back({protocol.name, protocol.metadata});
        const auto target = targets_.find(id);
        migrant.assignment = by_name(target == targets_.end() ? Assignment() : target->second,
                                     image, migrant.protocols.front().metadata);
    }
    return migrants;
}

// --- JoinGroup

bool ConsumerGroup::supports(const wire::JoinGroupRequest& request) const {
    if (request.protocol_type != consumer_protocol_type) return false;
    const auto by_all = [&](const std::string& name) {
        return std::all_of(members_.begin(), members_.end(), [&](const auto& each) {
            const auto& classic = each.second->classic;
            return !classic || std::any_of(classic->supported_protocols.begin(),
                                           classic->supported_protocols.end(),
                                           [&](const auto& held) { return held.name == name; });
        });
    };
    return std::any_of(request.protocols.begin(), request.protocols.end(),
                       [&](const auto& protocol) { return by_all(protocol.name); });
}

Result<ConsumerGroup::Member*> ConsumerGroup::find_or_join(const wire::JoinGroupRequest& request,
                                                           const std::string& id,
                                                           Effects* effects) {
    const auto found = members_.find(id);
    if (request.group_instance_id) {
        const auto holder = static_members_.find(*request.group_instance_id);
        const bool known = holder != static_members_.end();
        if (!known && !request.member_id.empty()) return Error{ErrorCode::unknown_member_id, ""};
        if (known && holder->second != id) {
            if (!request.member_id.empty()) return Error{ErrorCode::fenced_instance_id, ""};
            const std::string old_id = holder->second;
            const bool last = becomes_classic_without({old_id});
            Member* member = take_place(old_id, id, effects);
            became_classic_ =
                settings_->may_downgrade && !member->classic && (last || members_.size() == 1);
            return member;
        }
    }
    return found == members_.end() ? add_member(id) : found->second.get();
}

void ConsumerGroup::join(const wire::JoinGroupRequest& request, const Joiner& joiner,
                         const metadata::ClusterImage& image, Moment moment, Prng* random,
                         Effects* effects) {
    obey(image);
    const auto refuse_join = [&](ErrorCode error, const std::string& member_id) {
        wire::JoinGroupResponse response;
        response.error_code = error;
        response.member_id = member_id;
        effects->replies.push_back({joiner.call, std::move(response)});
    };
    const auto& instance = request.group_instance_id;
    if (members_.size() >= settings_->consumer_max_size && !has_member(request.member_id)) {
        refuse_join(ErrorCode::group_max_size_reached, "");
        return;
    }
    const auto subscription =
        supports(request) ? parse_subscription(request.protocols.front().metadata) : std::nullopt;
    if (!subscription) {
        refuse_join(ErrorCode::inconsistent_group_protocol, request.member_id);
        return;
    }
    const std::string id = request.member_id.empty()
                               ? make_member_id(instance ? *instance : joiner.client_id, random)
                               : request.member_id;
    if (request.member_id.empty() && !instance && joiner.member_id_required) {
        // Whoever comes back with an id is taken in with it.
        refuse_join(ErrorCode::member_id_required, id);
        return;
    }
    auto found = find_or_join(request, id, effects);
    if (!found.ok()) {
        refuse_join(found.error().code, request.member_id);
        return;
    }
    Member* member = *found;
    Member updated = *member;
    if (instance) updated.instance_id = instance;
    if (!subscription->rack_id.value_or("").empty()) updated.rack_id = subscription->rack_id;
    updated.rebalance_timeout_ms = request.rebalance_timeout_ms < 0 ? request.session_timeout_ms
                                                                    : request.rebalance_timeout_ms;
    updated.topic_names = sorted(subscription->topics);
    updated.pattern.clear();
    updated.server_assignor.reset();
    updated.client_id = joiner.client_id;
    updated.client_host = joiner.client_host;
    auto& classic = updated.classic.emplace();
    classic.session_timeout_ms = request.session_timeout_ms;
    for (const auto& protocol : request.protocols) {
        // The frame of the request shall not live as long as the member.
        classic.supported_protocols.push_back(
            {protocol.name, Bytes::copy_of(protocol.metadata.view())});
    }
    const Change changed = replace(member, std::move(updated));
    // A heartbeat that still waits comes from a connection that is gone.
    member->beating = 0;
    if (changed != Change::none) write_metadata(*member, effects);
    const std::int32_t epoch_before = epoch_;
    refresh(changed == Change::subscription, image, moment, effects);
    const bool moved = reconcile(member, by_id(subscription->owned_partitions, image), moment);
    if (moved) write_current(*member, effects);
    begin_session(member, moment);
    member->join_by = Instant::never();
    member->sync_by = moment.now + Duration::milliseconds(member->rebalance_timeout_ms);
    wire::JoinGroupResponse response;
    response.member_id = member->id;
    response.generation_id = member->epoch;
    response.protocol_type = std::string(consumer_protocol_type);
    response.protocol_name = request.protocols.front().name;
    effects->replies.push_back({joiner.call, std::move(response)});
    if (moved || epoch_ != epoch_before) tell_parked(moment, effects);
}

// --- SyncGroup, Heartbeat, LeaveGroup

ErrorCode ConsumerGroup::find_classic(const std::string& id,
                                      const std::optional<std::string>& instance,
                                      Member** member) const {
    const ErrorCode error = find_member(id, instance, member);
    if (error != ErrorCode::none) return error;
    return (*member)->classic ? ErrorCode::none : ErrorCode::unknown_member_id;
}

bool ConsumerGroup::must_rejoin(const Member& member) const {
    if (member.epoch < epoch_ || member.state == MemberState::unrevoked) return true;
    if (member.state != MemberState::unreleased) return false;
    // What it waits for is free, all of it: each time it comes it stops reading.
    bool waits = false;
    const auto target = targets_.find(member.id);
    if (target == targets_.end()) return false;
    for_each(target->second,
             [&](const TopicPartition& partition) { waits |= held_by_other(partition, member); });
    return !waits;
}

void ConsumerGroup::await_rejoin(Member* member, Moment moment) {
    member->join_by = std::min(member->join_by,
                               moment.now + Duration::milliseconds(member->rebalance_timeout_ms));
}

void ConsumerGroup::sync(const wire::SyncGroupRequest& request, CallId call,
                         const metadata::ClusterImage& image, Moment moment, Effects* effects) {
    Member* member = nullptr;
    ErrorCode error = find_classic(request.member_id, request.group_instance_id, &member);
    wire::SyncGroupResponse response;
    if (error != ErrorCode::none) {
        // Said below.
    } else if (request.generation_id != member->epoch) {
        error = ErrorCode::illegal_generation;
    } else if ((request.protocol_type && *request.protocol_type != consumer_protocol_type) ||
               (request.protocol_name &&
                *request.protocol_name != member->classic->supported_protocols.front().name)) {
        error = ErrorCode::inconsistent_group_protocol;
    } else if (member->epoch < epoch_ && member->state != MemberState::unrevoked) {
        // One that has to give something up has joined already, and comes again when it has.
        error = ErrorCode::rebalance_in_progress;
        await_rejoin(member, moment);
    } else {
        member->sync_by = Instant::never();
        begin_session(member, moment);
        response.protocol_type = request.protocol_type;
        response.protocol_name = request.protocol_name;
        response.assignment =
            by_name(member->assigned, image, member->classic->supported_protocols.front().metadata);
    }
    response.error_code = error;
    effects->replies.push_back({call, std::move(response)});
}

ErrorCode ConsumerGroup::heartbeat(const wire::HeartbeatRequest& request, Moment moment) {
    Member* member = nullptr;
    const ErrorCode error = find_classic(request.member_id, request.group_instance_id, &member);
    if (error != ErrorCode::none && SABOTAGED("fenced-member-is-served")) return ErrorCode::none;
    if (error != ErrorCode::none) return error;
    if (request.generation_id != member->epoch) return ErrorCode::illegal_generation;
    begin_session(member, moment);
    if (!must_rejoin(*member)) return ErrorCode::none;
    await_rejoin(member, moment);
    return ErrorCode::rebalance_in_progress;
}

Duration ConsumerGroup::park_heartbeat(const std::string& id, CallId call) {
    const auto found = members_.find(id);
    if (found == members_.end() || !found->second->classic) return Duration();
    found->second->beating = call;
    return ClassicGroup::patience(found->second->classic->session_timeout_ms);
}

std::set<std::string> ConsumerGroup::leaving(
    const wire::LeaveGroupRequest& request,
    std::vector<wire::LeaveGroupResponse::MemberResponse>* responses) const {
    std::set<std::string> gone;
    for (const auto& asked : request.members) {
        auto& response = responses->emplace_back();
        response.member_id = asked.member_id;
        response.group_instance_id = asked.group_instance_id;
        std::string id = asked.member_id;
        // An operator removes a static member whose id it does not know.
        if (const auto holder = static_members_.find(asked.group_instance_id.value_or(""));
            id.empty() && holder != static_members_.end())
            id = holder->second;
        Member* member = nullptr;
        response.error_code = find_member(id, asked.group_instance_id, &member);
        if (response.error_code == ErrorCode::none) gone.insert(std::move(id));
    }
    return gone;
}

}  // namespace pabal::group
