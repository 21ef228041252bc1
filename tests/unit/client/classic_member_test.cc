#include "client/classic_member.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "client/group_membership.h"
#include "tests/unit/client/scripted_broker.h"
#include "wire/find_coordinator.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/offset_fetch.h"
#include "wire/sync_group.h"

namespace pabal::client {
namespace {

constexpr int partitions = 4;

// The coordinator of a group of one, who leads, and is assigned what it said or what the test says.
class Coordinator final : public ScriptedBroker {
public:
    using ScriptedBroker::ScriptedBroker;

    // What is answered in turn; `none` from then on.
    std::deque<ErrorCode> join_errors;
    std::deque<ErrorCode> sync_errors;
    std::deque<ErrorCode> heartbeat_errors;
    std::optional<std::vector<NamedPartition>> assigned;

    std::vector<std::string> joined;             // Member ids, as they were asked with.
    std::vector<MemberSubscription> subscribed;  // The same.
    std::vector<std::string> left;
    int searches = 0;
    int heartbeats = 0;

private:
    std::vector<Served> served() const override {
        return {
            {wire::MetadataRequest::api_key, 3, 12},  {wire::FindCoordinatorRequest::api_key, 3, 4},
            {wire::JoinGroupRequest::api_key, 2, 9},  {wire::SyncGroupRequest::api_key, 2, 5},
            {wire::HeartbeatRequest::api_key, 2, 4},  {wire::LeaveGroupRequest::api_key, 2, 5},
            {wire::OffsetFetchRequest::api_key, 2, 9}};
    }
    static ErrorCode next(std::deque<ErrorCode>* codes) {
        if (codes->empty()) return ErrorCode::none;
        const ErrorCode code = codes->front();
        codes->pop_front();
        return code;
    }
    bool answer(wire::ApiKey api, int version, wire::Reader* reader,
                wire::Writer* writer) override {
        if (api == wire::MetadataRequest::api_key) {
            encode(*writer, itself(partitions), version);
        } else if (api == wire::FindCoordinatorRequest::api_key) {
            ++searches;
            wire::FindCoordinatorResponse response;
            response.coordinators.push_back(
                {"group", BrokerId(0), "broker", port, ErrorCode::none, std::nullopt});
            encode(*writer, response, version);
        } else if (api == wire::JoinGroupRequest::api_key) {
            encode(*writer, join(version, reader), version);
        } else if (api == wire::SyncGroupRequest::api_key) {
            wire::SyncGroupRequest request;
            EXPECT_TRUE(decode(*reader, request, version).ok());
            wire::SyncGroupResponse response;
            response.error_code = next(&sync_errors);
            EXPECT_EQ(request.assignments.size(), 1u);
            if (response.error_code == ErrorCode::none) {
                response.assignment = assigned ? encode_assignment(*assigned)
                                               : request.assignments.front().assignment;
            }
            encode(*writer, response, version);
        } else if (api == wire::HeartbeatRequest::api_key) {
            ++heartbeats;
            wire::HeartbeatResponse response;
            response.error_code = next(&heartbeat_errors);
            encode(*writer, response, version);
        } else if (api == wire::LeaveGroupRequest::api_key) {
            wire::LeaveGroupRequest request;
            EXPECT_TRUE(decode(*reader, request, version).ok());
            for (const auto& member : request.members) left.push_back(member.member_id);
            encode(*writer, wire::LeaveGroupResponse(), version);
        } else {
            wire::OffsetFetchResponse response;
            response.groups.emplace_back().group_id = "group";
            encode(*writer, response, version);
        }
        return true;
    }
    wire::JoinGroupResponse join(int version, wire::Reader* reader) {
        wire::JoinGroupRequest request;
        EXPECT_TRUE(decode(*reader, request, version).ok());
        wire::JoinGroupResponse response;
        joined.push_back(request.member_id);
        const auto& protocol = request.protocols.front();
        subscribed.push_back(
            decode_subscription(*assignor_named(protocol.name), protocol.metadata));
        response.error_code = next(&join_errors);
        if (response.error_code != ErrorCode::none) return response;
        response.member_id = request.member_id;
        if (request.member_id.empty()) {
            response.error_code = ErrorCode::member_id_required;
            response.member_id = "m" + std::to_string(++members_);
            return response;
        }
        response.generation_id = ++generation_;
        response.protocol_type = "consumer";
        response.protocol_name = protocol.name;
        response.leader = request.member_id;
        response.members.push_back(
            {request.member_id, request.group_instance_id, protocol.metadata});
        return response;
    }

