#include "client/consumer_group_member.h"

#include <algorithm>

#include "base/uuid.h"
#include "wire/api_versions.h"
#include "wire/consumer_group_heartbeat.h"

namespace pabal::client {
namespace {

// A broker may keep a heartbeat until there is news; another frame on the connection calls it back.
constexpr Duration parked_after = Duration::milliseconds(10);
// Until the coordinator says how often.
constexpr Duration first_interval = Duration::seconds(5);

}  // namespace

ConsumerGroupMember::ConsumerGroupMember(io::Clock* clock, Prng random, Options options,
                                         Brokers* brokers, FetchedRecords* records,
                                         TaskGroup* tasks)
    : GroupMembership(clock, random, std::move(options), brokers, records, tasks) {
    member_id_ = Uuid::random(random_).text();
    interval_ = first_interval;
}

void ConsumerGroupMember::hurry() {
    tasks_.start(poke());
}

// Calls a parked heartbeat back.
io::Task<void> ConsumerGroupMember::poke() {
    io::Sleep pause(clock_, clock_.now() + parked_after);
    co_await pause;
    if (!beating_ || !urgent_ || !coordinator_) co_return;
    wire::ApiVersionsRequest request;
    request.client_software_name = "pabal";
    request.client_software_version = "0.1.0";
    const BrokerId coordinator = *coordinator_;
    auto ignored = co_await brokers_.call<wire::ApiVersionsResponse>(
        coordinator, std::move(request), options_.request_timeout);
    static_cast<void>(ignored);
}

void ConsumerGroupMember::fill(wire::ConsumerGroupHeartbeatRequest* request) {
    request->group_id = options_.group_id;
    request->member_id = member_id_;
    request->member_epoch = epoch_;
    request->instance_id = options_.instance_id;
    const bool joining = epoch_ == 0;
    if (joining || subscription_changed_) {
        if (pattern_.empty()) {
            request->subscribed_topic_names = topics_;
            request->subscribed_topic_regex = "";
        } else {
            request->subscribed_topic_names.emplace();
            request->subscribed_topic_regex = pattern_;
        }
    }
    if (joining) {
        if (!options_.rack.empty()) request->rack_id = options_.rack;
        request->rebalance_timeout_ms =
            static_cast<std::int32_t>(options_.max_poll_interval.to_milliseconds());
        request->server_assignor = options_.assignor;
        request->topic_partitions.emplace();
    } else if (owned_changed_) {
        auto& list = request->topic_partitions.emplace();
        for (const auto& [topic, partition] : owned_) {
            if (list.empty() || list.back().topic_id != topic) list.emplace_back().topic_id = topic;
            list.back().partitions.push_back(partition);
        }
    }
}

io::Task<void> ConsumerGroupMember::beat() {
    auto coordinator = co_await find_coordinator();
    if (!coordinator.ok() || !subscribed_) {
        ++failures_;
        next_beat_ = clock_.now() + backoff();
        if (!coordinator.ok() && !is_on_the_move(coordinator.error().code) && subscribed_) {
            fail(coordinator.error());
        }
        beating_ = false;
        news();
        co_return;
    }
    wire::ConsumerGroupHeartbeatRequest request;
    fill(&request);
    const bool subscription_sent = request.subscribed_topic_names.has_value();
    const bool owned_sent = request.topic_partitions.has_value();
    subscription_changed_ = subscription_changed_ && !subscription_sent;
    owned_changed_ = owned_changed_ && !owned_sent;
    const Instant began = clock_.now();
    const std::int32_t epoch_before = epoch_;
    called_back_ = false;
    const BrokerId broker = *coordinator;
    auto response = co_await brokers_.call<wire::ConsumerGroupHeartbeatResponse>(
        broker, std::move(request), options_.request_timeout + interval_);
    beating_ = false;
    if (response.ok() && response->error_code == ErrorCode::none) {
        failures_ = 0;
        const bool news = response->assignment || response->member_epoch != epoch_before;
        take(*response);
        // Where heartbeats wait for news, the next one is there before the next news.
        const Duration taken = clock_.now() - began;
        const bool waited = called_back_ || taken + taken > interval_;
        next_beat_ = news || waited ? clock_.now() : began + interval_;
        if (!placed_) {
            // Brokers work out who reads what behind the answer to the one who joins; whoever asks
            // again soon need not wait for a whole interval.
            const Duration early = Duration::milliseconds(std::int64_t{50} << early_beats_);
            early_beats_ = std::min(early_beats_ + 1, 10);
            next_beat_ = std::min(next_beat_, clock_.now() + early);
        }
    } else {
        subscription_changed_ = subscription_changed_ || subscription_sent;
        owned_changed_ = owned_changed_ || owned_sent;
        const ErrorCode code = response.ok() ? response->error_code : response.error().code;
        if (!subscribed_) co_return;
        if (is_on_the_move(code)) {
            coordinator_.reset();
            ++failures_;
            next_beat_ = clock_.now() + (failures_ > 1 ? backoff() : Duration());
        } else if (code == ErrorCode::unknown_member_id || code == ErrorCode::fenced_member_epoch) {
            lost();
            next_beat_ = clock_.now();
        } else {
            fail(response.ok() ? refusal(code, response->error_message)
                               : refusal(code, response.error().message));
        }
    }
    news();
}

void ConsumerGroupMember::take(wire::ConsumerGroupHeartbeatResponse& response) {
    if (response.member_id) member_id_ = *response.member_id;
    epoch_ = response.member_epoch;
    if (response.heartbeat_interval_ms > 0) {
        interval_ = Duration::milliseconds(response.heartbeat_interval_ms);
    }
    if (response.assignment) {
        Owned target;
        for (const auto& topic : response.assignment->topic_partitions) {
            for (const PartitionIndex partition : topic.partitions) {
                target.emplace(topic.topic_id, partition);
            }
        }
        placed_ = placed_ || !target.empty();
        target_ = std::move(target);
    }
}

void ConsumerGroupMember::owned_changed(bool) {
    owned_changed_ = true;
    urgent_ = true;
}

io::Task<void> ConsumerGroupMember::say_goodbye(BrokerId coordinator) {
    wire::ConsumerGroupHeartbeatRequest request;
    request.group_id = options_.group_id;
    request.member_id = member_id_;
    request.instance_id = options_.instance_id;
    request.member_epoch = options_.instance_id ? -2 : -1;  // A static member comes back.
    const Duration limit = std::min(options_.request_timeout, Duration::seconds(5));
    auto left = co_await brokers_.call<wire::ConsumerGroupHeartbeatResponse>(
        coordinator, std::move(request), limit);
    static_cast<void>(left);
}

void ConsumerGroupMember::forget() {
    placed_ = false;
    early_beats_ = 0;
    owned_changed_ = false;
}

}  // namespace pabal::client
