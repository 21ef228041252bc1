// Members of groups, of both protocols in the same groups: they join, share the partitions of the
// first topic, send heartbeats, fall silent for longer than their session, leave and come back.
// Every other client speaks the classic protocol, so groups change theirs whenever the last member
// of the newer one goes and the next one comes.
#include <set>

#include "base/uuid.h"
#include "io/gate.h"
#include "sim/workloads/crew.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/offset_commit.h"
#include "wire/records/consumer_protocol_assignment.h"
#include "wire/records/consumer_protocol_subscription.h"
#include "wire/sync_group.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(15);
constexpr std::int32_t session_timeout_ms = 6'000;
constexpr std::int32_t rebalance_timeout_ms = 4'000;
constexpr int members_of_group = 3;
// Of so many heartbeats one is followed by something else.
constexpr std::uint64_t leaves_one_in = 40;
constexpr std::uint64_t sleeps_one_in = 25;
constexpr std::uint64_t commits_one_in = 3;

template <class Message>
Bytes embedded(const Message& message) {
    constexpr int version = 1;
    wire::Writer writer;
    writer.int16(version);
    encode(writer, message, version);
    return *writer.take().flatten();
}

// Which partitions the bytes give; nothing if they cannot be read.
std::optional<std::set<std::int32_t>> share_of(const Bytes& bytes) {
    std::set<std::int32_t> share;
    if (bytes.empty()) return share;
    wire::Reader reader(bytes);
    wire::ConsumerProtocolAssignment assignment;
    const int version = reader.int16("version");
    if (version < 0 || version > 3 || !decode(reader, assignment, version).ok())
        return std::nullopt;
    for (const auto& topic : assignment.assigned_partitions) {
        for (const PartitionIndex index : topic.partitions) share.insert(index.value());
    }
    return share;
}

struct Seat : PlainSeat {
    using PlainSeat::PlainSeat;

    std::string group;
    bool classic = false;
    std::string member;
    std::int32_t epoch = 0;  // Or the generation.
    bool joined = false;
    std::set<std::int32_t> held;
};

class JoinGroups final : public Crew<Seat> {
public:
    using Crew::Crew;

    std::string name() const override { return "members of groups"; }

private:
    void take_seat(int number, Seat* seat) override {
        seat->group = "team-" + std::to_string(number / members_of_group);
        seat->classic = number % 2 == 0;
    }

    io::Task<void> step(Seat* seat) override {
        Client& client = seat->client;
        auto* coordinator = co_await client.route().to_coordinator(seat->group);
        if (!coordinator) co_return;
        // Before it can hear that it is no member any more.
        if (spec_.commits && client.random().below(commits_one_in) == 0)
            co_await commit(this, seat, coordinator);
        auto reached = co_await speak(this, seat, coordinator);
        if (!reached) client.route().forget_coordinator(seat->group);
        if (client.random().below(leaves_one_in) == 0) {
            auto left = co_await leave(this, seat, coordinator);
            if (!left) client.route().forget_coordinator(seat->group);
        }
        if (client.random().below(sleeps_one_in) == 0) {
            const Instant long_after = client.after(
                Duration::milliseconds(client.random().between(0, 2 * session_timeout_ms)));
            io::Sleep nap(client.clock(), long_after);
            co_await nap;
        }
    }

    const Topic& topic() const { return load_.topics.front(); }
    Partition partition(std::int32_t index) const { return {topic().spec.name, index}; }

    void hold(Seat* seat, const std::set<std::int32_t>& share) {
        for (const std::int32_t index : share) {
            if (!seat->held.insert(index).second) continue;
            load_.ledger.each([&](Checker& checker) {
                checker.share_told(seat->group, seat->member, partition(index));
            });
        }
    }
    // Of what it holds, what is not in `kept`.
    void give_up(Seat* seat, const std::set<std::int32_t>& kept) {
        std::erase_if(seat->held, [&](std::int32_t index) {
            if (kept.count(index) > 0) return false;
            load_.ledger.each([&](Checker& checker) {
                checker.share_given_up(seat->group, seat->member, partition(index));
            });
            return true;
        });
    }
    void begin_anew(Seat* seat) {
        give_up(seat, {});
        seat->joined = false;
        seat->epoch = 0;
    }
    void beats(const Seat* seat) {
        load_.ledger.each(
            [&](Checker& checker) { checker.heartbeat_sent(seat->group, seat->member); });
    }
    void accepted(const Seat* seat) {
        load_.ledger.each(
            [&](Checker& checker) { checker.heartbeat_accepted(seat->group, seat->member); });
        if (!seat->held.empty()) ++progress_;
    }

