#include "runtime/group_coordinator.h"

#include <optional>
#include <utility>

#include "base/probe.h"
#include "metadata/broker_config.h"
#include "runtime/partitions.h"

namespace pabal::runtime {
namespace {

group::Settings settings_of(const metadata::BrokerConfig& config) {
    group::Settings settings;
    settings.min_session_timeout_ms =
        static_cast<std::int32_t>(config.integer("group.min.session.timeout.ms"));
    settings.max_session_timeout_ms =
        static_cast<std::int32_t>(config.integer("group.max.session.timeout.ms"));
    settings.max_size = static_cast<std::size_t>(config.integer("group.max.size"));
    settings.initial_rebalance_delay =
        Duration::milliseconds(config.integer("group.initial.rebalance.delay.ms"));
    settings.consumer_session_timeout_ms =
        static_cast<std::int32_t>(config.integer("group.consumer.session.timeout.ms"));
    settings.consumer_heartbeat_interval_ms =
        static_cast<std::int32_t>(config.integer("group.consumer.heartbeat.interval.ms"));
    const auto number = [&](const char* name) {
        return static_cast<std::int32_t>(config.integer(name));
    };
    settings.consumer_min_session_timeout_ms = number("group.consumer.min.session.timeout.ms");
    settings.consumer_max_session_timeout_ms = number("group.consumer.max.session.timeout.ms");
    settings.consumer_min_heartbeat_interval_ms =
        number("group.consumer.min.heartbeat.interval.ms");
    settings.consumer_max_heartbeat_interval_ms =
        number("group.consumer.max.heartbeat.interval.ms");
    const std::string policy = config.text("group.consumer.migration.policy");
    settings.may_upgrade = policy == "upgrade" || policy == "bidirectional";
    settings.may_downgrade = policy == "downgrade" || policy == "bidirectional";
    settings.consumer_max_size =
        static_cast<std::size_t>(config.integer("group.consumer.max.size"));
    settings.consumer_assignors = config.list("group.consumer.assignors");
    settings.offset_metadata_max_bytes =
        static_cast<std::size_t>(config.integer("offset.metadata.max.bytes"));
    settings.offsets_retention =
        Duration::milliseconds(config.integer("offsets.retention.minutes") * 60'000);
    return settings;
}

}  // namespace

// One partition of the topic: its groups.
struct GroupCoordinator::Active final : CoordinatedPartition {
    Active(GroupCoordinator* coordinator, PartitionIndex index, std::shared_ptr<CoordinatorLog> log)
        : CoordinatedPartition(index, std::move(log)),
          owner(coordinator),
          machine(&owner->settings_, Prng(owner->random_.next())) {}

    Status replay(const record::KeyValue& record, Offset offset, ProducerId producer) override {
        if (SABOTAGED("commit-is-forgotten-at-load") && offset.value() % 2 == 1) return Status();
        // Not before the log is committed: sessions begin anew, and that can take long.
        if (!read_at) read_at = owner->moment();
        return machine.replay(record, *read_at, producer);
    }
    void transaction_ended(ProducerId producer, bool committed) override {
        machine.end_transaction(producer, committed);
    }
    void begin() override {
        if (machine.group_count() > 0) REACHED("groups-are-loaded");
        learn();
    }
    void abandon(ErrorCode error) override {
        group::Effects effects;
        machine.abandon(error, &effects);
        owner->answer(&effects.replies, error);
    }
    Instant deadline() const override { return machine.deadline(); }
    void elapsed() override {
        group::Effects effects;
        machine.elapsed(owner->moment(), &effects);
        carry_out(std::move(effects));
    }
    void expire() override {
        group::Effects effects;
        machine.expire_offsets(owner->moment(), &effects);
        carry_out(std::move(effects));
    }
    std::size_t id_count() const override { return machine.group_count(); }

    void learn() {
        group::Effects effects;
        machine.learn(owner->image_, owner->moment(), &effects);
        carry_out(std::move(effects));
    }
    void carry_out(group::Effects effects) { owner->carry_out(this, std::move(effects)); }

