#include "group/classic/group.h"

#include <algorithm>

#include "base/assert.h"
#include "base/probe.h"
#include "group/group_record.h"
#include "group/member_id.h"
#include "group/subscription.h"

namespace pabal::group {

std::string_view state_name(GroupState state) {
    switch (state) {
        case GroupState::empty: return "Empty";
        case GroupState::preparing_rebalance: return "PreparingRebalance";
        case GroupState::completing_rebalance: return "CompletingRebalance";
        case GroupState::stable: return "Stable";
        case GroupState::dead: return "Dead";
    }
    return "Unknown";
}

const Bytes& ClassicGroup::Member::metadata(std::string_view protocol) const {
    static const Bytes none;
    for (const Protocol& each : protocols) {
        if (each.name == protocol) return each.metadata;
    }
    return none;
}

bool ClassicGroup::Member::supports(std::string_view protocol) const {
    return std::any_of(protocols.begin(), protocols.end(),
                       [&](const Protocol& each) { return each.name == protocol; });
}

ClassicGroup::ClassicGroup(std::string id, const Settings* settings, Moment moment)
    : id_(std::move(id)),
      settings_(settings),
      state_timestamp_(moment.wall.milliseconds),
      subscriptions_(std::set<std::string>()) {}

ClassicGroup::ClassicGroup(std::string id, const Settings* settings,
                           const wire::GroupMetadataValue& value, Moment moment)
    : id_(std::move(id)),
      settings_(settings),
      state_(value.members.empty() ? GroupState::empty : GroupState::stable),
      state_timestamp_(value.current_state_timestamp),
      generation_(value.generation),
      protocol_(value.protocol),
      leader_(value.leader) {
    if (!value.protocol_type.empty()) protocol_type_ = value.protocol_type;
    for (const auto& stored : value.members) {
        Member member;
        member.id = stored.member_id;
        member.instance_id = stored.group_instance_id;
        member.client_id = stored.client_id;
        member.client_host = stored.client_host;
        member.session_timeout_ms = stored.session_timeout;
        member.rebalance_timeout_ms =
            stored.rebalance_timeout < 0 ? stored.session_timeout : stored.rebalance_timeout;
        // The part of the log that was read shall not live as long as the group.
        member.protocols.push_back(
            {protocol_.value_or(""), Bytes::copy_of(stored.subscription.view())});
        member.assignment = Bytes::copy_of(stored.assignment.view());
        member.is_new = false;
        begin_session(&member, moment);
        if (member.instance_id) static_members_[*member.instance_id] = member.id;
        members_.emplace(stored.member_id, std::move(member));
    }
    if (members_.empty()) {
        leader_.reset();
    } else if (members_.count(leader_.value_or("")) == 0) {
        leader_ = members_.begin()->first;
    }
    learn_subscriptions();
}

ClassicGroup::ClassicGroup(std::string id, const Settings* settings, std::int32_t generation,
                           std::vector<Migrant> members, Moment moment)
    : id_(std::move(id)),
      settings_(settings),
      state_(GroupState::stable),
      state_timestamp_(moment.wall.milliseconds),
      generation_(generation),
      protocol_type_(std::string(consumer_protocol_type)) {
    for (Migrant& migrant : members) {
        Member member;
        member.id = std::move(migrant.id);
        member.instance_id = std::move(migrant.instance_id);
        member.client_id = std::move(migrant.client_id);
        member.client_host = std::move(migrant.client_host);
        member.rebalance_timeout_ms = migrant.rebalance_timeout_ms;
        member.session_timeout_ms = migrant.session_timeout_ms;
        member.protocols = std::move(migrant.protocols);
        member.assignment = std::move(migrant.assignment);
        member.is_new = false;
        begin_session(&member, moment);
        if (member.instance_id) static_members_[*member.instance_id] = member.id;
        std::string key = member.id;
        members_.emplace(std::move(key), std::move(member));
    }
    leader_ = members_.begin()->first;
    protocol_ = select_protocol();
    learn_subscriptions();
}

bool ClassicGroup::is_consumer_group() const {
    return protocol_type_ == consumer_protocol_type;
}

bool ClassicGroup::subscribes(const std::string& topic) const {
    if (!subscriptions_) return is_consumer_group();
    return subscriptions_->count(topic) > 0;
}

// --- JoinGroup

void ClassicGroup::join(const wire::JoinGroupRequest& request, const Joiner& joiner, Moment moment,
                        Prng* random, Effects* effects) {
    if (!has_room_for(request.member_id)) {
        remove_member(request.member_id, ErrorCode::group_max_size_reached, effects);
        refuse_join(joiner.call, "", ErrorCode::group_max_size_reached, effects);
    } else if (!supports(request)) {
        refuse_join(joiner.call, request.member_id, ErrorCode::inconsistent_group_protocol,
                    effects);
    } else if (request.member_id.empty()) {
        join_as_new(request, joiner, moment, random, effects);
    } else {
        join_again(request, joiner, moment, effects);
    }
}

bool ClassicGroup::has_room_for(const std::string& member_id) const {
    const auto found = members_.find(member_id);
    if (state_ == GroupState::empty) return true;
    if (state_ != GroupState::preparing_rebalance)
        return found != members_.end() || members_.size() < settings_->max_size;
    // Those who did not come back yet may lose their place to those who did.
    if (found != members_.end() && found->second.joining != 0) return true;
    const auto waiting = std::count_if(members_.begin(), members_.end(),
                                       [](const auto& each) { return each.second.joining != 0; });
    return static_cast<std::size_t>(waiting) < settings_->max_size;
}

bool ClassicGroup::supports(const wire::JoinGroupRequest& request) const {
    if (state_ == GroupState::empty)
        return !request.protocol_type.empty() && !request.protocols.empty();
    if (protocol_type_ != request.protocol_type) return false;
    return std::any_of(request.protocols.begin(), request.protocols.end(), [&](const auto& asked) {
        return std::all_of(members_.begin(), members_.end(),
                           [&](const auto& member) { return member.second.supports(asked.name); });
    });
}

void ClassicGroup::join_as_new(const wire::JoinGroupRequest& request, const Joiner& joiner,
                               Moment moment, Prng* random, Effects* effects) {
    const auto& instance = request.group_instance_id;
    const std::string id = make_member_id(instance ? *instance : joiner.client_id, random);
    if (instance) {
        if (static_members_.count(*instance) > 0) {
            replace_static_member(request, joiner, id, moment, effects);
        } else {
            add_member(request, joiner, id, moment, effects);
        }
    } else if (joiner.member_id_required) {
        announced_[id] = moment.now + Duration::milliseconds(request.session_timeout_ms);
        refuse_join(joiner.call, id, ErrorCode::member_id_required, effects);
    } else {
        add_member(request, joiner, id, moment, effects);
    }
}

void ClassicGroup::join_again(const wire::JoinGroupRequest& request, const Joiner& joiner,
                              Moment moment, Effects* effects) {
    if (announced_.count(request.member_id) > 0 && !request.group_instance_id) {
        add_member(request, joiner, request.member_id, moment, effects);
        return;
    }
    const ErrorCode error = validate(request.member_id, request.group_instance_id);
    if (error != ErrorCode::none) {
        refuse_join(joiner.call, request.member_id, error, effects);
        return;
    }
    Member* member = &members_.at(request.member_id);
    const bool same =
        std::equal(member->protocols.begin(), member->protocols.end(), request.protocols.begin(),
                   request.protocols.end(), [](const Protocol& held, const auto& told) {
                       return held.name == told.name && held.metadata == told.metadata;
                   });
    const bool leads = leader_ == member->id;
    // It asks again for what it was told and may not have heard. In a stable group the leader's
    // join is how it asks for a new assignment.
    const bool repeats = (state_ == GroupState::completing_rebalance && same) ||
                         (state_ == GroupState::stable && same && !leads);
    if (repeats) {
        Reply reply;
        reply.call = joiner.call;
        reply.response = generation_for(*member, leads);
        effects->replies.push_back(std::move(reply));
        return;
    }
    update_member(member, request, joiner, effects);
    rebalance_or_complete(moment, effects);
}

void ClassicGroup::replace_static_member(const wire::JoinGroupRequest& request,
                                         const Joiner& joiner, const std::string& new_id,
                                         Moment moment, Effects* effects) {
    const std::string old_id = static_members_.at(*request.group_instance_id);
    const std::optional<std::string> old_leader = leader_;
    auto node = members_.extract(old_id);
    Member& old = node.mapped();
    // Two of them cannot both be this instance (KIP-345).
    if (old.joining != 0) refuse_join(old.joining, old_id, ErrorCode::fenced_instance_id, effects);
    if (old.syncing != 0) refuse_sync(old.syncing, ErrorCode::fenced_instance_id, effects);
    end_heartbeat(&old, ErrorCode::fenced_instance_id, effects);
    old.joining = 0;
    old.syncing = 0;
    old.id = new_id;
    node.key() = new_id;
    Member* member = &members_.insert(std::move(node)).position->second;
    static_members_[*request.group_instance_id] = new_id;
    if (leader_ == old_id) leader_ = new_id;
    begin_session(member, moment);
    update_member(member, request, joiner, effects);
    if (state_ == GroupState::stable) {
        if (protocol_ != select_protocol()) {
            rebalance(moment, effects);
            return;
        }
        write(effects);
        const bool leads = leader_ == new_id;
        if (joiner.may_skip_assignment) {
            answer_join(member, effects, leads, leads);
        } else {
            // An old client that hears that it leads would assign anew: it is told of its former
            // id as the leader, and goes on with the assignment that stands.
            wire::JoinGroupResponse response = generation_for(*member, false);
            response.leader = old_leader.value_or("");
            effects->replies.push_back({member->joining, std::move(response)});
            member->joining = 0;
        }
    } else if (state_ == GroupState::completing_rebalance) {
        // The leader may be assigning to the id that is gone.
        rebalance(moment, effects);
    } else {
        complete_if_all_joined(moment, effects);
    }
}

void ClassicGroup::add_member(const wire::JoinGroupRequest& request, const Joiner& joiner,
                              const std::string& member_id, Moment moment, Effects* effects) {
    Member member;
    member.id = member_id;
    member.instance_id = request.group_instance_id;
    if (members_.empty()) protocol_type_ = request.protocol_type;
    if (!leader_) leader_ = member_id;
    if (member.instance_id) static_members_[*member.instance_id] = member_id;
    announced_.erase(member_id);
    Member* added = &members_.emplace(member_id, std::move(member)).first->second;
    update_member(added, request, joiner, effects);
    // It cannot send heartbeats before it knows its id, and a connection that ends is not noticed
    // while its request waits: it must ask again after a while.
    added->expires = moment.now + settings_->new_member_join_timeout;
    if (delaying_) joined_in_delay_ = true;
    rebalance_or_complete(moment, effects);
}

void ClassicGroup::update_member(Member* member, const wire::JoinGroupRequest& request,
                                 const Joiner& joiner, Effects* effects) {
    member->client_id = joiner.client_id;
    member->client_host = joiner.client_host;
    member->session_timeout_ms = request.session_timeout_ms;
    member->rebalance_timeout_ms = request.rebalance_timeout_ms < 0 ? request.session_timeout_ms
                                                                    : request.rebalance_timeout_ms;
    member->protocols.clear();
    for (const auto& protocol : request.protocols) {
        // The frame of the request shall not live as long as the member.
        member->protocols.push_back({protocol.name, Bytes::copy_of(protocol.metadata.view())});
    }
    if (member->joining != 0)
        refuse_join(member->joining, member->id, ErrorCode::rebalance_in_progress, effects);
    member->joining = joiner.call;
}

ErrorCode ClassicGroup::validate(const std::string& member,
                                 const std::optional<std::string>& instance) const {
    if (instance) {
        const auto found = static_members_.find(*instance);
        if (found == static_members_.end()) return ErrorCode::unknown_member_id;
        if (found->second != member) return ErrorCode::fenced_instance_id;
    }
    return members_.count(member) > 0 ? ErrorCode::none : ErrorCode::unknown_member_id;
}

// --- rebalancing

void ClassicGroup::rebalance_or_complete(Moment moment, Effects* effects) {
    if (state_ == GroupState::preparing_rebalance) {
        complete_if_all_joined(moment, effects);
    } else {
        rebalance(moment, effects);
    }
}

void ClassicGroup::rebalance(Moment moment, Effects* effects) {
    if (state_ == GroupState::completing_rebalance)
        cancel_syncs(ErrorCode::rebalance_in_progress, moment, effects);
    sync_deadline_ = Instant::never();
    for (auto& [id, member] : members_)
        end_heartbeat(&member, ErrorCode::rebalance_in_progress, effects);
    const bool initial = state_ == GroupState::empty;
    transition(GroupState::preparing_rebalance, moment);
    const Duration delay = settings_->initial_rebalance_delay;
    if (initial && delay > Duration()) {
        delaying_ = true;
        joined_in_delay_ = false;
        delay_left_ = std::max(rebalance_timeout() - delay, Duration());
        join_deadline_ = moment.now + delay;
        return;
    }
    join_deadline_ =
        moment.now + (initial ? settings_->announced_member_wait : rebalance_timeout());
    complete_if_all_joined(moment, effects);
}

bool ClassicGroup::all_joined() const {
    return announced_.empty() && std::all_of(members_.begin(), members_.end(),
                                             [](const auto& m) { return m.second.joining != 0; });
}

void ClassicGroup::complete_if_all_joined(Moment moment, Effects* effects) {
    if (state_ == GroupState::preparing_rebalance && !delaying_ && all_joined())
        complete_join(moment, effects);
}

bool ClassicGroup::elect_joined_leader() {
    if (!leader_) return false;
    if (members_.at(*leader_).joining != 0) return true;
    for (const auto& [id, member] : members_) {
        if (member.joining == 0) continue;
        leader_ = id;
        return true;
    }
    return false;
}

void ClassicGroup::complete_join(Moment moment, Effects* effects) {
    delaying_ = false;
    join_deadline_ = Instant::never();
    // Static members keep their place until their session ends (KIP-345).
    std::vector<std::string> absent;
    for (const auto& [id, member] : members_) {
        if (member.joining == 0 && !member.instance_id) absent.push_back(id);
    }
    for (const std::string& id : absent) remove_member(id, ErrorCode::unknown_member_id, effects);
    if (!members_.empty() && !elect_joined_leader()) {
        // Static members alone, none of them back: until their sessions end.
        join_deadline_ = moment.now + std::max(rebalance_timeout(), Duration::milliseconds(100));
        return;
    }
    generation_ = generation_ == INT32_MAX ? 1 : generation_ + 1;
    if (members_.empty()) {
        protocol_.reset();
        transition(GroupState::empty, moment);
        learn_subscriptions();
        write(effects);
        return;
    }
    protocol_ = select_protocol();
    transition(GroupState::completing_rebalance, moment);
    learn_subscriptions();
    sync_deadline_ = moment.now + rebalance_timeout();
    for (auto& [id, member] : members_) {
        member.is_new = false;
        member.owes_sync = true;
        begin_session(&member, moment);
        if (member.joining != 0) answer_join(&member, effects, leader_ == id);
    }
}

std::string ClassicGroup::select_protocol() const {
    ASSERT(!members_.empty(), "somebody votes for the protocol");
    const auto by_all = [&](const std::string& name) {
        return std::all_of(members_.begin(), members_.end(),
                           [&](const auto& member) { return member.second.supports(name); });
    };
    std::map<std::string_view, bool> candidates;
    std::map<std::string_view, int> votes;
    for (const auto& [id, member] : members_) {
        for (const Protocol& protocol : member.protocols) {
            const auto [place, fresh] = candidates.try_emplace(protocol.name, false);
            if (fresh) place->second = by_all(protocol.name);
            if (!place->second) continue;
            ++votes[protocol.name];
            break;
        }
    }
    std::string_view best;
    int most = 0;
    // Among equals the leader's order decides.
    const auto leader = members_.find(leader_.value_or(""));
    const Member& chooser = leader != members_.end() ? leader->second : members_.begin()->second;
    for (const Protocol& protocol : chooser.protocols) {
        const auto found = votes.find(protocol.name);
        if (found == votes.end() || found->second <= most) continue;
        best = protocol.name;
        most = found->second;
    }
    return std::string(best);
}

void ClassicGroup::learn_subscriptions() {
    subscriptions_.reset();
    if (members_.empty()) {
        subscriptions_.emplace();
        return;
    }
    if (!is_consumer_group() || !protocol_) return;
    std::set<std::string> topics;
    for (const auto& [id, member] : members_) {
        auto subscribed = subscribed_topics(member.metadata(*protocol_));
        if (!subscribed) return;
        topics.insert(subscribed->begin(), subscribed->end());
    }
    subscriptions_ = std::move(topics);
}

void ClassicGroup::transition(GroupState state, Moment moment) {
    state_ = state;
    state_timestamp_ = moment.wall.milliseconds;
}

void ClassicGroup::begin_session(Member* member, Moment moment) {
    member->expires = moment.now + Duration::milliseconds(member->session_timeout_ms);
}

Duration ClassicGroup::rebalance_timeout() const {
    std::int32_t longest = 0;
    for (const auto& [id, member] : members_)
        longest = std::max(longest, member.rebalance_timeout_ms);
    return Duration::milliseconds(longest);
}

// --- SyncGroup

void ClassicGroup::sync(const wire::SyncGroupRequest& request, CallId call, Moment moment,
                        Effects* effects) {
    ErrorCode error = validate(request.member_id, request.group_instance_id);
    const auto differs = [](const std::optional<std::string>& told,
                            const std::optional<std::string>& own) { return told && told != own; };
    if (error != ErrorCode::none) {
        // Said below.
    } else if (request.generation_id != generation_) {
        error = ErrorCode::illegal_generation;
    } else if (differs(request.protocol_type, protocol_type_) ||
               differs(request.protocol_name, protocol_)) {
        error = ErrorCode::inconsistent_group_protocol;
    } else if (state_ == GroupState::empty) {
        error = ErrorCode::unknown_member_id;
    } else if (state_ == GroupState::preparing_rebalance) {
        error = ErrorCode::rebalance_in_progress;
    }
    if (error != ErrorCode::none) {
        refuse_sync(call, error, effects);
        return;
    }
    Member* member = &members_.at(request.member_id);
    member->owes_sync = false;
    if (state_ == GroupState::stable) {
        answer_sync(call, member->assignment, effects);
        return;
    }
    if (member->syncing != 0)
        refuse_sync(member->syncing, ErrorCode::rebalance_in_progress, effects);
    member->syncing = call;
    if (leader_ != request.member_id) return;
    for (auto& [id, each] : members_) each.assignment = Bytes();
    for (const auto& given : request.assignments) {
        const auto found = members_.find(given.member_id);
        if (found != members_.end())
            found->second.assignment = Bytes::copy_of(given.assignment.view());
    }
    transition(GroupState::stable, moment);
    write(effects);
    give_assignments(moment, effects);
}

void ClassicGroup::give_assignments(Moment moment, Effects* effects) {
    for (auto& [id, member] : members_) {
        if (member.syncing == 0) continue;
        answer_sync(member.syncing, member.assignment, effects);
        member.syncing = 0;
        begin_session(&member, moment);
    }
}

void ClassicGroup::cancel_syncs(ErrorCode error, Moment moment, Effects* effects) {
    for (auto& [id, member] : members_) {
        member.assignment = Bytes();
        if (member.syncing == 0) continue;
        refuse_sync(member.syncing, error, effects);
        member.syncing = 0;
        begin_session(&member, moment);
    }
}

// --- Heartbeat, LeaveGroup, OffsetCommit

ErrorCode ClassicGroup::heartbeat(const wire::HeartbeatRequest& request, Moment moment) {
    const ErrorCode error = validate(request.member_id, request.group_instance_id);
    if (error != ErrorCode::none && SABOTAGED("fenced-member-is-served")) return ErrorCode::none;
    if (error != ErrorCode::none) return error;
    if (request.generation_id != generation_) return ErrorCode::illegal_generation;
    begin_session(&members_.at(request.member_id), moment);
    return state_ == GroupState::preparing_rebalance ? ErrorCode::rebalance_in_progress
                                                     : ErrorCode::none;
}

Duration ClassicGroup::park_heartbeat(const std::string& member, CallId call) {
    const auto found = members_.find(member);
    if (found == members_.end() || state_ == GroupState::preparing_rebalance) return Duration();
    found->second.beating = call;
    return patience(found->second.session_timeout_ms);
}

Duration ClassicGroup::patience(std::int32_t session_timeout_ms) {
    // Below the time-outs of connections that clients are known to set, and often enough for the
    // session, which began with the heartbeat.
    constexpr std::int64_t longest_ms = 4'000;
    return Duration::milliseconds(std::min<std::int64_t>(session_timeout_ms / 3, longest_ms));
}

void ClassicGroup::end_heartbeat(Member* member, ErrorCode error, Effects* effects) {
    if (member->beating == 0) return;
    wire::HeartbeatResponse response;
    response.error_code = error;
    effects->replies.push_back({member->beating, std::move(response)});
    member->beating = 0;
}

std::vector<wire::LeaveGroupResponse::MemberResponse> ClassicGroup::leave(
    const wire::LeaveGroupRequest& request, Moment moment, Effects* effects) {
    std::vector<wire::LeaveGroupResponse::MemberResponse> responses;
    bool member_left = false;
    for (const auto& leaving : request.members) {
        auto& response = responses.emplace_back();
        response.member_id = leaving.member_id;
        response.group_instance_id = leaving.group_instance_id;
        std::string id = leaving.member_id;
        if (id.empty()) {
            // An operator removes a static member whose id it does not know.
            const auto found = static_members_.find(leaving.group_instance_id.value_or(""));
            if (found == static_members_.end()) {
                response.error_code = ErrorCode::unknown_member_id;
                continue;
            }
            id = found->second;
        } else if (announced_.erase(id) > 0) {
            continue;
        } else {
            response.error_code = validate(id, leaving.group_instance_id);
            if (response.error_code != ErrorCode::none) continue;
        }
        remove_member(id, ErrorCode::unknown_member_id, effects);
        member_left = true;
    }
    members_changed(member_left, moment, effects);
    return responses;
}

void ClassicGroup::members_changed(bool member_left, Moment moment, Effects* effects) {
    if (member_left) {
        rebalance_or_complete(moment, effects);
    } else {
        // Whom the group waited for may have been an id that was given and will not be used.
        complete_if_all_joined(moment, effects);
    }
}

ErrorCode ClassicGroup::commit(const std::string& member,
                               const std::optional<std::string>& instance, std::int32_t generation,
                               Moment moment, bool in_transaction) {
    // Nobody's: a simple consumer or an operator, while there are no members.
    if (generation < 0 && state_ == GroupState::empty) return ErrorCode::none;
    if (generation < 0 && member.empty() && !instance) return ErrorCode::unknown_member_id;
    const ErrorCode error = validate(member, instance);
    if (error != ErrorCode::none) return error;
    if (generation != generation_) return ErrorCode::illegal_generation;
    // The producer does not wait for the members to agree, nor is it one of them.
    if (in_transaction) return ErrorCode::none;
    if (state_ == GroupState::completing_rebalance) return ErrorCode::rebalance_in_progress;
    begin_session(&members_.at(member), moment);
    return ErrorCode::none;
}

void ClassicGroup::remove_member(const std::string& member_id, ErrorCode error, Effects* effects) {
    auto node = members_.extract(member_id);
    if (!node) return;
    Member& member = node.mapped();
    end_heartbeat(&member, error, effects);
    if (member.joining != 0) refuse_join(member.joining, "", error, effects);
    if (member.syncing != 0) refuse_sync(member.syncing, error, effects);
    if (member.instance_id) static_members_.erase(*member.instance_id);
    if (leader_ == member_id) {
        leader_.reset();
        if (!members_.empty()) leader_ = members_.begin()->first;
    }
}

// --- time

Instant ClassicGroup::deadline() const {
    Instant earliest = std::min(join_deadline_, sync_deadline_);
    for (const auto& [id, expires] : announced_) earliest = std::min(earliest, expires);
    for (const auto& [id, member] : members_) {
        if (member.can_expire()) earliest = std::min(earliest, member.expires);
    }
    return earliest;
}

void ClassicGroup::elapsed(Moment moment, Effects* effects) {
    const auto expired = [&](const auto& each) { return each.second <= moment.now; };
    std::erase_if(announced_, expired);
    bool member_left = false;
    std::vector<std::string> gone;
    for (const auto& [id, member] : members_) {
        if (member.can_expire() && member.expires <= moment.now) gone.push_back(id);
    }
    for (const std::string& id : gone) {
        remove_member(id, ErrorCode::unknown_member_id, effects);
        member_left = true;
    }
    if (sync_deadline_ <= moment.now) {
        sync_deadline_ = Instant::never();
        gone.clear();
        for (const auto& [id, member] : members_) {
            if (member.owes_sync) gone.push_back(id);
        }
        for (const std::string& id : gone) {
            remove_member(id, ErrorCode::unknown_member_id, effects);
            member_left = true;
        }
    }
    members_changed(member_left, moment, effects);
    if (join_deadline_ > moment.now) return;
    if (delaying_ && joined_in_delay_ && delay_left_ > Duration()) {
        const Duration next = std::min(settings_->initial_rebalance_delay, delay_left_);
        delay_left_ = delay_left_ - next;
        joined_in_delay_ = false;
        join_deadline_ = moment.now + next;
        return;
    }
    complete_join(moment, effects);
}

void ClassicGroup::abandon(ErrorCode error, Effects* effects) {
    for (auto& [id, member] : members_) {
        if (member.joining != 0) refuse_join(member.joining, id, error, effects);
        if (member.syncing != 0) refuse_sync(member.syncing, error, effects);
        end_heartbeat(&member, error, effects);
        member.joining = 0;
        member.syncing = 0;
    }
}

// --- what is told

void ClassicGroup::write(Effects* effects) const {
    effects->records.push_back(group_metadata_record(id_, metadata()));
}

wire::GroupMetadataValue ClassicGroup::metadata() const {
    wire::GroupMetadataValue value;
    value.protocol_type = protocol_type_.value_or("");
    value.generation = generation_;
    value.protocol = protocol_;
    value.leader = leader_;
    value.current_state_timestamp = state_timestamp_;
    for (const auto& [id, member] : members_) {
        auto& stored = value.members.emplace_back();
        stored.member_id = id;
        stored.group_instance_id = member.instance_id;
        stored.client_id = member.client_id;
        stored.client_host = member.client_host;
        stored.rebalance_timeout = member.rebalance_timeout_ms;
        stored.session_timeout = member.session_timeout_ms;
        stored.subscription = member.metadata(protocol_.value_or(""));
        stored.assignment = member.assignment;
    }
    return value;
}

std::vector<Migrant> ClassicGroup::migrants() const {
    std::vector<Migrant> migrants;
    for (const auto& [id, member] : members_) {
        const auto selected =
            std::find_if(member.protocols.begin(), member.protocols.end(),
                         [&](const Protocol& each) { return each.name == protocol_; });
        const auto place =
            selected == member.protocols.end() ? 0 : selected - member.protocols.begin();
        migrants.push_back({id, member.instance_id, member.client_id, member.client_host,
                            member.rebalance_timeout_ms, member.session_timeout_ms,
                            member.protocols, static_cast<std::size_t>(place), member.assignment});
    }
    return migrants;
}

wire::DescribeGroupsResponse::DescribedGroup ClassicGroup::describe() const {
    wire::DescribeGroupsResponse::DescribedGroup described;
    described.group_id = id_;
    described.group_state = state_name(state_);
    described.protocol_type = protocol_type_.value_or("");
    const bool settled = state_ == GroupState::stable;
    if (settled) described.protocol_data = protocol_.value_or("");
    for (const auto& [id, member] : members_) {
        auto& each = described.members.emplace_back();
        each.member_id = id;
        each.group_instance_id = member.instance_id;
        each.client_id = member.client_id;
        each.client_host = member.client_host;
        if (!settled) continue;
        each.member_metadata = member.metadata(protocol_.value_or(""));
        each.member_assignment = member.assignment;
    }
    return described;
}

wire::JoinGroupResponse ClassicGroup::generation_for(const Member& member,
                                                     bool with_members) const {
    wire::JoinGroupResponse response;
    response.generation_id = generation_;
    response.protocol_type = protocol_type_;
    response.protocol_name = protocol_;
    response.leader = leader_.value_or("");
    response.member_id = member.id;
    if (!with_members) return response;
    for (const auto& [id, each] : members_) {
        auto& told = response.members.emplace_back();
        told.member_id = id;
        told.group_instance_id = each.instance_id;
        told.metadata = each.metadata(protocol_.value_or(""));
    }
    return response;
}

void ClassicGroup::answer_join(Member* member, Effects* effects, bool with_members,
                               bool skip_assignment) const {
    wire::JoinGroupResponse response = generation_for(*member, with_members);
    response.skip_assignment = skip_assignment;
    effects->replies.push_back({member->joining, std::move(response)});
    member->joining = 0;
}

void ClassicGroup::refuse_join(CallId call, const std::string& member_id, ErrorCode error,
                               Effects* effects) {
    wire::JoinGroupResponse response;
    response.error_code = error;
    response.member_id = member_id;
    effects->replies.push_back({call, std::move(response)});
}

void ClassicGroup::answer_sync(CallId call, const Bytes& assignment, Effects* effects) const {
    wire::SyncGroupResponse response;
    response.protocol_type = protocol_type_;
    response.protocol_name = protocol_;
    response.assignment = assignment;
    effects->replies.push_back({call, std::move(response)});
}

void ClassicGroup::refuse_sync(CallId call, ErrorCode error, Effects* effects) {
    wire::SyncGroupResponse response;
    response.error_code = error;
    effects->replies.push_back({call, std::move(response)});
}

}  // namespace pabal::group