    // Whether the coordinator answered, and is it.
    static io::Task<bool> speak(JoinGroups* self, Seat* seat, WireClient* coordinator) {
        if (!seat->classic) co_return co_await beat(self, seat, coordinator);
        if (!seat->joined) co_return co_await join(self, seat, coordinator);
        co_return co_await classic_beat(self, seat, coordinator);
    }

    // --- the newer protocol

    static io::Task<bool> beat(JoinGroups* self, Seat* seat, WireClient* coordinator) {
        wire::ConsumerGroupHeartbeatRequest request;
        if (seat->member.empty())
            seat->member = "member-" + Uuid::random(seat->client.random()).text();
        request.group_id = seat->group;
        request.member_id = seat->member;
        request.member_epoch = seat->epoch;
        request.rebalance_timeout_ms = rebalance_timeout_ms;
        request.subscribed_topic_names = {self->topic().spec.name};
        auto& owned = request.topic_partitions.emplace();
        if (!seat->held.empty()) {
            auto& each = owned.emplace_back();
            each.topic_id = self->topic().id;
            for (const std::int32_t index : seat->held) each.partitions.emplace_back(index);
        }
        self->beats(seat);
        const int version = static_cast<int>(seat->client.random().between(0, 1));
        auto answer = co_await coordinator->ask<wire::ConsumerGroupHeartbeatResponse>(
            request, version, patience);
        if (!answer.ok()) co_return false;
        switch (answer->error_code) {
            case ErrorCode::none: break;
            case ErrorCode::not_coordinator:
            case ErrorCode::coordinator_load_in_progress:
            case ErrorCode::coordinator_not_available: co_return false;
            default: self->begin_anew(seat); co_return true;
        }
        self->accepted(seat);
        seat->epoch = answer->member_epoch;
        seat->joined = true;
        if (!answer->assignment) co_return true;
        std::set<std::int32_t> share;
        for (const auto& given : answer->assignment->topic_partitions) {
            for (const PartitionIndex index : given.partitions) share.insert(index.value());
        }
        self->give_up(seat, share);
        self->hold(seat, share);
        co_return true;
    }

    // --- the classic protocol

    static io::Task<bool> join(JoinGroups* self, Seat* seat, WireClient* coordinator) {
        wire::ConsumerProtocolSubscription subscription;
        subscription.topics = {self->topic().spec.name};
        wire::JoinGroupRequest request;
        request.group_id = seat->group;
        request.member_id = seat->member;
        request.session_timeout_ms = session_timeout_ms;
        request.rebalance_timeout_ms = rebalance_timeout_ms;
        request.protocol_type = "consumer";
        auto& protocol = request.protocols.emplace_back();
        protocol.name = "range";
        protocol.metadata = embedded(subscription);
        const int version = static_cast<int>(seat->client.random().between(3, 7));
        auto answer =
            co_await coordinator->ask<wire::JoinGroupResponse>(request, version, patience);
        if (!answer.ok()) co_return false;
        if (answer->error_code == ErrorCode::member_id_required) {
            seat->member = answer->member_id;
            co_return true;
        }
        if (answer->error_code == ErrorCode::unknown_member_id) seat->member.clear();
        if (answer->error_code != ErrorCode::none)
            co_return answer->error_code == ErrorCode::unknown_member_id ||
                answer->error_code == ErrorCode::rebalance_in_progress;
        seat->member = answer->member_id;
        seat->epoch = answer->generation_id;
        wire::SyncGroupRequest sync;
        sync.group_id = seat->group;
        sync.member_id = seat->member;
        sync.generation_id = seat->epoch;
        if (answer->leader == seat->member) sync.assignments = self->shared_out(*answer);
        const int sync_version = static_cast<int>(seat->client.random().between(2, 4));
        auto synced =
            co_await coordinator->ask<wire::SyncGroupResponse>(sync, sync_version, patience);
        if (!synced.ok()) co_return false;
        if (synced->error_code == ErrorCode::unknown_member_id) seat->member.clear();
        if (synced->error_code != ErrorCode::none) co_return true;
        auto share = share_of(synced->assignment);
        if (!share) co_return true;
        seat->joined = true;
        self->hold(seat, *share);
        co_return true;
    }

