#include "group/consumer/group.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "base/probe.h"
#include "group/consumer/assignment_wire.h"
#include "group/consumer/assignor.h"
#include "group/consumer/member.h"
#include "group/consumer/metadata_hash.h"
#include "group/consumer/topic_pattern.h"
#include "group/group_record.h"
#include "metadata/cluster_image.h"

namespace pabal::group {
namespace {

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
    : id_(std::move(id)),
      settings_(settings),
      heartbeat_interval_ms_(settings->consumer_heartbeat_interval_ms),
      session_timeout_ms_(settings->consumer_session_timeout_ms) {}

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

// As ConfigRecords of the group say now, within the bounds of this broker.
void ConsumerGroup::obey(const metadata::ClusterImage& image) {
    const auto& set = image.config(metadata::ResourceType::group, id_);
    const auto value = [&](std::string_view name, std::int32_t otherwise, std::int32_t least,
                           std::int32_t most) {
        const auto found = set.find(name);
        if (found == set.end()) return otherwise;
        std::int32_t number = 0;
        const char* end = found->second.data() + found->second.size();
        const auto [rest, error] = std::from_chars(found->second.data(), end, number);
        if (error != std::errc() || rest != end) return otherwise;
        return std::max(least, std::min(most, number));
    };
    heartbeat_interval_ms_ =
        value("consumer.heartbeat.interval.ms", settings_->consumer_heartbeat_interval_ms,
              settings_->consumer_min_heartbeat_interval_ms,
              settings_->consumer_max_heartbeat_interval_ms);
    session_timeout_ms_ = value(
        "consumer.session.timeout.ms", settings_->consumer_session_timeout_ms,
        settings_->consumer_min_session_timeout_ms, settings_->consumer_max_session_timeout_ms);
}

Duration ConsumerGroup::heartbeat(const Request& request, const Caller& caller,
                                  const metadata::ClusterImage& image, Moment moment,
                                  Effects* effects) {
    obey(image);
    if (request.member_epoch < 0) {
        const Status may = check_leave(request);
        if (may.ok()) {
            leave(members_.at(request.member_id).get(), request, caller, image, moment, effects);
        } else {
            refuse(caller.call, may.error().code, may.error().message, effects);
        }
        return Duration();
    }
    const bool joins = request.member_epoch == join_epoch;
    const Status readable = check_pattern(request);
    // Before anything is changed for it.
    if (joins && !readable.ok()) {
        refuse(caller.call, readable.error().code, readable.error().message, effects);
        return Duration();
    }
    auto found = find_or_join(request, effects);
    if (!found.ok() && request.member_epoch > 0 && SABOTAGED("fenced-member-is-served")) {
        wire::ConsumerGroupHeartbeatResponse response;
        response.member_epoch = request.member_epoch;
        effects->replies.push_back({caller.call, std::move(response)});
        return Duration();
    }
    if (!found.ok()) {
        refuse(caller.call, found.error().code, found.error().message, effects);
        return Duration();
    }
    Member* member = *found;
    if (!readable.ok()) {
        refuse(caller.call, readable.error().code, readable.error().message, effects);
        return Duration();
    }
    const Change changed = update(member, request, caller);
    // A heartbeat that still waits comes from a connection that is gone.
    member->beating = 0;
    begin_session(member, moment);
    if (changed != Change::none) write_metadata(*member, effects);
    const std::int32_t epoch_before = epoch_;
    refresh(changed == Change::subscription, image, moment, effects);

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
        return Duration::milliseconds(heartbeat_interval_ms_ * 3 / 4);
    }
    effects->replies.push_back({caller.call, response_for(*member, with_assignment)});
    return Duration();
}

ConsumerGroup::Member* ConsumerGroup::add_member(const std::string& id) {
    auto member = std::make_unique<Member>();
    member->id = id;
    return members_.emplace(id, std::move(member)).first->second.get();
}

ConsumerGroup::Member* ConsumerGroup::take_place(const std::string& old_id,
                                                 const std::string& new_id, Effects* effects) {
    // It takes the place, and what the place was to have (KIP-345).
    Assignment target = targets_[old_id];
    auto node = members_.extract(old_id);
    Member* member = node.mapped().get();
    end_heartbeat(member, ErrorCode::fenced_instance_id,
                  "Another member took the place of this instance id.", effects);
    write_removal(old_id, effects);
    set_held(member, {}, {}, 0);
    member->id = new_id;
    node.key() = new_id;
    members_.insert(std::move(node));
    targets_.erase(old_id);
    member->epoch = join_epoch;
    member->previous_epoch = join_epoch;
    member->state = MemberState::stable;
    static_members_[*member->instance_id] = new_id;
    write_metadata(*member, effects);
    write_target(new_id, target, effects);
    targets_[new_id] = std::move(target);
    return member;
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
            // A classic member does not say that it will be back.
            const Member& held = *members_.at(holder->second);
            if (held.epoch != leave_static_epoch && !held.classic) {
                return Error{ErrorCode::unreleased_instance_id,
                             "Static member " + request.member_id + " with instance id " +
                                 *request.instance_id +
                                 " cannot join the group because the instance id is owned by " +
                                 holder->second + " member."};
            }
            const std::string old_id = holder->second;
            return take_place(old_id, request.member_id, effects);
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
        return add_member(request.member_id);
    }
    Member* member = found->second.get();
    if (joins) {
        // It begins anew and holds nothing.
        set_held(member, {}, {}, 0);
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

Status ConsumerGroup::check_pattern(const Request& request) const {
    const std::string expression = request.subscribed_topic_regex.value_or("");
    if (expression.empty() || matched_.count(expression) > 0) return Status();
    const auto pattern = TopicPattern::parse(expression);
    return pattern.ok() ? Status() : Status(pattern.error());
}

ConsumerGroup::Change ConsumerGroup::update(Member* member, const Request& request,
                                            const Caller& caller) {
    Member updated = *member;
    if (request.instance_id) updated.instance_id = request.instance_id;
    if (request.rack_id) updated.rack_id = request.rack_id;
    if (request.rebalance_timeout_ms != -1)
        updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
    if (request.subscribed_topic_names) {
        updated.topic_names = *request.subscribed_topic_names;
        auto& names = updated.topic_names;
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
    }
    if (request.subscribed_topic_regex) updated.pattern = *request.subscribed_topic_regex;
    if (request.server_assignor) updated.server_assignor = request.server_assignor;
    updated.client_id = caller.client_id;
    updated.client_host = caller.client_host;
    updated.classic.reset();
    updated.join_by = Instant::never();
    updated.sync_by = Instant::never();
    return replace(member, std::move(updated));
}

ConsumerGroup::Change ConsumerGroup::replace(Member* member, Member updated) {
    const auto subscription = [](const Member& m) {
        return std::tie(m.topic_names, m.pattern, m.server_assignor);
    };
    const auto details = [](const Member& m) {
        return std::tie(m.instance_id, m.rack_id, m.client_id, m.client_host,
                        m.rebalance_timeout_ms, m.classic);
    };
    const bool fresh = targets_.count(member->id) == 0;
    const bool subscribed = fresh || subscription(updated) != subscription(*member);
    const bool changed = subscribed || details(updated) != details(*member);
    *member = std::move(updated);
    if (member->instance_id) static_members_[*member->instance_id] = member->id;
    if (subscribed) return Change::subscription;
    return changed ? Change::details : Change::none;
}

void ConsumerGroup::begin_session(Member* member, Moment moment) const {
    const std::int32_t timeout_ms =
        member->classic ? member->classic->session_timeout_ms : session_timeout_ms_;
    member->expires = moment.now + Duration::milliseconds(timeout_ms);
}

void ConsumerGroup::leave(Member* member, const Request& request, const Caller& caller,
                          const metadata::ClusterImage& image, Moment moment, Effects* effects) {
    wire::ConsumerGroupHeartbeatResponse response;
    response.member_id = request.member_id;
    response.member_epoch = request.member_epoch;
    if (request.member_epoch == leave_static_epoch) {
        // Its place is kept until its session ends.
        set_held(member, member->assigned, {}, member->epoch);
        member->previous_epoch = member->epoch;
        member->epoch = leave_static_epoch;
        member->state = MemberState::stable;
        member->revoke_by = Instant::never();
        write_current(*member, effects);
        effects->replies.push_back({caller.call, std::move(response)});
        return;
    }
    effects->replies.push_back({caller.call, std::move(response)});
    remove_members({member->id}, image, moment, effects);
}

void ConsumerGroup::remove_members(const std::set<std::string>& ids,
                                   const metadata::ClusterImage& image, Moment moment,
                                   Effects* effects) {
    if (ids.empty()) return;
    for (const std::string& id : ids) remove_member(id, effects);
    refresh(true, image, moment, effects);
    tell_parked(moment, effects);
}

wire::ConsumerGroupHeartbeatResponse ConsumerGroup::nothing_new(const Request& request,
                                                                CallId call) {
    const auto member = members_.find(request.member_id);
    if (member == members_.end()) return {};
    // News would go to nobody from now on: they are for the next heartbeat. Some may be under way
    // to this one already, waiting for the log: they are told here.
    const bool news = member->second->beating != call;
    if (!news) member->second->beating = 0;
    return response_for(*member->second, news || request.member_epoch == join_epoch);
}

wire::ConsumerGroupHeartbeatResponse ConsumerGroup::response_for(const Member& member,
                                                                 bool with_assignment) const {
    wire::ConsumerGroupHeartbeatResponse response;
    response.member_id = member.id;
    response.member_epoch = member.epoch;
    response.heartbeat_interval_ms = heartbeat_interval_ms_;
    if (with_assignment) {
        response.assignment.emplace();
        response.assignment->topic_partitions =
            to_wire<wire::ConsumerGroupHeartbeatResponseTopicPartitions>(member.assigned);
    }
    return response;
}

void ConsumerGroup::refuse(CallId call, ErrorCode error, std::string message, Effects* effects) {
    wire::ConsumerGroupHeartbeatResponse response;
    response.error_code = error;
    response.error_message = std::move(message);
    effects->replies.push_back({call, std::move(response)});
}

void ConsumerGroup::end_heartbeat(Member* member, ErrorCode error, std::string message,
                                  Effects* effects) {
    if (member->beating == 0) return;
    if (member->classic) {
        wire::HeartbeatResponse response;
        response.error_code = error;
        effects->replies.push_back({member->beating, std::move(response)});
    } else {
        refuse(member->beating, error, std::move(message), effects);
    }
    member->beating = 0;
}

ErrorCode ConsumerGroup::find_member(const std::string& id,
                                     const std::optional<std::string>& instance,
                                     Member** member) const {
    if (instance) {
        const auto holder = static_members_.find(*instance);
        if (holder == static_members_.end()) return ErrorCode::unknown_member_id;
        if (holder->second != id) return ErrorCode::fenced_instance_id;
    }
    const auto found = members_.find(id);
    if (found == members_.end()) return ErrorCode::unknown_member_id;
    *member = found->second.get();
    return ErrorCode::none;
}

Status ConsumerGroup::check_leave(const Request& request) const {
    Member* member = nullptr;
    const ErrorCode error = find_member(request.member_id, request.instance_id, &member);
    if (error == ErrorCode::none) return Status();
    if (error == ErrorCode::fenced_instance_id) {
        return Error{error, "Static member " + request.member_id + " with instance id " +
                                *request.instance_id + " was fenced by member " +
                                static_members_.at(*request.instance_id) + "."};
    }
    if (request.instance_id)
        return Error{error, "Instance id " + *request.instance_id + " is unknown."};
    return Error{error, "Member " + request.member_id + " is not a member of group " + id_ + "."};
}

ErrorCode ConsumerGroup::check_epoch(const Member& member, std::int32_t epoch) {
    if (member.epoch == epoch) return ErrorCode::none;
    return member.classic ? ErrorCode::illegal_generation : ErrorCode::stale_member_epoch;
}

ErrorCode ConsumerGroup::check_fetch(const std::optional<std::string>& member,
                                     std::int32_t epoch) const {
    if (!member && epoch < 0) return ErrorCode::none;
    const auto found = members_.find(member.value_or(""));
    return found == members_.end() ? ErrorCode::unknown_member_id
                                   : check_epoch(*found->second, epoch);
}

ErrorCode ConsumerGroup::check_commit(const std::string& member, std::int32_t epoch, int version,
                                      bool* former) const {
    constexpr int first_version_with_epochs = 9;
    if (epoch < 0 && members_.empty()) return ErrorCode::none;
    const auto found = members_.find(member);
    if (found == members_.end()) return ErrorCode::unknown_member_id;
    if (!found->second->classic && version < first_version_with_epochs)
        return ErrorCode::unsupported_version;
    *former = epoch >= 0 && epoch < found->second->epoch;
    return *former ? ErrorCode::none : check_epoch(*found->second, epoch);
}

ErrorCode ConsumerGroup::check_commit_of(const std::string& id, std::int32_t epoch,
                                         const TopicPartition& partition) const {
    const Member& member = *members_.at(id);
    const auto held = member.since.find(partition);
    if (held != member.since.end() && epoch >= held->second) return ErrorCode::none;
    return member.classic ? ErrorCode::illegal_generation : ErrorCode::stale_member_epoch;
}

void ConsumerGroup::remove_member(const std::string& id, Effects* effects) {
    const auto found = members_.find(id);
    Member* member = found->second.get();
    end_heartbeat(member, ErrorCode::unknown_member_id, "The member has left the group.", effects);
    set_held(member, {}, {}, 0);
    if (member->instance_id) static_members_.erase(*member->instance_id);
    write_removal(id, effects);
    targets_.erase(id);
    members_.erase(found);
}

// --- epochs and targets

void ConsumerGroup::metadata_changed(const metadata::ClusterImage& image, Moment moment,
                                     Effects* effects) {
    match_patterns(true, image, moment, effects);
    if (members_.empty()) return;
    if (metadata_hash(subscriptions(image).all, image) == metadata_hash_) return;
    refresh(true, image, moment, effects);
    tell_parked(moment, effects);
}

void ConsumerGroup::match_patterns(bool anew, const metadata::ClusterImage& image, Moment moment,
                                   Effects* effects) {
    std::set<std::string> used;
    for (const auto& [id, member] : members_) {
        if (!member->pattern.empty()) used.insert(member->pattern);
    }
    std::erase_if(matched_, [&](const auto& each) {
        if (used.count(each.first) > 0) return false;
        effects->records.push_back(to_record(ConsumerPattern{id_, each.first, std::nullopt}));
        return true;
    });
    for (const std::string& expression : used) {
        const auto known = matched_.find(expression);
        if (known != matched_.end() && !anew) continue;
        std::set<std::string> names;
        auto pattern = TopicPattern::parse(expression);
        if (pattern.ok()) {
            for (const auto& [name, topic] : image.topic_ids()) {
                if (pattern->matches(name)) names.insert(name);
            }
        }
        if (known != matched_.end() && known->second == names) continue;
        wire::ConsumerGroupRegularExpressionValue value;
        value.topics.assign(names.begin(), names.end());
        value.version = image.offset().value();
        value.timestamp = moment.wall.milliseconds;
        effects->records.push_back(to_record(ConsumerPattern{id_, expression, std::move(value)}));
        matched_[expression] = std::move(names);
    }
}

ConsumerGroup::Subscriptions ConsumerGroup::subscriptions(
    const metadata::ClusterImage& image) const {
    Subscriptions subscriptions;
    for (const auto& [id, member] : members_) {
        const auto [place, fresh] =
            subscriptions.topics.try_emplace({&member->topic_names, &member->pattern});
        subscriptions.of_member.push_back(&place->second);
        if (!fresh) continue;
        const auto take = [&](const std::string& name) {
            if (auto topic = image.topic(name)) {
                place->second.insert(topic->id);
                subscriptions.all.insert(topic->id);
            }
        };
        for (const std::string& name : member->topic_names) take(name);
        const auto matched = matched_.find(member->pattern);
        if (matched == matched_.end()) continue;
        for (const std::string& name : matched->second) take(name);
    }
    return subscriptions;
}

void ConsumerGroup::refresh(bool changed, const metadata::ClusterImage& image, Moment moment,
                            Effects* effects) {
    if (changed) {
        match_patterns(false, image, moment, effects);
        ++epoch_;
        metadata_hash_ = metadata_hash(subscriptions(image).all, image);
        wire::ConsumerGroupMetadataValue value;
        value.epoch = epoch_;
        value.metadata_hash = metadata_hash_;
        effects->records.push_back(to_record(ConsumerEpoch{id_, value}));
    }
    if (epoch_ > target_epoch_) compute_target(image, moment, effects);
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

void ConsumerGroup::compute_target(const metadata::ClusterImage& image, Moment moment,
                                   Effects* effects) {
    const Subscriptions subscribed = subscriptions(image);
    AssignorInput input;
    input.members.reserve(members_.size());
    for (const auto& [id, member] : members_) {
        const auto target = targets_.find(id);
        input.members.push_back({member->instance_id ? *member->instance_id : id,
                                 subscribed.of_member[input.members.size()],
                                 target == targets_.end() ? nullptr : &target->second});
    }
    for (const TopicId& topic : subscribed.all) {
        input.partition_counts.emplace(
            topic, static_cast<std::int32_t>(image.topic(topic)->partitions.size()));
    }
    Targets targets = assignor() == "range" ? assign_range(input) : assign_uniform(input);
    std::size_t place = 0;
    for (const auto& [id, member] : members_) {
        Assignment& target = targets[place++];
        const auto [before, fresh] = targets_.try_emplace(id);
        if (!fresh && before->second == target) continue;
        write_target(id, target, effects);
        before->second = std::move(target);
    }
    target_epoch_ = epoch_;
    target_timestamp_ = moment.wall.milliseconds;
    wire::ConsumerGroupTargetAssignmentMetadataValue value;
    value.assignment_epoch = target_epoch_;
    value.assignment_timestamp = target_timestamp_;
    effects->records.push_back(to_record(ConsumerTargetEpoch{id_, value}));
}

// --- leading members to their targets

bool ConsumerGroup::held_by_other(const TopicPartition& partition, const Member& member) const {
    if (SABOTAGED("partition-is-assigned-twice")) return false;
    const auto holder = holders_.find(partition);
    return holder != holders_.end() && holder->second != member.id;
}

void ConsumerGroup::set_held(Member* member, Assignment assigned, Assignment pending,
                             std::int32_t epoch) {
    std::map<TopicPartition, std::int32_t> since;
    const auto hold = [&](const TopicPartition& partition) {
        const auto before = member->since.find(partition);
        since[partition] = before == member->since.end() ? epoch : before->second;
        holders_[partition] = member->id;
    };
    const auto drop = [&](const TopicPartition& partition) {
        if (since.count(partition) > 0) return;
        const auto holder = holders_.find(partition);
        if (holder != holders_.end() && holder->second == member->id) holders_.erase(holder);
    };
    for_each(assigned, hold);
    for_each(pending, hold);
    for (const auto& [partition, since_epoch] : member->since) drop(partition);
    member->since = std::move(since);
    member->assigned = std::move(assigned);
    member->pending = std::move(pending);
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
        set_held(member, std::move(kept), std::move(revoked), epoch);
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
        set_held(member, std::move(kept), {}, target_epoch_);
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
        if (member->classic) {
            if (!must_rejoin(*member)) continue;
            await_rejoin(member.get(), moment);
            end_heartbeat(member.get(), ErrorCode::rebalance_in_progress, "", effects);
            continue;
        }
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
    for (const auto& [id, member] : members_) earliest = std::min(earliest, member->deadline());
    return earliest;
}

std::set<std::string> ConsumerGroup::overdue(Moment moment) const {
    std::set<std::string> gone;
    for (const auto& [id, member] : members_) {
        if (member->deadline() <= moment.now) gone.insert(id);
    }
    return gone;
}

void ConsumerGroup::elapsed(const metadata::ClusterImage& image, Moment moment, Effects* effects) {
    remove_members(overdue(moment), image, moment, effects);
}

void ConsumerGroup::abandon(ErrorCode error, Effects* effects,
                            const std::set<std::string>& leaving) {
    for (auto& [id, member] : members_) {
        const bool leaves = leaving.count(id) > 0;
        end_heartbeat(member.get(), leaves ? ErrorCode::unknown_member_id : error,
                      leaves ? "The member has left the group." : "", effects);
    }
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
        each.member_type = member->classic ? 0 : 1;
    }
    return group;
}

}  // namespace pabal::group
