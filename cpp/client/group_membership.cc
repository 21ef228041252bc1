#include "client/group_membership.h"

#include <algorithm>
#include <map>

#include "base/uuid.h"
#include "client/find_coordinator.h"
#include "client/retry_backoff.h"
#include "wire/api_versions.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"

namespace pabal::client {
namespace {

// A coordinator that moves, or cannot be reached.
bool is_on_the_move(ErrorCode code) {
    return code == ErrorCode::coordinator_not_available ||
           code == ErrorCode::coordinator_load_in_progress || code == ErrorCode::not_coordinator ||
           code == ErrorCode::network_exception || code == ErrorCode::broker_not_available ||
           code == ErrorCode::request_timed_out;
}

// A broker may keep a heartbeat until there is news; another frame on the connection calls it back.
constexpr Duration parked_after = Duration::milliseconds(10);

struct OffsetFetch : wire::OffsetFetchRequest {
    std::string group;
    std::vector<OffsetFetchRequestTopics> asked;

    void fill(int version) {
        constexpr int first_with_several = 8;  // KIP-709
        if (version < first_with_several) {
            group_id = group;
            auto& list = topics.emplace();
            for (auto& topic : asked) {
                auto& one = list.emplace_back();
                one.name = topic.name;
                one.partition_indexes = topic.partition_indexes;
            }
            return;
        }
        auto& one = groups.emplace_back();
        one.group_id = group;
        one.topics = asked;
    }
};

Instant until(Instant now, Duration timeout) {
    return now + timeout;
}

}  // namespace

GroupMembership::GroupMembership(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                                 FetchedRecords* records, TaskGroup* tasks)
    : clock_(*clock),
      options_(std::move(options)),
      random_(random),
      brokers_(*brokers),
      records_(*records),
      tasks_(*tasks) {
    member_id_ = Uuid::random(random_).text();
}

GroupMembership::~GroupMembership() = default;

void GroupMembership::subscribe(std::vector<std::string> topics, std::string pattern) {
    topics_ = std::move(topics);
    pattern_ = std::move(pattern);
    subscribed_ = true;
    subscription_changed_ = true;
    urgent_ = true;
    news();
    if (running_ || stopping_) return;
    running_ = true;
    tasks_.start(run());
}

void GroupMembership::news() {
    has_news_ = true;
    if (gate_) gate_->open();
}

void GroupMembership::stop() {
    stopping_ = true;
    subscribed_ = false;
    news();
}

Duration GroupMembership::backoff() {
    return retry_backoff(options_.retry_backoff, options_.retry_backoff_max, failures_, &random_);
}

std::optional<NamedPartition> GroupMembership::named(
    const std::pair<TopicId, PartitionIndex>& id) const {
    const auto* topic = brokers_.topic(id.first);
    if (topic == nullptr) return std::nullopt;
    return NamedPartition{topic->name, id.second};
}

io::Task<void> GroupMembership::run() {
    while (subscribed_) {
        has_news_ = false;
        Instant polled_at;
        {
            const auto lock = records_.lock();
            polled_at = records_.polled_at(lock);
        }
        const bool slow = epoch_ > 0 && clock_.now() - polled_at > options_.max_poll_interval;
        if (slow) {
            // Whoever does not poll does not read: others shall have the partitions.
            co_await leave();
            subscribed_ = true;
            lost();
            next_beat_ = Instant::never();
        } else if (epoch_ == 0 && next_beat_ == Instant::never() &&
                   clock_.now() - polled_at < options_.max_poll_interval) {
            next_beat_ = clock_.now();
        }
        co_await reconcile();
        const bool due = urgent_ || next_beat_ <= clock_.now();
        if (due && !beating_ && subscribed_ && next_beat_ != Instant::never()) {
            urgent_ = false;
            beating_ = true;
            tasks_.start(beat());
        } else if (urgent_ && beating_) {
            tasks_.start(poke());
        }
        if (!subscribed_) break;
        if (has_news_) continue;
        gate_ = std::make_unique<io::Gate>(clock_);
        const Instant latest = clock_.now() + Duration::seconds(1);
        const Instant wake =
            beating_ || next_beat_ <= clock_.now() ? latest : std::min(next_beat_, latest);
        co_await gate_->opened(wake);
    }
    running_ = false;
}

// Calls a parked heartbeat back.
io::Task<void> GroupMembership::poke() {
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

void GroupMembership::fill(wire::ConsumerGroupHeartbeatRequest* request) {
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

io::Task<void> GroupMembership::beat() {
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
    const BrokerId broker = *coordinator;
    auto response = co_await brokers_.call<wire::ConsumerGroupHeartbeatResponse>(
        broker, std::move(request), options_.request_timeout + interval_);
    beating_ = false;
    if (response.ok() && response->error_code == ErrorCode::none) {
        failures_ = 0;
        take(*response);
        next_beat_ = began + interval_;
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
        } else if (code == ErrorCode::unreleased_instance_id && epoch_ == 0) {
            ++failures_;
            next_beat_ = clock_.now() + backoff();
        } else {
            std::string message =
                response.ok() ? response->error_message.value_or("") : response.error().message;
            if (message.empty()) message = std::string(error_message(code));
            fail(Error{code, "group " + options_.group_id + ": " + message});
        }
    }
    news();
}

void GroupMembership::take(wire::ConsumerGroupHeartbeatResponse& response) {
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

// The group goes on without this member: what it read may be read by others already.
void GroupMembership::lost() {
    epoch_ = 0;
    placed_ = false;
    early_beats_ = 0;
    std::vector<NamedPartition> partitions;
    for (const auto& id : owned_) {
        if (auto name = named(id)) partitions.push_back(std::move(*name));
    }
    for (const auto& name : partitions) records_.remove(name);
    for (const auto& id : arriving_) {
        if (const auto name = named(id)) records_.remove(*name);
    }
    owned_.clear();
    arriving_.clear();
    leaving_.clear();
    target_.reset();
    owned_changed_ = false;
    told_ = false;
    if (!partitions.empty()) {
        records_.propose({Rebalance::Kind::lost, std::move(partitions)});
        told_ = true;
    }
}

void GroupMembership::fail(Error error) {
    records_.fail(std::move(error));
    subscribed_ = false;
    lost();
}

io::Task<void> GroupMembership::reconcile() {
    if (told_ && !records_.is_rebalancing()) {
        // The poller has dealt with it.
        told_ = false;
        for (const auto& id : leaving_) {
            if (const auto name = named(id)) records_.remove(*name);
            owned_.erase(id);
        }
        const bool changed = !leaving_.empty() || !arriving_.empty();
        owned_.insert(arriving_.begin(), arriving_.end());
        leaving_.clear();
        arriving_.clear();
        if (changed && epoch_ > 0) {
            owned_changed_ = true;
            urgent_ = true;
        }
    }
    if (told_ || !target_) co_return;
    const Owned target = *target_;
    std::vector<NamedPartition> gone;
    Owned leaving;
    for (const auto& id : owned_) {
        if (target.contains(id)) continue;
        leaving.insert(id);
        if (auto name = named(id)) gone.push_back(std::move(*name));
    }
    if (!leaving.empty()) {
        leaving_ = std::move(leaving);
        told_ = true;
        records_.propose({Rebalance::Kind::revoked, std::move(gone)});
        co_return;
    }
    bool unknown = false;
    std::vector<NamedPartition> names;
    Owned arriving;
    for (const auto& id : target) {
        if (owned_.contains(id)) continue;
        auto name = named(id);
        unknown = unknown || !name;
        if (!name) continue;
        arriving.insert(id);
        names.push_back(std::move(*name));
    }
    if (unknown) {
        if (pattern_.empty()) {
            std::vector<std::string> topics = topics_;
            auto refreshed = co_await brokers_.refresh(std::move(topics));
            static_cast<void>(refreshed);
        } else {
            auto refreshed = co_await brokers_.refresh_all();
            static_cast<void>(refreshed);
        }
        // What is still not known is looked up a second later.
        const bool known = std::all_of(target.begin(), target.end(), [&](const auto& id) {
            return brokers_.topic(id.first) != nullptr;
        });
        if (known) news();
        co_return;
    }
    if (arriving.empty()) {
        target_.reset();
        co_return;
    }
    std::vector<NamedPartition> asked = names;
    auto positions = co_await committed(std::move(asked), options_.request_timeout);
    if (!subscribed_ || !target_ || *target_ != target) co_return;
    if (!positions.ok()) co_return;  // Tried again at the next turn.
    for (const auto& position : *positions) {
        records_.add(position.partition, position.offset, options_.reset_to);
    }
    arriving_ = std::move(arriving);
    told_ = true;
    target_.reset();
    records_.propose({Rebalance::Kind::assigned, std::move(names)});
}

io::Task<void> GroupMembership::leave() {
    const bool member = epoch_ > 0;
    subscribed_ = false;
    news();
    if (member) {
        auto coordinator = co_await find_coordinator();
        if (coordinator.ok()) {
            wire::ConsumerGroupHeartbeatRequest request;
            request.group_id = options_.group_id;
            request.member_id = member_id_;
            request.instance_id = options_.instance_id;
            request.member_epoch = options_.instance_id ? -2 : -1;  // A static member comes back.
            const BrokerId broker = *coordinator;
            const Duration limit = std::min(options_.request_timeout, Duration::seconds(5));
            auto left = co_await brokers_.call<wire::ConsumerGroupHeartbeatResponse>(
                broker, std::move(request), limit);
            static_cast<void>(left);
        }
    }
    epoch_ = 0;
    placed_ = false;
    early_beats_ = 0;
    owned_.clear();
    arriving_.clear();
    leaving_.clear();
    target_.reset();
    told_ = false;
}

io::Task<Result<BrokerId>> GroupMembership::find_coordinator() {
    if (coordinator_) co_return *coordinator_;
    FindCoordinator request;
    request.group = options_.group_id;
    auto response = co_await brokers_.call_any<wire::FindCoordinatorResponse>(
        std::move(request), options_.request_timeout);
    if (!response.ok()) co_return response.error();
    if (response->coordinators.empty()) {
        auto& one = response->coordinators.emplace_back();
        one.error_code = response->error_code;
        one.error_message = response->error_message;
        one.node_id = response->node_id;
        one.host = response->host;
        one.port = response->port;
    }
    auto& found = response->coordinators.front();
    if (found.error_code != ErrorCode::none) {
        co_return Error{found.error_code,
                        found.error_message.value_or(std::string(error_message(found.error_code)))};
    }
    brokers_.learn(found.node_id, std::move(found.host), found.port);
    coordinator_ = found.node_id;
    co_return found.node_id;
}

io::Task<Status> GroupMembership::commit(std::vector<CommittedPosition> positions,
                                         Duration timeout) {
    const Instant deadline = until(clock_.now(), timeout);
    std::vector<std::string> unknown;
    for (const auto& position : positions) {
        if (brokers_.topic(position.partition.topic) == nullptr) {
            unknown.push_back(position.partition.topic);
        }
    }
    if (!unknown.empty()) {
        auto refreshed = co_await brokers_.refresh(std::move(unknown));
        if (!refreshed.ok()) co_return refreshed.error();
    }
    std::sort(positions.begin(), positions.end(),
              [](const auto& a, const auto& b) { return a.partition < b.partition; });
    int attempts = 0;
    Error last{ErrorCode::request_timed_out, "no coordinator"};
    while (!stopping_) {
        if (attempts > 0) {
            const Duration pause = std::min(options_.retry_backoff, Duration::milliseconds(50));
            if (clock_.now() + pause >= deadline) break;
            io::Sleep sleep(clock_, clock_.now() + pause);
            co_await sleep;
        }
        ++attempts;
        auto coordinator = co_await find_coordinator();
        if (!coordinator.ok()) {
            last = coordinator.error();
            if (!is_on_the_move(last.code)) break;
            continue;
        }
        wire::OffsetCommitRequest request;
        request.group_id = options_.group_id;
        if (epoch_ > 0) {
            request.member_id = member_id_;
            request.generation_id_or_member_epoch = epoch_;
            request.group_instance_id = options_.instance_id;
        }
        for (const auto& position : positions) {
            if (request.topics.empty() || request.topics.back().name != position.partition.topic) {
                auto& topic = request.topics.emplace_back();
                topic.name = position.partition.topic;
                const auto* known = brokers_.topic(topic.name);
                if (known != nullptr) topic.topic_id = known->id;
            }
            auto& one = request.topics.back().partitions.emplace_back();
            one.partition_index = position.partition.partition;
            one.committed_offset = Offset(position.offset);
            one.committed_leader_epoch = LeaderEpoch(position.leader_epoch);
            one.committed_metadata = position.metadata;
        }
        const BrokerId broker = *coordinator;
        auto response = co_await brokers_.call<wire::OffsetCommitResponse>(
            broker, std::move(request), deadline - clock_.now());
        if (!response.ok()) {
            last = response.error();
            coordinator_.reset();
            if (!is_on_the_move(last.code)) break;
            continue;
        }
        ErrorCode code = ErrorCode::none;
        std::string where;
        for (const auto& topic : response->topics) {
            for (const auto& partition : topic.partitions) {
                if (partition.error_code == ErrorCode::none || code != ErrorCode::none) continue;
                code = partition.error_code;
                where = topic.name + "-" + std::to_string(partition.partition_index.value());
            }
        }
        if (code == ErrorCode::none) co_return Status();
        last = Error{code, "committing for group " + options_.group_id + ", " + where + ": " +
                               std::string(error_message(code))};
        if (is_on_the_move(code)) coordinator_.reset();
        const bool again = is_on_the_move(code) || code == ErrorCode::stale_member_epoch ||
                           code == ErrorCode::unknown_topic_or_partition;
        if (!again) break;
    }
    co_return last;
}

io::Task<Result<std::vector<CommittedPosition>>> GroupMembership::committed(
    std::vector<NamedPartition> partitions, Duration timeout) {
    const Instant deadline = until(clock_.now(), timeout);
    std::sort(partitions.begin(), partitions.end());
    std::vector<std::string> unknown;
    for (const auto& partition : partitions) {
        if (brokers_.topic(partition.topic) == nullptr) unknown.push_back(partition.topic);
    }
    if (!unknown.empty()) {
        auto refreshed = co_await brokers_.refresh(std::move(unknown));
        if (!refreshed.ok()) co_return refreshed.error();
    }
    int attempts = 0;
    Error last{ErrorCode::request_timed_out, "no coordinator"};
    while (!stopping_) {
        if (attempts > 0) {
            const Duration pause = std::min(options_.retry_backoff, Duration::milliseconds(50));
            if (clock_.now() + pause >= deadline) break;
            io::Sleep sleep(clock_, clock_.now() + pause);
            co_await sleep;
        }
        ++attempts;
        auto coordinator = co_await find_coordinator();
        if (!coordinator.ok()) {
            last = coordinator.error();
            if (!is_on_the_move(last.code)) break;
            continue;
        }
        OffsetFetch request;
        request.group = options_.group_id;
        request.require_stable = options_.require_stable;
        for (const auto& partition : partitions) {
            if (request.asked.empty() || request.asked.back().name != partition.topic) {
                auto& topic = request.asked.emplace_back();
                topic.name = partition.topic;
                const auto* known = brokers_.topic(topic.name);
                if (known != nullptr) topic.topic_id = known->id;
            }
            request.asked.back().partition_indexes.push_back(partition.partition);
        }
        const BrokerId broker = *coordinator;
        auto response = co_await brokers_.call<wire::OffsetFetchResponse>(
            broker, std::move(request), deadline - clock_.now());
        if (!response.ok()) {
            last = response.error();
            coordinator_.reset();
            if (!is_on_the_move(last.code)) break;
            continue;
        }
        std::map<NamedPartition, CommittedPosition> found;
        ErrorCode code = response->error_code;
        const auto take = [&](const std::string& name, const auto& partition) {
            if (partition.error_code != ErrorCode::none) code = partition.error_code;
            const NamedPartition key{name, partition.partition_index};
            found[key] = {key, partition.committed_offset.value(),
                          partition.committed_leader_epoch.value(),
                          partition.metadata.value_or("")};
        };
        for (const auto& topic : response->topics) {
            for (const auto& partition : topic.partitions) take(topic.name, partition);
        }
        for (const auto& group : response->groups) {
            if (group.error_code != ErrorCode::none) code = group.error_code;
            for (const auto& topic : group.topics) {
                const auto* known = topic.name.empty() ? brokers_.topic(topic.topic_id) : nullptr;
                const std::string name = known != nullptr ? known->name : topic.name;
                for (const auto& partition : topic.partitions) take(name, partition);
            }
        }
        if (code != ErrorCode::none) {
            last = Error{code, "positions of group " + options_.group_id + ": " +
                                   std::string(error_message(code))};
            if (is_on_the_move(code)) coordinator_.reset();
            if (is_on_the_move(code) || code == ErrorCode::unstable_offset_commit ||
                code == ErrorCode::stale_member_epoch) {
                continue;
            }
            break;
        }
        std::vector<CommittedPosition> positions;
        for (const auto& partition : partitions) {
            const auto at = found.find(partition);
            positions.push_back(at == found.end() ? CommittedPosition{partition, -1, -1, ""}
                                                  : at->second);
        }
        co_return positions;
    }
    co_return last;
}

}  // namespace pabal::client
