#include "client/group_membership.h"

#include <algorithm>
#include <map>

#include "client/classic_member.h"
#include "client/consumer_group_member.h"
#include "client/find_coordinator.h"
#include "client/retry_backoff.h"
#include "wire/offset_commit.h"
#include "wire/offset_fetch.h"

namespace pabal::client {
namespace {

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

}  // namespace

std::unique_ptr<GroupMembership> GroupMembership::make(io::Clock* clock, Prng random,
                                                       Options options, Brokers* brokers,
                                                       FetchedRecords* records, TaskGroup* tasks) {
    if (options.protocol == Protocol::classic) {
        return std::make_unique<ClassicMember>(clock, random, std::move(options), brokers, records,
                                               tasks);
    }
    return std::make_unique<ConsumerGroupMember>(clock, random, std::move(options), brokers,
                                                 records, tasks);
}

GroupMembership::GroupMembership(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                                 FetchedRecords* records, TaskGroup* tasks)
    : clock_(*clock),
      options_(std::move(options)),
      random_(random),
      brokers_(*brokers),
      records_(*records),
      tasks_(*tasks),
      interval_(options_.heartbeat_interval) {}

GroupMembership::~GroupMembership() = default;

// A coordinator that moves, or cannot be reached.
bool GroupMembership::is_on_the_move(ErrorCode code) {
    return code == ErrorCode::coordinator_not_available ||
           code == ErrorCode::coordinator_load_in_progress || code == ErrorCode::not_coordinator ||
           code == ErrorCode::network_exception || code == ErrorCode::broker_not_available ||
           code == ErrorCode::request_timed_out;
}

Error GroupMembership::refusal(ErrorCode code, const std::optional<std::string>& message) const {
    const bool told = message && !message->empty();
    return {code, "group " + options_.group_id + ": " +
                      (told ? *message : std::string(error_message(code)))};
}

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
        co_await watch_poller();
        co_await reconcile();
        if (subscribed_ && wants_turn()) co_await take_turn();
        const bool due = urgent_ || next_beat_ <= clock_.now();
        if (due && !beating_ && subscribed_ && next_beat_ != Instant::never()) {
            urgent_ = false;
            beating_ = true;
            tasks_.start(beat());
        } else if (urgent_ && beating_) {
            hurry();
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

// Whoever does not poll does not read: others shall have the partitions.
io::Task<void> GroupMembership::watch_poller() {
    Instant polled_at;
    {
        const auto lock = records_.lock();
        polled_at = records_.polled_at(lock);
    }
    const Duration idle = clock_.now() - polled_at;
    if (epoch_ > 0 && idle > options_.max_poll_interval) {
        co_await depart();
        lost();
        next_beat_ = Instant::never();
    } else if (epoch_ == 0 && next_beat_ == Instant::never() && idle < options_.max_poll_interval) {
        next_beat_ = clock_.now();
    }
}

io::Task<void> GroupMembership::take_turn() {
    co_return;
}

void GroupMembership::lost() {
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
    told_ = false;
    epoch_ = 0;
    forget();
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
        const bool given_up = !leaving_.empty();
        const bool changed = given_up || !arriving_.empty();
        owned_.insert(arriving_.begin(), arriving_.end());
        leaving_.clear();
        arriving_.clear();
        if (changed && epoch_ > 0) owned_changed(given_up);
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
        // What came and went before anything was done about it is given up as well: the coordinator
        // waits to be told.
        if (epoch_ > 0) owned_changed(false);
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
    subscribed_ = false;
    news();
    co_await depart();
    epoch_ = 0;
    forget();
    owned_.clear();
    arriving_.clear();
    leaving_.clear();
    target_.reset();
    told_ = false;
}

io::Task<void> GroupMembership::depart() {
    if (!is_member()) co_return;
    auto coordinator = co_await find_coordinator();
    if (!coordinator.ok()) co_return;
    const BrokerId broker = *coordinator;
    co_await say_goodbye(broker);
}

io::Task<Result<BrokerId>> GroupMembership::find_coordinator() {
    if (coordinator_) co_return *coordinator_;
    std::string group = options_.group_id;
    auto found = co_await client::find_coordinator(&brokers_, CoordinatorKind::group,
                                                   std::move(group), options_.request_timeout);
    if (found.ok()) coordinator_ = *found;
    co_return found;
}

// Positions are stored under the ids of topics.
io::Task<Status> GroupMembership::know(std::vector<std::string> topics) {
    std::erase_if(topics, [&](const auto& topic) { return brokers_.topic(topic) != nullptr; });
    if (topics.empty()) co_return Status();
    auto refreshed = co_await brokers_.refresh(std::move(topics));
    co_return refreshed;
}

template <class Response, class Make, class Judge>
io::Task<Result<Response>> GroupMembership::ask_coordinator(Make make, Judge judge,
                                                            Duration timeout) {
    const Instant deadline = clock_.now() + timeout;
    Error last{ErrorCode::request_timed_out, "no coordinator"};
    for (int attempt = 0; !stopping_; ++attempt) {
        if (attempt > 0) {
            const Duration pause = std::min(options_.retry_backoff, Duration::milliseconds(50));
            if (clock_.now() + pause >= deadline) break;
            io::Sleep sleep(clock_, clock_.now() + pause);
            co_await sleep;
        }
        auto coordinator = co_await find_coordinator();
        if (!coordinator.ok()) {
            last = coordinator.error();
            if (!is_on_the_move(last.code)) break;
            continue;
        }
        const BrokerId broker = *coordinator;
        auto request = make();
        const Duration left = deadline - clock_.now();
        called_back_ = beating_;
        auto response = co_await brokers_.call<Response>(broker, std::move(request), left);
        if (!response.ok()) {
            last = response.error();
            coordinator_.reset();
            if (!is_on_the_move(last.code)) break;
            continue;
        }
        Verdict verdict = judge(*response);
        if (verdict.code == ErrorCode::none) co_return response;
        const bool moved = is_on_the_move(verdict.code);
        if (moved) coordinator_.reset();
        last = Error{verdict.code, std::move(verdict.message)};
        if (!moved && !verdict.again) break;
    }
    co_return last;
}

io::Task<Status> GroupMembership::commit(std::vector<CommittedPosition> positions,
                                         Duration timeout) {
    std::vector<std::string> topics;
    for (const auto& position : positions) topics.push_back(position.partition.topic);
    auto known = co_await know(std::move(topics));
    if (!known.ok()) co_return known;
    std::sort(positions.begin(), positions.end(),
              [](const auto& a, const auto& b) { return a.partition < b.partition; });
    const auto make = [&] {
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
                const auto* found = brokers_.topic(topic.name);
                if (found != nullptr) topic.topic_id = found->id;
            }
            auto& one = request.topics.back().partitions.emplace_back();
            one.partition_index = position.partition.partition;
            one.committed_offset = Offset(position.offset);
            one.committed_leader_epoch = LeaderEpoch(position.leader_epoch);
            one.committed_metadata = position.metadata;
        }
        return request;
    };
    const auto judge = [&](const wire::OffsetCommitResponse& response) {
        Verdict verdict;
        for (const auto& topic : response.topics) {
            for (const auto& partition : topic.partitions) {
                if (partition.error_code == ErrorCode::none) continue;
                if (verdict.code != ErrorCode::none) continue;
                verdict.code = partition.error_code;
                verdict.message = "committing for group " + options_.group_id + ", " + topic.name +
                                  "-" + std::to_string(partition.partition_index.value()) + ": " +
                                  std::string(error_message(partition.error_code));
            }
        }
        verdict.again = verdict.code == ErrorCode::stale_member_epoch ||
                        verdict.code == ErrorCode::unknown_topic_or_partition;
        return verdict;
    };
    auto response = co_await ask_coordinator<wire::OffsetCommitResponse>(make, judge, timeout);
    if (!response.ok()) co_return response.error();
    co_return Status();
}

