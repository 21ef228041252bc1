#include "runtime/group_coordinator.h"

#include <algorithm>
#include <cstdlib>

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

PartitionIndex group_partition(std::string_view group, std::int32_t partition_count) {
    // Java hashes UTF-16 code units; ids beyond the basic plane are two of them.
    std::uint32_t hash = 0;
    for (std::size_t at = 0; at < group.size();) {
        const auto first = static_cast<std::uint8_t>(group[at]);
        const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        std::uint32_t code = length == 1 ? first : first & (0x7Fu >> length);
        for (std::size_t i = 1; i < length && at + i < group.size(); ++i)
            code = code << 6 | (static_cast<std::uint8_t>(group[at + i]) & 0x3Fu);
        if (code >= 0x10000) {
            hash = hash * 31 + (0xD800 + ((code - 0x10000) >> 10));
            hash = hash * 31 + (0xDC00 + ((code - 0x10000) & 0x3FF));
        } else {
            hash = hash * 31 + code;
        }
        at += length;
    }
    const std::int64_t signed_hash = static_cast<std::int32_t>(hash);
    // Kafka's absolute value of the one number that has none is 0.
    const std::int64_t absolute = signed_hash == INT32_MIN ? 0 : std::abs(signed_hash);
    return PartitionIndex(static_cast<std::int32_t>(absolute % partition_count));
}

struct GroupCoordinator::Active {
    Active(PartitionIndex partition, std::shared_ptr<CoordinatorLog> coordinator_log,
           const group::Settings* settings, Prng random)
        : index(partition), log(std::move(coordinator_log)), machine(settings, random) {}