    GroupCoordinator* owner;
    group::Shard machine;
    std::optional<group::Moment> read_at;  // The time of what the log says.
};

// A request that waits for the machine's answer.
struct GroupCoordinator::Call {
    explicit Call(io::Clock& clock) : gate(clock) {}
    io::Gate gate;
    decltype(group::Reply::response) response;
};

GroupCoordinator::GroupCoordinator(io::Ports* ports, const metadata::BrokerConfig* config,
                                   Partitions* partitions, const Logger* log)
    : ports_(ports),
      settings_(settings_of(*config)),
      random_(ports->random.fork("groups")),
      topic_(
          ports, partitions,
          {.topic = group_topic,
           .write_patience = Duration::milliseconds(config->integer("offsets.commit.timeout.ms")),
           .expiry_interval =
               Duration::milliseconds(config->integer("offsets.retention.check.interval.ms"))},
          [this](PartitionIndex index, std::shared_ptr<CoordinatorLog> coordinator_log) {
              return std::make_shared<Active>(this, index, std::move(coordinator_log));
          },
          log) {}

void GroupCoordinator::apply(const metadata::ClusterDelta& delta,
                             std::shared_ptr<const metadata::ClusterImage> image) {
    if (topic_.is_stopped()) return;
    image_ = std::move(image);
    topic_.follow();
    for (const CoordinatedTopic::Pointer& each : topic_.held()) {
        if (!each->is_loaded()) continue;
        auto& active = static_cast<Active&>(*each);
        if (delta.topics.empty()) {
            active.machine.learn_settings(image_);
            continue;
        }
        active.learn();
        topic_.arm(each);
    }
    for (const auto& [id, change] : delta.topics) {
        if (!change.deleted || !change.before) continue;
        for (const CoordinatedTopic::Pointer& each : topic_.held()) {
            if (!each->is_loaded()) continue;
            auto& active = static_cast<Active&>(*each);
            group::Effects effects;
            active.machine.topic_deleted(change.before->name, id, &effects);
            active.carry_out(std::move(effects));
        }
    }
}

io::Task<void> GroupCoordinator::stop() {
    topic_.stop();
    return topic_.ended();
}

GroupCoordinator::ActivePointer GroupCoordinator::find(std::string_view group) const {
    return std::static_pointer_cast<Active>(topic_.find(group));
}

io::Task<Result<GroupCoordinator::ActivePointer>> GroupCoordinator::serving(std::string group) {
    Result<CoordinatedTopic::Pointer> served = co_await topic_.serving(std::move(group));
    if (!served.ok()) co_return served.error();
    co_return std::static_pointer_cast<Active>(*served);
}

// --- carrying out what the machine asks

group::Moment GroupCoordinator::moment() const {
    return {ports_->clock.policy_now(), ports_->clock.wall_now()};
}

void GroupCoordinator::carry_out(Active* active, group::Effects effects) {
    if (effects.records.empty() && effects.replies.empty()) return;
    topic_.write(active->shared_from_this(), std::move(effects.records),
                 answering(std::move(effects.replies)));
}

io::Task<ErrorCode> GroupCoordinator::written(ActivePointer active, group::Effects effects,
                                              CoordinatorLog::Producer producer) {
    return topic_.written(std::move(active), std::move(effects.records),
                          answering(std::move(effects.replies)), producer);
}

CoordinatorLog::Done GroupCoordinator::answering(std::vector<group::Reply> replies) {
    if (replies.empty()) return nullptr;
    auto held = std::make_shared<std::vector<group::Reply>>(std::move(replies));
    return [this, held](ErrorCode error) { answer(held.get(), error); };
}

void GroupCoordinator::answer(std::vector<group::Reply>* replies, ErrorCode error) {
    for (group::Reply& reply : *replies) {
        const auto found = calls_.find(reply.call);
        if (found == calls_.end()) continue;
        if (error != ErrorCode::none)
            std::visit(
                [&](auto& response) {
                    response = {};
                    response.error_code = error;
                },
                reply.response);
        found->second->response = std::move(reply.response);
        found->second->gate.open();
        calls_.erase(found);
    }
}

// --- requests

io::Task<wire::JoinGroupResponse> GroupCoordinator::join(wire::JoinGroupRequest request,
                                                         group::Joiner joiner) {
    wire::JoinGroupResponse response;
    Result<ActivePointer> active = co_await serving(request.group_id);
    if (!active.ok()) {
        response.error_code = active.error().code;
        response.member_id = request.member_id;
        co_return response;
    }
    Call call(ports_->clock);
    joiner.call = ++last_call_;
    calls_[joiner.call] = &call;
    group::Effects effects;
    (*active)->machine.join(request, joiner, moment(), &effects);
    (*active)->carry_out(std::move(effects));
    topic_.arm(*active);
    // Every member is answered or forgotten within its rebalance time-out.
    co_await call.gate.opened(Instant::never());
    co_return std::get<wire::JoinGroupResponse>(std::move(call.response));
}

io::Task<wire::SyncGroupResponse> GroupCoordinator::sync(wire::SyncGroupRequest request) {
    wire::SyncGroupResponse response;
    Result<ActivePointer> active = co_await serving(request.group_id);
    if (!active.ok()) {
        response.error_code = active.error().code;
        co_return response;
    }
    Call call(ports_->clock);
    const group::CallId id = ++last_call_;
    calls_[id] = &call;
    group::Effects effects;
    (*active)->machine.sync(request, id, moment(), &effects);
    (*active)->carry_out(std::move(effects));
    topic_.arm(*active);
    co_await call.gate.opened(Instant::never());
    // The machine answers a sync with a sync's answer; an unloaded shard only with an error.
    co_return std::get<wire::SyncGroupResponse>(std::move(call.response));
}

io::Task<wire::HeartbeatResponse> GroupCoordinator::heartbeat(wire::HeartbeatRequest request,
                                                              io::Gate** parked) {
    wire::HeartbeatResponse response;
    const ActivePointer known = find(request.group_id);
    // Whoever had to wait for the group already is answered at once.
    const bool at_once = !known || !known->is_loaded();
    Result<ActivePointer> active = co_await serving(request.group_id);
    response.error_code =
        active.ok() ? (*active)->machine.heartbeat(request, moment()) : active.error().code;
    // Kafka's: a member that asks while its group is loaded goes on.
    if (response.error_code == ErrorCode::coordinator_load_in_progress)
        response.error_code = ErrorCode::none;
    // Who is told to join again has so long for it.
    if (active.ok()) topic_.arm(*active);
    if (at_once || response.error_code != ErrorCode::none) co_return response;
    const group::CallId id = ++last_call_;
    const Duration patience = (*active)->machine.park_heartbeat(request, id);
    if (patience <= Duration()) co_return response;
    Call call(ports_->clock);
    calls_[id] = &call;
    *parked = &call.gate;
    Instant deadline = ports_->clock.now() + patience;
    co_await call.gate.opened(deadline);
    *parked = nullptr;
    // Still there: the machine had no news.
    if (calls_.erase(id) > 0) co_return response;
    co_return std::get<wire::HeartbeatResponse>(std::move(call.response));
}

io::Task<wire::ConsumerGroupHeartbeatResponse> GroupCoordinator::consumer_heartbeat(
    wire::ConsumerGroupHeartbeatRequest request, group::Caller caller, io::Gate** parked) {
    const ActivePointer known = find(request.group_id);
    const bool at_once = !known || !known->is_loaded();
    Result<ActivePointer> active = co_await serving(request.group_id);
    if (!active.ok()) {
        wire::ConsumerGroupHeartbeatResponse response;
        response.error_code = active.error().code;
        co_return response;
    }
    Call call(ports_->clock);
    caller.call = ++last_call_;
    calls_[caller.call] = &call;
    group::Effects effects;
    const Duration patience =
        (*active)->machine.consumer_heartbeat(request, caller, moment(), &effects);
    (*active)->carry_out(std::move(effects));
    topic_.arm(*active);
    Instant deadline = Instant::never();
    if (patience > Duration()) {
        deadline = at_once ? ports_->clock.now() : ports_->clock.now() + patience;
        *parked = &call.gate;
    }
    co_await call.gate.opened(deadline);
    *parked = nullptr;
    // Still there: the machine had no news.
    if (calls_.erase(caller.call) > 0) {
        wire::ConsumerGroupHeartbeatResponse response =
            (*active)->machine.nothing_new(request, caller.call);
        group::Effects nothing;
        ErrorCode error = co_await written(*active, std::move(nothing));
        if (error == ErrorCode::none) co_return response;
        wire::ConsumerGroupHeartbeatResponse failed;
        failed.error_code = error;
        co_return failed;
    }
    co_return std::get<wire::ConsumerGroupHeartbeatResponse>(std::move(call.response));
}

// What most requests are: the machine answers at once, and the answer leaves when everything
// before it is committed, so that what is told is so. If that fails the error is told alone.
template <class Request, class Work, class Fail>
auto GroupCoordinator::ask(std::string group, Request request, Work work, Fail fail)
    -> io::Task<std::invoke_result_t<Fail, const Request&, ErrorCode>> {
    ActivePointer active = find(group);
    if (!active || !active->is_loaded()) {
        Result<ActivePointer> served = co_await serving(group);
        if (!served.ok()) co_return fail(request, served.error().code);
        active = *served;
    }
    group::Effects effects;
    auto response = work(active->machine, request, moment(), &effects);
    topic_.arm(active);
    ErrorCode error = co_await written(active, std::move(effects));
    if (error != ErrorCode::none) co_return fail(request, error);
    co_return response;
}

io::Task<wire::ConsumerGroupDescribeResponse::DescribedGroup> GroupCoordinator::describe_consumer(
    std::string group) {
    const auto work = [](group::Shard& machine, const std::string& id, group::Moment,
                         group::Effects*) { return machine.describe_consumer(id); };
    const auto fail = [](const std::string& id, ErrorCode error) {
        wire::ConsumerGroupDescribeResponse::DescribedGroup described;
        described.group_id = id;
        described.error_code = error;
        return described;
    };
    return ask(group, group, work, fail);
}

io::Task<wire::LeaveGroupResponse> GroupCoordinator::leave(wire::LeaveGroupRequest request) {
    const auto work = [](group::Shard& machine, const wire::LeaveGroupRequest& asked,
                         group::Moment moment,
                         group::Effects* effects) { return machine.leave(asked, moment, effects); };
    const auto fail = [](const wire::LeaveGroupRequest&, ErrorCode error) {
        wire::LeaveGroupResponse response;
        response.error_code = error;
        return response;
    };
    std::string group = request.group_id;
    return ask(std::move(group), std::move(request), work, fail);
}

io::Task<wire::OffsetCommitResponse> GroupCoordinator::commit(wire::OffsetCommitRequest request,
                                                              int version) {
    const auto work = [version](group::Shard& machine, const wire::OffsetCommitRequest& asked,
                                group::Moment moment, group::Effects* effects) {
        return machine.commit(asked, version, moment, effects);
    };
    const auto fail = [](const wire::OffsetCommitRequest& asked, ErrorCode error) {
        wire::OffsetCommitResponse response;
        for (const auto& topic : asked.topics) {
            auto& answered = response.topics.emplace_back();
            answered.name = topic.name;
            answered.topic_id = topic.topic_id;
            for (const auto& partition : topic.partitions)
                answered.partitions.push_back({partition.partition_index, error});
        }
        return response;
    };
    std::string group = request.group_id;
    return ask(std::move(group), std::move(request), work, fail);
}

io::Task<wire::OffsetFetchResponse::OffsetFetchResponseGroup> GroupCoordinator::fetch(
    wire::OffsetFetchRequest::OffsetFetchRequestGroup request, bool require_stable) {
    using Request = wire::OffsetFetchRequest::OffsetFetchRequestGroup;
    const auto work = [require_stable](group::Shard& machine, const Request& asked, group::Moment,
                                       group::Effects*) {
        return machine.fetch(asked, require_stable);
    };
    const auto fail = [](const Request& asked, ErrorCode error) {
        wire::OffsetFetchResponse::OffsetFetchResponseGroup response;
        response.group_id = asked.group_id;
        response.error_code = error;
        return response;
    };
    std::string group = request.group_id;
    return ask(std::move(group), std::move(request), work, fail);
}

io::Task<GroupCoordinator::Participant> GroupCoordinator::participant(
    std::string group, CoordinatorLog::Producer producer) {
    Participant found;
    Result<ActivePointer> active = co_await serving(group);
    if (!active.ok()) {
        found.error = active.error().code;
        co_return found;
    }
    found.error = (*active)->log()->check(producer);
    found.partition = (*active)->index();
    found.open = (*active)->log()->has_open_transaction(producer);
    found.markers = (*active)->log()->marker_count();
    co_return found;
}

io::Task<wire::TxnOffsetCommitResponse> GroupCoordinator::commit_in_transaction(
    wire::TxnOffsetCommitRequest request, std::uint64_t markers) {
    const CoordinatorLog::Producer producer{request.producer_id, request.producer_epoch};
    std::string group = request.group_id;
    Result<ActivePointer> active = co_await serving(std::move(group));
    ErrorCode error = active.ok() ? (*active)->log()->check(producer) : active.error().code;
    if (error == ErrorCode::none && (*active)->log()->marker_count() != markers)
        error = ErrorCode::concurrent_transactions;
    wire::TxnOffsetCommitResponse response;
    if (error == ErrorCode::none) {
        group::Effects effects;
        response = (*active)->machine.commit_in_transaction(request, moment(), &effects);
        error = co_await written(*active, std::move(effects), producer);
        if (error == ErrorCode::none) co_return response;
        response = {};
    }
    for (const auto& topic : request.topics) {
        auto& answered = response.topics.emplace_back();
        answered.name = topic.name;
        for (const auto& partition : topic.partitions)
            answered.partitions.push_back({partition.partition_index, error});
    }
    co_return response;
}

io::Task<ErrorCode> GroupCoordinator::end_transaction(PartitionIndex partition,
                                                      CoordinatorLog::Marker marker) {
    CoordinatedTopic::Pointer found = topic_.find(partition);
    if (!found) co_return ErrorCode::not_leader_or_follower;
    ErrorCode error = co_await topic_.loaded(found);
    if (error == ErrorCode::none) error = found->log()->check(marker);
    if (error == ErrorCode::none) {
        static_cast<Active&>(*found).machine.end_transaction(marker.producer.id, marker.commit);
        error = co_await topic_.marker_written(found, marker);
    }
    // Whoever writes markers looks for leaders, not for coordinators.
    const bool elsewhere = error == ErrorCode::not_coordinator ||
                           error == ErrorCode::coordinator_not_available ||
                           error == ErrorCode::coordinator_load_in_progress;
    co_return elsewhere ? ErrorCode::not_leader_or_follower : error;
}

io::Task<wire::OffsetDeleteResponse> GroupCoordinator::delete_offsets(
    wire::OffsetDeleteRequest request) {
    const auto work = [](group::Shard& machine, const wire::OffsetDeleteRequest& asked,
                         group::Moment moment, group::Effects* effects) {
        return machine.delete_offsets(asked, moment, effects);
    };
    const auto fail = [](const wire::OffsetDeleteRequest&, ErrorCode error) {
        wire::OffsetDeleteResponse response;
        response.error_code = error;
        return response;
    };
    std::string group = request.group_id;
    return ask(std::move(group), std::move(request), work, fail);
}

io::Task<wire::DescribeGroupsResponse::DescribedGroup> GroupCoordinator::describe(
    std::string group) {
    const auto work = [](group::Shard& machine, const std::string& id, group::Moment,
                         group::Effects*) { return machine.describe(id); };
    const auto fail = [](const std::string& id, ErrorCode error) {
        wire::DescribeGroupsResponse::DescribedGroup described;
        described.group_id = id;
        described.error_code = error;
        return described;
    };
    return ask(group, group, work, fail);
}

io::Task<wire::ListGroupsResponse> GroupCoordinator::list() {
    wire::ListGroupsResponse response;
    const std::vector<CoordinatedTopic::Pointer> held = topic_.held();
    for (CoordinatedTopic::Pointer each : held) {
        ErrorCode error = co_await topic_.loaded(each);
        if (error == ErrorCode::none) {
            static_cast<Active&>(*each).machine.list(&response.groups);
        } else if (error == ErrorCode::coordinator_load_in_progress) {
            response.error_code = error;
        }
    }
    co_return response;
}

io::Task<ErrorCode> GroupCoordinator::delete_group(std::string group) {
    const auto work = [](group::Shard& machine, const std::string& id, group::Moment,
                         group::Effects* effects) { return machine.delete_group(id, effects); };
    const auto fail = [](const std::string&, ErrorCode error) { return error; };
    return ask(group, group, work, fail);
}

}  // namespace pabal::runtime