    int members_ = 0;
    std::int32_t generation_ = 0;
};

class ClassicMemberTest : public testing::Test {
protected:
    ClassicMemberTest() {
        coordinator.serve();
        options.group_id = "group";
        options.protocol = GroupMembership::Protocol::classic;
        options.heartbeat_interval = Duration::milliseconds(200);
    }
    ~ClassicMemberTest() override {
        bool stopped = false;
        io::detach(stop(this, &stopped));
        EXPECT_TRUE(soon([&] { return stopped; }));
        member.reset();
        coordinator.stop();
        EXPECT_TRUE(soon([&] { return coordinator.is_idle(); }));
    }
    static io::Task<void> stop(ClassicMemberTest* self, bool* stopped) {
        if (self->member->is_subscribed()) co_await self->member->leave();
        self->member->stop();
        self->brokers.close();
        co_await self->tasks.ended();
        co_await self->brokers.stop();
        *stopped = true;
    }
    void start() {
        member =
            GroupMembership::make(&client->clock(), Prng(2), options, &brokers, &records, &tasks);
        poll();
        member->subscribe({"orders"}, "");
    }
    // What the poller does: deals with the rebalance that waits for it.
    void poll() {
        const auto lock = records.lock();
        records.polled(lock, client->clock().now());
        if (const auto& rebalance = records.rebalance(lock)) {
            const char* kinds[] = {"revoked", "lost", "assigned"};
            std::string line = kinds[static_cast<int>(rebalance->kind)];
            for (const auto& one : rebalance->partitions) {
                line += " " + std::to_string(one.partition.value());
            }
            told.push_back(line);
            records.rebalance_done(lock);
        }
    }
    bool soon(const std::function<bool()>& done) {
        return scheduler.run_until(done, scheduler.now() + Duration::seconds(60));
    }
    // The same, with a poller that polls.
    bool polled_until(const std::function<bool()>& done) {
        for (int turn = 0; turn < 6000 && !done(); ++turn) {
            poll();
            scheduler.run_for(Duration::milliseconds(10));
        }
        return done();
    }
    std::string reading() {
        std::string all;
        const auto lock = records.lock();
        for (const auto& [name, place] : records.assigned(lock)) {
            all += std::to_string(name.partition.value());
        }
        return all;
    }
    static NamedPartition at(int partition) { return {"orders", PartitionIndex(partition)}; }

