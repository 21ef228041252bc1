#include "client/classic_member.h"

#include <algorithm>
#include <set>

#include "client/assignors.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/sync_group.h"

namespace pabal::client {
namespace {

constexpr const char* protocol_type = "consumer";
// Beyond what the coordinator itself waits for all members.
constexpr Duration longer_than_a_rebalance = Duration::seconds(5);

// For one member, as each version asks for it; for several from version 3 (KIP-345).
struct LeaveGroup : wire::LeaveGroupRequest {
    std::string member;

    void fill(int version) {
        constexpr int first_with_several = 3;
        if (version < first_with_several) {
            member_id = member;
        } else {
            members.emplace_back().member_id = member;
        }
    }
};

}  // namespace

ClassicMember::ClassicMember(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                             FetchedRecords* records, TaskGroup* tasks)
    : GroupMembership(clock, random, std::move(options), brokers, records, tasks),
      cooperative_(
          std::all_of(options_.assignors.begin(), options_.assignors.end(), is_cooperative)) {}

bool ClassicMember::is_member() const {
    return !member_id_.empty();
}

bool ClassicMember::wants_turn() {
    const bool busy = told_ || target_ || next_beat_ == Instant::never();
    if (busy || clock_.now() < not_before_) return false;
    return rejoin_ || subscription_changed_ || topics_have_changed();
}

io::Task<void> ClassicMember::take_turn() {
    rejoin_ = true;
    urgent_ = false;
    if (!cooperative_ && !owned_.empty()) {
        // What is read now may be anybody's in the next generation: given up before (KIP-429).
        target_.emplace();
        news();
        co_return;
    }
    joining_ = true;
    for (bool again = true; again && subscribed_;) {
        auto next = co_await join();
        again = next;
    }
    joining_ = false;
    news();
}

wire::JoinGroupRequest ClassicMember::join_request() const {
    wire::JoinGroupRequest request;
    request.group_id = options_.group_id;
    request.session_timeout_ms =
        static_cast<std::int32_t>(options_.session_timeout.to_milliseconds());
    request.rebalance_timeout_ms =
        static_cast<std::int32_t>(options_.max_poll_interval.to_milliseconds());
    request.member_id = member_id_;
    request.group_instance_id = options_.instance_id;
    request.protocol_type = protocol_type;
    std::vector<NamedPartition> owned;
    for (const auto& id : owned_) {
        if (auto name = named(id)) owned.push_back(std::move(*name));
    }
    for (const Assignor assignor : options_.assignors) {
        request.protocols.push_back({std::string(name_of(assignor)),
                                     encode_subscription(assignor, topics_, owned, assigned_,
                                                         assigned_in_, options_.rack)});
    }
    return request;
}

// True if the next generation is to be joined at once.
io::Task<bool> ClassicMember::join() {
    const std::uint64_t membership = membership_;
    auto coordinator = co_await find_coordinator();
    if (!subscribed_ || membership != membership_) co_return false;
    if (!coordinator.ok()) co_return refused(coordinator.error());
    rejoin_ = false;
    subscription_changed_ = false;
    wire::JoinGroupRequest request = join_request();
    const BrokerId broker = *coordinator;
    const Duration limit = options_.max_poll_interval + longer_than_a_rebalance;
    auto response = co_await brokers_.call<wire::JoinGroupResponse>(broker, std::move(request),
                                                                    limit, Purpose::rebalance);
    if (!subscribed_ || membership != membership_) co_return false;
    if (!response.ok()) co_return refused(response.error());
    if (response->error_code == ErrorCode::member_id_required) {
        member_id_ = std::move(response->member_id);
        co_return true;
    }
    if (response->error_code != ErrorCode::none) {
        co_return refused(Error{response->error_code, ""});
    }
    const auto assignor = assignor_named(response->protocol_name.value_or(""));
    if (!assignor) {
        fail(refusal(ErrorCode::inconsistent_group_protocol, response->protocol_name));
        co_return false;
    }
    assignor_ = *assignor;
    member_id_ = response->member_id;
    epoch_ = response->generation_id;
    counts_.clear();

    wire::SyncGroupRequest sync;
    sync.group_id = options_.group_id;
    sync.generation_id = epoch_;
    sync.member_id = member_id_;
    sync.group_instance_id = options_.instance_id;
    sync.protocol_type = protocol_type;
    sync.protocol_name = response->protocol_name;
    if (response->leader == member_id_) {
        auto decided = co_await decide(&*response);
        if (!subscribed_ || membership != membership_) co_return false;
        if (!decided.ok()) co_return refused(decided.error());
        if (!response->skip_assignment) {
            for (auto& [member, partitions] : *decided) {
                sync.assignments.push_back({member, encode_assignment(std::move(partitions))});
            }
        }
    }
    auto synced = co_await brokers_.call<wire::SyncGroupResponse>(broker, std::move(sync), limit,
                                                                  Purpose::rebalance);
    if (!subscribed_ || membership != membership_) co_return false;
    if (!synced.ok()) co_return refused(synced.error());
    if (synced->error_code != ErrorCode::none) co_return refused(Error{synced->error_code, ""});
    assigned_ = decode_assignment(synced->assignment);
    assigned_in_ = epoch_;
    failures_ = 0;
    next_beat_ = clock_.now() + interval_;
    std::vector<std::string> topics;
    for (const auto& partition : assigned_) topics.push_back(partition.topic);
    auto known = co_await know(std::move(topics));
    if (!subscribed_ || membership != membership_) co_return false;
    if (!known.ok()) co_return refused(known.error());
    Owned target;
    for (const auto& partition : assigned_) {
        const auto* topic = brokers_.topic(partition.topic);
        if (topic != nullptr) target.emplace(topic->id, partition.partition);
    }
    target_ = std::move(target);
    co_return false;
}

// Who reads what: this member leads.
io::Task<Result<Assignments>> ClassicMember::decide(const wire::JoinGroupResponse* joined) {
    std::vector<MemberSubscription> members;
    std::set<std::string> topics(topics_.begin(), topics_.end());
    for (const auto& member : joined->members) {
        auto& one = members.emplace_back(decode_subscription(assignor_, member.metadata));
        one.member_id = member.member_id;
        one.instance_id = member.group_instance_id;
        topics.insert(one.topics.begin(), one.topics.end());
    }
    std::vector<std::string> asked(topics.begin(), topics.end());
    auto refreshed = co_await brokers_.refresh(std::move(asked));
    if (!refreshed.ok()) co_return refreshed.error();
    counted_at_ = clock_.now();
    std::map<std::string, std::int32_t> counts;
    for (const std::string& topic : topics) {
        const std::int32_t count = partition_count(topic).value_or(0);
        counts_[topic] = count;
        if (count > 0) counts[topic] = count;
    }
    co_return assign(assignor_, std::move(members), counts);
}

// None while nobody can tell.
std::optional<std::int32_t> ClassicMember::partition_count(const std::string& topic) const {
    const auto* known = brokers_.topic(topic);
    if (known == nullptr || known->error == ErrorCode::unknown_topic_or_partition) return 0;
    if (known->error != ErrorCode::none) return std::nullopt;
    return static_cast<std::int32_t>(known->partitions.size());
}

bool ClassicMember::topics_have_changed() const {
    return std::any_of(counts_.begin(), counts_.end(), [&](const auto& decided) {
        return partition_count(decided.first).value_or(decided.second) != decided.second;
    });
}

// True if the group is to be joined again at once.
bool ClassicMember::refused(const Error& error) {
    rejoin_ = true;
    if (error.code == ErrorCode::rebalance_in_progress) return true;
    if (error.code == ErrorCode::unknown_member_id) {
        lost();
        return !told_;
    }
    if (error.code == ErrorCode::illegal_generation) {
        const std::string id = member_id_;  // The group went on, and knows this member still.
        lost();
        member_id_ = id;
        return !told_;
    }
    if (is_on_the_move(error.code) || is_retriable(error.code)) {
        coordinator_.reset();
        ++failures_;
        not_before_ = clock_.now() + backoff();
        next_beat_ = not_before_;
        return false;
    }
    fail(refusal(error.code, error.message));
    return false;
}

io::Task<void> ClassicMember::beat() {
    const std::uint64_t membership = membership_;
    const std::int32_t generation = epoch_;
    const Instant began = clock_.now();
    if (generation > 0 && !counts_.empty() && began - counted_at_ > options_.metadata_max_age) {
        counted_at_ = began;
        std::vector<std::string> topics;
        for (const auto& [topic, count] : counts_) topics.push_back(topic);
        auto refreshed = co_await brokers_.refresh(std::move(topics));
        static_cast<void>(refreshed);
    }
    Result<BrokerId> coordinator = Error{ErrorCode::unknown_member_id, ""};
    if (generation > 0) {
        auto found = co_await find_coordinator();
        coordinator = std::move(found);
    }
    if (generation <= 0 || !subscribed_ || membership != membership_) {
        beating_ = false;
        if (next_beat_ <= clock_.now()) next_beat_ = clock_.now() + interval_;
        co_return;
    }
    ErrorCode code = coordinator.ok() ? ErrorCode::none : coordinator.error().code;
    if (coordinator.ok()) {
        wire::HeartbeatRequest request;
        request.group_id = options_.group_id;
        request.generation_id = generation;
        request.member_id = member_id_;
        request.group_instance_id = options_.instance_id;
        const BrokerId broker = *coordinator;
        const Duration limit = std::min(options_.request_timeout, options_.session_timeout);
        auto response =
            co_await brokers_.call<wire::HeartbeatResponse>(broker, std::move(request), limit);
        code = response.ok() ? response->error_code : response.error().code;
    }
    beating_ = false;
    if (!subscribed_ || membership != membership_ || generation != epoch_) {
        news();
        co_return;
    }
    if (code == ErrorCode::none) {
        failures_ = 0;
        next_beat_ = began + interval_;
    } else if (code == ErrorCode::rebalance_in_progress) {
        rejoin_ = rejoin_ || !joining_;
        next_beat_ = began + interval_;
    } else if (is_on_the_move(code)) {
        coordinator_.reset();
        ++failures_;
        next_beat_ = clock_.now() + backoff();
    } else {
        static_cast<void>(refused(Error{code, ""}));
    }
    news();
}

// What was given up is somebody else's in the next generation, which begins now.
void ClassicMember::owned_changed(bool given_up) {
    rejoin_ = rejoin_ || (given_up && cooperative_);
}

io::Task<void> ClassicMember::say_goodbye(BrokerId coordinator) {
    if (options_.instance_id) co_return;  // A static member comes back.
    LeaveGroup request;
    request.group_id = options_.group_id;
    request.member = member_id_;
    const Duration limit = std::min(options_.request_timeout, Duration::seconds(5));
    auto left =
        co_await brokers_.call<wire::LeaveGroupResponse>(coordinator, std::move(request), limit);
    static_cast<void>(left);
}

void ClassicMember::forget() {
    ++membership_;
    member_id_.clear();
    rejoin_ = true;
    counts_.clear();
    not_before_ = Instant();
}

}  // namespace pabal::client