io::Task<Result<std::vector<CommittedPosition>>> GroupMembership::committed(
    std::vector<NamedPartition> partitions, Duration timeout) {
    std::sort(partitions.begin(), partitions.end());
    std::vector<std::string> topics;
    for (const auto& partition : partitions) topics.push_back(partition.topic);
    auto known = co_await know(std::move(topics));
    if (!known.ok()) co_return known.error();
    const auto make = [&] {
        OffsetFetch request;
        request.group = options_.group_id;
        request.require_stable = options_.require_stable;
        for (const auto& partition : partitions) {
            if (request.asked.empty() || request.asked.back().name != partition.topic) {
                auto& topic = request.asked.emplace_back();
                topic.name = partition.topic;
                const auto* found = brokers_.topic(topic.name);
                if (found != nullptr) topic.topic_id = found->id;
            }
            request.asked.back().partition_indexes.push_back(partition.partition);
        }
        return request;
    };
    std::map<NamedPartition, CommittedPosition> found;
    const auto judge = [&](const wire::OffsetFetchResponse& response) {
        found.clear();
        Verdict verdict;
        verdict.code = response.error_code;
        const auto take = [&](const std::string& name, const auto& partition) {
            if (partition.error_code != ErrorCode::none) verdict.code = partition.error_code;
            const NamedPartition key{name, partition.partition_index};
            found[key] = {key, partition.committed_offset.value(),
                          partition.committed_leader_epoch.value(),
                          partition.metadata.value_or("")};
        };
        for (const auto& topic : response.topics) {
            for (const auto& partition : topic.partitions) take(topic.name, partition);
        }
        for (const auto& group : response.groups) {
            if (group.error_code != ErrorCode::none) verdict.code = group.error_code;
            for (const auto& topic : group.topics) {
                const auto* one = topic.name.empty() ? brokers_.topic(topic.topic_id) : nullptr;
                const std::string name = one != nullptr ? one->name : topic.name;
                for (const auto& partition : topic.partitions) take(name, partition);
            }
        }
        verdict.message = "positions of group " + options_.group_id + ": " +
                          std::string(error_message(verdict.code));
        verdict.again = verdict.code == ErrorCode::unstable_offset_commit ||
                        verdict.code == ErrorCode::stale_member_epoch;
        return verdict;
    };
    auto response = co_await ask_coordinator<wire::OffsetFetchResponse>(make, judge, timeout);
    if (!response.ok()) co_return response.error();
    std::vector<CommittedPosition> positions;
    for (const auto& partition : partitions) {
        const auto at = found.find(partition);
        positions.push_back(at == found.end() ? CommittedPosition{partition, -1, -1, ""}
                                              : at->second);
    }
    co_return positions;
}

}  // namespace pabal::client