    std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> shared_out(
        const wire::JoinGroupResponse& joined) const {
        std::vector<wire::SyncGroupRequest::SyncGroupRequestAssignment> assignments;
        const auto count = static_cast<std::int32_t>(joined.members.size());
        for (std::int32_t i = 0; i < count; ++i) {
            wire::ConsumerProtocolAssignment assignment;
            auto& given = assignment.assigned_partitions.emplace_back();
            given.topic = topic().spec.name;
            for (std::int32_t index = i; index < topic().spec.partitions; index += count)
                given.partitions.emplace_back(index);
            auto& each = assignments.emplace_back();
            each.member_id = joined.members[static_cast<std::size_t>(i)].member_id;
            each.assignment = embedded(assignment);
        }
        return assignments;
    }

    static io::Task<bool> classic_beat(JoinGroups* self, Seat* seat, WireClient* coordinator) {
        wire::HeartbeatRequest request;
        request.group_id = seat->group;
        request.member_id = seat->member;
        request.generation_id = seat->epoch;
        self->beats(seat);
        const int version = static_cast<int>(seat->client.random().between(1, 4));
        auto answer =
            co_await coordinator->ask<wire::HeartbeatResponse>(request, version, patience);
        if (!answer.ok()) co_return false;
        switch (answer->error_code) {
            case ErrorCode::none: self->accepted(seat); co_return true;
            case ErrorCode::rebalance_in_progress:
                // An eager member gives everything up before it joins again.
                self->accepted(seat);
                self->begin_anew(seat);
                co_return true;
            case ErrorCode::not_coordinator:
            case ErrorCode::coordinator_load_in_progress:
            case ErrorCode::coordinator_not_available: co_return false;
            default:
                self->begin_anew(seat);
                if (answer->error_code != ErrorCode::illegal_generation) seat->member.clear();
                co_return true;
        }
    }

    // --- both

    // In the name of the member, with what it last knew: who was taken out is refused.
    static io::Task<void> commit(JoinGroups* self, Seat* seat, WireClient* coordinator) {
        if (!seat->joined || seat->held.empty() || !self->load_.may_write) co_return;
        wire::OffsetCommitRequest request;
        request.group_id = seat->group;
        request.member_id = seat->member;
        request.generation_id_or_member_epoch = seat->epoch;
        auto& topic = request.topics.emplace_back();
        topic.name = self->topic().spec.name;
        for (const std::int32_t index : seat->held) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = PartitionIndex(index);
            partition.committed_offset = Offset(1);
            partition.committed_metadata = "";
        }
        const std::string member = seat->member;
        self->beats(seat);
        ++self->load_.writes_under_way;
        auto answer = co_await coordinator->ask<wire::OffsetCommitResponse>(request, 9, patience);
        --self->load_.writes_under_way;
        if (!answer.ok() || answer->topics.size() != 1) co_return;
        for (const auto& partition : answer->topics[0].partitions)
            if (partition.error_code != ErrorCode::none) co_return;
        self->load_.ledger.each(
            [&](Checker& checker) { checker.heartbeat_accepted(seat->group, member); });
    }

    static io::Task<bool> leave(JoinGroups* self, Seat* seat, WireClient* coordinator) {
        if (!seat->joined) co_return true;
        self->begin_anew(seat);
        const std::string member = seat->member;
        seat->member.clear();
        if (seat->classic) {
            wire::LeaveGroupRequest request;
            request.group_id = seat->group;
            request.members.emplace_back().member_id = member;
            auto answer = co_await coordinator->ask<wire::LeaveGroupResponse>(request, 3, patience);
            co_return answer.ok();
        }
        wire::ConsumerGroupHeartbeatRequest request;
        request.group_id = seat->group;
        request.member_id = member;
        request.member_epoch = -1;
        auto answer =
            co_await coordinator->ask<wire::ConsumerGroupHeartbeatResponse>(request, 0, patience);
        co_return answer.ok();
    }
};

}  // namespace

std::unique_ptr<Workload> make_join_groups(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<JoinGroups>(load, spec);
}

}  // namespace pabal::sim