    PartitionIndex index;
    std::shared_ptr<CoordinatorLog> log;
    group::Shard machine;
    bool loaded = false;
    std::vector<io::Gate*> waiting;  // For the end of the loading.
    io::TimerId timer = 0;
    Instant timer_due = Instant::never();
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
      partitions_(partitions),
      log_(log),
      settings_(settings_of(*config)),
      commit_timeout_(Duration::milliseconds(config->integer("offsets.commit.timeout.ms"))),
      expiry_interval_(
          Duration::milliseconds(config->integer("offsets.retention.check.interval.ms"))),
      random_(ports->random.fork("groups")) {
    schedule_expiry();
}

GroupCoordinator::~GroupCoordinator() {
    ASSERT(active_.empty() && loading_count_ == 0, "the coordinator is stopped before it goes");
}

// --- which partitions are ours

void GroupCoordinator::apply(const metadata::ClusterDelta& delta,
                             std::shared_ptr<const metadata::ClusterImage> image) {
    if (stopped_) return;
    image_ = std::move(image);
    const Topic* topic = partitions_->topic(group_topic);
    partition_count_ = topic ? static_cast<std::int32_t>(topic->image->partitions.size()) : 0;
    std::vector<ActivePointer> held;
    for (const auto& [index, active] : active_) held.push_back(active);
    for (const ActivePointer& active : held) {
        if (!topic || !topic->partition(active->index)) unload(active, ErrorCode::not_coordinator);
    }
    for (std::int32_t i = 0; i < partition_count_; ++i) {
        const PartitionIndex index(i);
        if (topic->partition(index)) follow(index, topic->partition(index)->shared_from_this());
    }
    for (const auto& [index, active] : active_) {
        if (!active->loaded) continue;
        if (delta.topics.empty()) {
            active->machine.learn_settings(image_);
            continue;
        }
        group::Effects effects;
        active->machine.learn(image_, moment(), &effects);
        carry_out(active, std::move(effects));
        arm(active);
    }
    for (const auto& [id, change] : delta.topics) {
        if (!change.deleted || !change.before) continue;
        for (const auto& [index, active] : active_) {
            if (!active->loaded) continue;
            group::Effects effects;
            active->machine.topic_deleted(change.before->name, id, &effects);
            carry_out(active, std::move(effects));
        }
    }
}

void GroupCoordinator::follow(PartitionIndex index, const std::shared_ptr<Partition>& partition) {
    const auto found = active_.find(index);
    const bool leads = partition->log() && partition->leads();
    if (found != active_.end()) {
        const ActivePointer active = found->second;
        if (leads && active->log->epoch() == partition->leader_epoch()) return;
        unload(active, ErrorCode::not_coordinator);
    }
    if (!leads) return;
    auto log = std::make_shared<CoordinatorLog>(ports_, partition, partition->leader_epoch());
    auto active = std::make_shared<Active>(index, std::move(log), &settings_, Prng(random_.next()));
    active_[index] = active;
    ++loading_count_;
    io::detach(load(active));
}

void GroupCoordinator::unload(const ActivePointer& active, ErrorCode error) {
    active_.erase(active->index);
    ports_->clock.cancel(active->timer);
    active->timer = 0;
    // Answers that wait for the log first: they were given first.
    active->log->close(error);
    group::Effects effects;
    active->machine.abandon(error, &effects);
    answer(&effects.replies, error);
    for (io::Gate* gate : active->waiting) gate->open();
    active->waiting.clear();
}

io::Task<void> GroupCoordinator::load(ActivePointer active) {
    const Instant began = ports_->clock.now();
    const group::Moment at = moment();
    CoordinatorLog::Replay replay = [this, active, at](const record::KeyValue& record,
                                                       Offset offset, ProducerId producer) {
        if (SABOTAGED("commit-is-forgotten-at-load") && offset.value() % 2 == 1) return;
        Status replayed = active->machine.replay(record, at, producer);
        if (!replayed.ok()) {
            log_->error("passed over a record of __consumer_offsets that cannot be read",
                        {{"partition", active->index.value()},
                         {"offset", offset.value()},
                         {"reason", replayed.error().message}});
        }
    };
    CoordinatorLog::TransactionEnded ended = [active](ProducerId producer, bool commit) {
        active->machine.end_transaction(producer, commit);
    };
    Status status = co_await CoordinatorLog::load(active->log, replay, ended);
    if (!active->log->closed()) {
        if (status.ok()) {
            active->loaded = true;
            if (active->machine.group_count() > 0) REACHED("groups-are-loaded");
            group::Effects effects;
            active->machine.learn(image_, moment(), &effects);
            carry_out(active, std::move(effects));
            const Duration taken = ports_->clock.now() - began;
            log_->debug("loaded the groups of a partition",
                        {{"partition", active->index.value()},
                         {"groups", active->machine.group_count()},
                         {"microseconds", taken.to_nanoseconds() / 1000}});
            arm(active);
            for (io::Gate* gate : active->waiting) gate->open();
            active->waiting.clear();
        } else {
            log_->error("cannot load the groups of a partition; they are not served here",
                        {{"partition", active->index.value()}, {"reason", status.error().message}});
            unload(active, ErrorCode::not_coordinator);
        }
    }
    --loading_count_;
    if (loading_count_ == 0 && idle_waiter_) idle_waiter_->open();
}

void GroupCoordinator::reload(const ActivePointer& failed) {
    const auto found = active_.find(failed->index);
    if (found == active_.end() || found->second != failed) return;
    log_->warning("the groups of a partition could not be written; loading them again",
                  {{"partition", failed->index.value()}});
    unload(failed, ErrorCode::not_coordinator);
    const Topic* topic = partitions_->topic(group_topic);
    Partition* partition = topic ? topic->partition(failed->index) : nullptr;
    if (partition) follow(failed->index, partition->shared_from_this());
}

io::Task<void> GroupCoordinator::stop() {
    stopped_ = true;
    ports_->clock.cancel(expiry_timer_);
    while (!active_.empty()) {
        const ActivePointer active = active_.begin()->second;
        unload(active, ErrorCode::not_coordinator);
    }
    if (loading_count_ == 0) co_return;
    io::Gate gate(ports_->clock);
    idle_waiter_ = &gate;
    co_await gate.opened(Instant::never());
    idle_waiter_ = nullptr;
}

GroupCoordinator::ActivePointer GroupCoordinator::find(std::string_view group) const {
    if (partition_count_ == 0) return nullptr;
    const auto found = active_.find(group_partition(group, partition_count_));
    return found == active_.end() ? nullptr : found->second;
}

io::Task<Result<GroupCoordinator::ActivePointer>> GroupCoordinator::serving(std::string group) {
    ActivePointer active = find(group);
    if (!active) {
        co_return Error{ErrorCode::not_coordinator,
                        "this broker does not coordinate the group " + group};
    }
    if (active->loaded) co_return active;
    ErrorCode error = co_await loaded(active);
    if (error != ErrorCode::none) co_return Error{error, "the group's partition is being loaded"};
    co_return active;
}

io::Task<ErrorCode> GroupCoordinator::loaded(ActivePointer active) {
    if (!active->loaded) {
        io::Gate gate(ports_->clock);
        active->waiting.push_back(&gate);
        Instant deadline = ports_->clock.now() + load_patience;
        bool opened = co_await gate.opened(deadline);
        if (!opened) std::erase(active->waiting, &gate);
    }
    if (active->log->closed()) co_return ErrorCode::not_coordinator;
    co_return active->loaded ? ErrorCode::none : ErrorCode::coordinator_load_in_progress;
}

// --- carrying out what the machine asks

group::Moment GroupCoordinator::moment() const {
    return {ports_->clock.policy_now(), ports_->clock.wall_now()};
}

void GroupCoordinator::carry_out(const ActivePointer& active, group::Effects effects) {
    if (effects.records.empty() && effects.replies.empty()) return;
    auto replies = std::make_shared<std::vector<group::Reply>>(std::move(effects.replies));
    CoordinatorLog::write(active->log, std::move(effects.records),
                          [this, active, replies](ErrorCode error) {
                              answer(replies.get(), error);
                              if (error != ErrorCode::none) reload(active);
                          });
}

// What became of records that somebody waits for.
struct GroupCoordinator::Outcome {
    explicit Outcome(io::Clock& clock) : gate(clock) {}
    io::Gate gate;
    std::vector<group::Reply> replies;
    ErrorCode error = ErrorCode::none;
    bool known = false;
};

io::Task<ErrorCode> GroupCoordinator::written(ActivePointer active, group::Effects effects,
                                              CoordinatorLog::Producer producer) {
    auto outcome = std::make_shared<Outcome>(ports_->clock);
    outcome->replies = std::move(effects.replies);
    CoordinatorLog::write(active->log, std::move(effects.records), tell(active, outcome), producer);
    return known(outcome);
}

io::Task<ErrorCode> GroupCoordinator::marker_written(ActivePointer active,
                                                     CoordinatorLog::Marker marker) {
    auto outcome = std::make_shared<Outcome>(ports_->clock);
    CoordinatorLog::write_marker(active->log, marker, tell(active, outcome));
    return known(outcome);
}

CoordinatorLog::Done GroupCoordinator::tell(const ActivePointer& active,
                                            const std::shared_ptr<Outcome>& outcome) {
    return [this, active, outcome](ErrorCode error) {
        outcome->error = error;
        outcome->known = true;
        outcome->gate.open();
        answer(&outcome->replies, error);
        if (error != ErrorCode::none) reload(active);
    };
}

io::Task<ErrorCode> GroupCoordinator::known(std::shared_ptr<Outcome> outcome) {
    if (!outcome->known) {
        Instant deadline = ports_->clock.now() + commit_timeout_;
        co_await outcome->gate.opened(deadline);
    }
    co_return outcome->known ? outcome->error : ErrorCode::coordinator_not_available;
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

void GroupCoordinator::arm(const ActivePointer& active) {
    const Instant due = active->machine.deadline();
    if (due == active->timer_due && active->timer != 0) return;
    // A timer that comes too early finds nothing to do and is set anew.
    if (active->timer != 0 && active->timer_due < due) return;
    ports_->clock.cancel(active->timer);
    active->timer = 0;
    active->timer_due = due;
    if (due == Instant::never()) return;
    active->timer = ports_->clock.at_policy(due, [this, active] { elapsed(active); });
}

void GroupCoordinator::elapsed(const ActivePointer& active) {
    active->timer = 0;
    active->timer_due = Instant::never();
    group::Effects effects;
    active->machine.elapsed(moment(), &effects);
    carry_out(active, std::move(effects));
    if (!active->log->closed()) arm(active);
}

void GroupCoordinator::schedule_expiry() {
    const Instant due = ports_->clock.policy_now() + expiry_interval_;
    expiry_timer_ = ports_->clock.at_policy(due, [this] { expire(); });
}

void GroupCoordinator::expire() {
    std::vector<ActivePointer> held;
    for (const auto& [index, active] : active_) held.push_back(active);
    for (const ActivePointer& active : held) {
        if (!active->loaded) continue;
        group::Effects effects;
        active->machine.expire_offsets(moment(), &effects);
        carry_out(active, std::move(effects));
    }
    schedule_expiry();
}

std::size_t GroupCoordinator::group_count() const {
    std::size_t count = 0;
    for (const auto& [index, active] : active_) count += active->machine.group_count();
    return count;
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
    carry_out(*active, std::move(effects));
    if (!(*active)->log->closed()) arm(*active);
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
    carry_out(*active, std::move(effects));
    if (!(*active)->log->closed()) arm(*active);
    co_await call.gate.opened(Instant::never());
    // The machine answers a sync with a sync's answer; an unloaded shard only with an error.
    co_return std::get<wire::SyncGroupResponse>(std::move(call.response));
}

io::Task<wire::HeartbeatResponse> GroupCoordinator::heartbeat(wire::HeartbeatRequest request,
                                                              io::Gate** parked) {
    wire::HeartbeatResponse response;
    const ActivePointer known = find(request.group_id);
    // Whoever had to wait for the group already is answered at once.
    const bool at_once = !known || !known->loaded;
    Result<ActivePointer> active = co_await serving(request.group_id);
    response.error_code =
        active.ok() ? (*active)->machine.heartbeat(request, moment()) : active.error().code;
    // Kafka's: a member that asks while its group is loaded goes on.
    if (response.error_code == ErrorCode::coordinator_load_in_progress)
        response.error_code = ErrorCode::none;
    // Who is told to join again has so long for it.
    if (active.ok()) arm(*active);
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
    const bool at_once = !known || !known->loaded;
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
    carry_out(*active, std::move(effects));
    if (!(*active)->log->closed()) arm(*active);
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
    if (!active || !active->loaded) {
        Result<ActivePointer> served = co_await serving(group);
        if (!served.ok()) co_return fail(request, served.error().code);
        active = *served;
    }
    group::Effects effects;
    auto response = work(active->machine, request, moment(), &effects);
    arm(active);
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
    found.error = (*active)->log->check(producer);
    found.partition = (*active)->index;
    found.open = (*active)->log->has_open_transaction(producer);
    found.markers = (*active)->log->marker_count();
    co_return found;
}

io::Task<wire::TxnOffsetCommitResponse> GroupCoordinator::commit_in_transaction(
    wire::TxnOffsetCommitRequest request, std::uint64_t markers) {
    const CoordinatorLog::Producer producer{request.producer_id, request.producer_epoch};
    std::string group = request.group_id;
    Result<ActivePointer> active = co_await serving(std::move(group));
    ErrorCode error = active.ok() ? (*active)->log->check(producer) : active.error().code;
    if (error == ErrorCode::none && (*active)->log->marker_count() != markers)
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
    const auto found = active_.find(partition);
    if (found == active_.end()) co_return ErrorCode::not_leader_or_follower;
    ActivePointer active = found->second;
    ErrorCode error = co_await loaded(active);
    if (error == ErrorCode::none) error = active->log->check(marker);
    if (error == ErrorCode::none) {
        active->machine.end_transaction(marker.producer.id, marker.commit);
        error = co_await marker_written(active, marker);
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
    std::vector<ActivePointer> held;
    for (const auto& [index, active] : active_) held.push_back(active);
    for (ActivePointer active : held) {
        ErrorCode error = co_await loaded(active);
        if (error == ErrorCode::none) {
            active->machine.list(&response.groups);
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