    sim::Scheduler scheduler{1};
    sim::Network network{scheduler};
    sim::Machine broker_machine{scheduler, network, "broker", 1 << 20, sim::Skew()};
    sim::Machine client_machine{scheduler, network, "client", 1 << 20, sim::Skew()};
    std::unique_ptr<sim::Process> broker_process = broker_machine.boot();
    std::unique_ptr<sim::Process> client = client_machine.boot();
    Coordinator coordinator{broker_process.get()};
    GroupMembership::Options options;
    std::unique_ptr<GroupMembership> member;
    FetchedRecords records{[this] {
        client->clock().post([this] {
            if (member) member->news();
        });
    }};
    Brokers brokers{
        &client->clock(), &client->ports().network, Prng(1), {{{"broker", ScriptedBroker::port}}}};
    TaskGroup tasks{&client->clock()};
    std::vector<std::string> told;
};

using Lines = std::vector<std::string>;

TEST_F(ClassicMemberTest, JoinsLeadsAndReads) {
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    EXPECT_EQ(told, (Lines{"assigned 0 1 2 3"}));
    EXPECT_EQ(reading(), "0123");
    EXPECT_EQ(coordinator.joined, (Lines{"", "m1"}));
    EXPECT_EQ(member->member_id(), "m1");
    EXPECT_EQ(member->member_epoch(), 1);
    ASSERT_TRUE(polled_until([&] { return coordinator.heartbeats > 5; }));
    EXPECT_EQ(coordinator.joined.size(), 2u);
}

TEST_F(ClassicMemberTest, AnEagerMemberGivesUpEverythingBefore) {
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    coordinator.heartbeat_errors = {ErrorCode::rebalance_in_progress};
    ASSERT_TRUE(polled_until([&] { return told.size() == 3; }));
    EXPECT_EQ(told, (Lines{"assigned 0 1 2 3", "revoked 0 1 2 3", "assigned 0 1 2 3"}));
    EXPECT_EQ(coordinator.joined, (Lines{"", "m1", "m1"}));
    EXPECT_TRUE(coordinator.subscribed.back().owned.empty());
    EXPECT_EQ(coordinator.subscribed.back().generation, 1);
}

TEST_F(ClassicMemberTest, ACooperativeMemberGivesUpWhatOthersGetAndJoinsAgain) {
    options.assignors = {Assignor::cooperative_sticky};
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    coordinator.assigned = {{at(0), at(3)}};
    coordinator.heartbeat_errors = {ErrorCode::rebalance_in_progress};
    ASSERT_TRUE(polled_until([&] { return coordinator.joined.size() == 4; }));
    EXPECT_EQ(told, (Lines{"assigned 0 1 2 3", "revoked 1 2"}));
    EXPECT_EQ(reading(), "03");
    EXPECT_EQ(coordinator.subscribed[2].owned, (std::vector{at(0), at(1), at(2), at(3)}));
    EXPECT_EQ(coordinator.subscribed[3].owned, (std::vector{at(0), at(3)}));
    const int beats = coordinator.heartbeats;
    ASSERT_TRUE(polled_until([&] { return coordinator.heartbeats > beats; }));
    coordinator.assigned = {{at(0), at(2), at(3)}};
    coordinator.heartbeat_errors = {ErrorCode::rebalance_in_progress};
    ASSERT_TRUE(polled_until([&] { return told.size() == 3; }));
    EXPECT_EQ(told.back(), "assigned 2");
    EXPECT_EQ(coordinator.joined.size(), 5u);
}

TEST_F(ClassicMemberTest, WhoWasForgottenHasLostWhatItRead) {
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    coordinator.heartbeat_errors = {ErrorCode::unknown_member_id};
    ASSERT_TRUE(polled_until([&] { return told.size() == 3; }));
    EXPECT_EQ(told, (Lines{"assigned 0 1 2 3", "lost 0 1 2 3", "assigned 0 1 2 3"}));
    EXPECT_EQ(coordinator.joined, (Lines{"", "m1", "", "m2"}));
}

TEST_F(ClassicMemberTest, WhoseGenerationIsOverKeepsItsName) {
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    coordinator.heartbeat_errors = {ErrorCode::illegal_generation};
    ASSERT_TRUE(polled_until([&] { return told.size() == 3; }));
    EXPECT_EQ(told[1], "lost 0 1 2 3");
    EXPECT_EQ(coordinator.joined, (Lines{"", "m1", "m1"}));
}

TEST_F(ClassicMemberTest, ACoordinatorThatMovesDisturbsNobody) {
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    const int before = coordinator.searches;
    coordinator.heartbeat_errors = {ErrorCode::not_coordinator,
                                    ErrorCode::coordinator_load_in_progress};
    const int beats = coordinator.heartbeats;
    ASSERT_TRUE(polled_until([&] { return coordinator.heartbeats > beats + 5; }));
    EXPECT_EQ(coordinator.searches, before + 2);
    EXPECT_EQ(told.size(), 1u);
    EXPECT_EQ(coordinator.joined.size(), 2u);
}

TEST_F(ClassicMemberTest, JoiningGoesOnUntilItSucceeds) {
    coordinator.join_errors = {ErrorCode::coordinator_not_available, ErrorCode::not_coordinator};
    coordinator.sync_errors = {ErrorCode::rebalance_in_progress, ErrorCode::unknown_member_id,
                               ErrorCode::coordinator_load_in_progress};
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    EXPECT_EQ(told, (Lines{"assigned 0 1 2 3"}));
    EXPECT_EQ(coordinator.joined, (Lines{"", "", "", "m1", "m1", "", "m2", "m2"}));
}

TEST_F(ClassicMemberTest, WhatCannotBeMendedIsTold) {
    coordinator.join_errors = {ErrorCode::inconsistent_group_protocol};
    start();
    ASSERT_TRUE(soon([&] { return !member->is_subscribed(); }));
    const auto lock = records.lock();
    const auto error = records.take_error(lock);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, ErrorCode::inconsistent_group_protocol);
    EXPECT_NE(error->message.find("group group"), std::string::npos);
}

TEST_F(ClassicMemberTest, WhoStandsStillLeavesAndComesBack) {
    options.max_poll_interval = Duration::seconds(5);
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    ASSERT_TRUE(soon([&] { return !coordinator.left.empty(); }));
    EXPECT_EQ(coordinator.left, (Lines{"m1"}));
    ASSERT_TRUE(soon([&] { return reading().empty(); }));
    scheduler.run_for(Duration::seconds(10));
    EXPECT_EQ(coordinator.joined.size(), 2u);
    ASSERT_TRUE(polled_until([&] { return told.size() == 3; }));
    EXPECT_EQ(told, (Lines{"assigned 0 1 2 3", "lost 0 1 2 3", "assigned 0 1 2 3"}));
}

TEST_F(ClassicMemberTest, AStaticMemberStaysWhenItGoes) {
    options.instance_id = "one";
    start();
    ASSERT_TRUE(polled_until([&] { return told.size() == 1; }));
    bool stopped = false;
    io::detach([](GroupMembership* leaving, bool* done) -> io::Task<void> {
        co_await leaving->leave();
        *done = true;
    }(member.get(), &stopped));
    ASSERT_TRUE(soon([&] { return stopped; }));
    EXPECT_TRUE(coordinator.left.empty());
}

}  // namespace
}  // namespace pabal::client
