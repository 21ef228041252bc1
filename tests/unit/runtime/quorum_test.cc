// Quorums of several nodes, with their files and their messages, on simulated machines.
#include "runtime/quorum.h"

#include <algorithm>

#include "base/log.h"
#include "tests/unit/runtime/quorum_cluster.h"

namespace pabal::runtime {
namespace {

// Three nodes that the configuration names as voters.
void make_static(QuorumCluster& cluster, const Logger* log = nullptr) {
    for (int id = 0; id < 3; ++id)
        cluster.add_node(id, [log](QuorumOptions& options) {
            options.log = log;
            for (int voter = 0; voter < 3; ++voter)
                options.voters.push_back(
                    {BrokerId(voter), {"node-" + std::to_string(voter), 9093}});
        });
    for (int id = 0; id < 3; ++id) ASSERT_TRUE(cluster.start(id).ok());
}

// A node that finds the quorum through node 0, and votes once somebody adds it.
void make_joining(QuorumCluster& cluster, int id, bool adds_itself = false) {
    cluster.add_node(id, [adds_itself](QuorumOptions& options) {
        options.joins = true;
        options.adds_itself = adds_itself;
        for (int other = 0; other < 3; ++other)
            options.bootstrap.push_back({"node-" + std::to_string(other), 9093});
    });
}

// Node 0 alone, then 1 and 2 beside it.
void make_dynamic(QuorumCluster& cluster) {
    make_joining(cluster, 0);
    cluster.format_standalone(0);
    ASSERT_TRUE(cluster.start(0).ok());
    ASSERT_EQ(cluster.wait_for_leader(), 0);
    for (int id = 1; id < 3; ++id) {
        make_joining(cluster, id);
        ASSERT_TRUE(cluster.start(id).ok());
        ASSERT_EQ(cluster.add_voter(0, id), ErrorCode::none);
    }
}

TEST(Quorums, have_one_log_through_deaths_and_orderly_ends) {
    QuorumCluster cluster;
    make_static(cluster);
    for (int turn = 0; turn < 4; ++turn) {
        cluster.write();
        const int former = cluster.leader();
        if (turn % 2 == 0) {
            cluster.kill(former);
        } else {
            cluster.stop(former);
        }
        ASSERT_NE(cluster.wait_for_leader(), former);
        cluster.write();
        ASSERT_TRUE(cluster.start(former).ok());
        cluster.write();
    }
}

TEST(Quorums, do_not_hurry_where_a_disk_is_full) {
    KeptLogSink sink;
    const Logger log{sink};
    QuorumCluster cluster;
    make_static(cluster, &log);
    const Offset first = cluster.write();
    const int leader = cluster.leader();
    const int follower = (leader + 1) % 3;
    sim::Disk& disk = cluster.disk(follower);
    const std::uint64_t capacity = disk.capacity_bytes();
    disk.set_capacity(0);
    ASSERT_TRUE(cluster.quorum(leader).propose({Bytes::copy_of("more")}).ok());
    cluster.wait([] { return false; }, Duration::milliseconds(500));
    const auto refused = std::count_if(
        sink.lines().begin(), sink.lines().end(),
        [](const std::string& line) { return line.find("log refused") != std::string::npos; });
    EXPECT_GE(refused, 2);
    EXPECT_LE(refused, 100);
    disk.set_capacity(capacity);
    EXPECT_TRUE(cluster.wait([&] { return cluster.all_have(first + 1); }));
}

TEST(Quorums, wait_for_their_majority_in_silence) {
    QuorumCluster cluster;
    make_static(cluster);
    cluster.write();
    const int left = (cluster.leader() + 1) % 3;
    int changes = 0;
    cluster.quorum(left).on_leader_change([&](BrokerId, LeaderEpoch) { ++changes; });
    const LeaderEpoch epoch = cluster.quorum(left).epoch();
    for (int id = 0; id < 3; ++id)
        if (id != left) cluster.kill(id);
    cluster.wait([] { return false; }, Duration::seconds(60));
    EXPECT_EQ(cluster.leader(), -1);
    EXPECT_EQ(cluster.quorum(left).epoch(), epoch);
    EXPECT_LE(changes, 1);
    ASSERT_TRUE(cluster.start((left + 1) % 3).ok());
    cluster.write();
}

TEST(Quorums, stop_at_once_where_nobody_is_left) {
    QuorumCluster cluster;
    make_static(cluster);
    cluster.write();
    const int last = cluster.leader();
    for (int id = 0; id < 3; ++id)
        if (id != last) cluster.kill(id);
    const Instant begun = cluster.now();
    cluster.stop(last);
    EXPECT_LT((cluster.now() - begun).to_milliseconds(), 100);
}

TEST(DynamicVoters, are_added_and_removed_while_they_run) {
    QuorumCluster cluster;
    make_dynamic(cluster);
    cluster.write();
    for (int id = 0; id < 3; ++id) EXPECT_EQ(cluster.voters(id), (std::vector<int>{0, 1, 2})) << id;
    EXPECT_EQ(cluster.add_voter(0, 1), ErrorCode::duplicate_voter);
    EXPECT_EQ(cluster.add_voter(1, 1), ErrorCode::not_leader_or_follower);
    // The first one is needed no more.
    EXPECT_EQ(cluster.remove_voter(0, 0), ErrorCode::none);
    EXPECT_TRUE(cluster.wait([&] { return cluster.leader() > 0; }));
    cluster.kill(0);
    cluster.write();
    EXPECT_EQ(cluster.voters(1), (std::vector<int>{1, 2}));
    // Two voters need each other.
    cluster.kill(1);
    cluster.wait([] { return false; }, Duration::seconds(5));
    EXPECT_EQ(cluster.leader(), -1);
    ASSERT_TRUE(cluster.start(1).ok());
    cluster.write();
}

TEST(DynamicVoters, survive_deaths_losses_of_power_and_orderly_ends) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        QuorumCluster cluster(seed);
        make_dynamic(cluster);
        for (int turn = 0; turn < 6; ++turn) {
            cluster.write();
            const int former = cluster.leader();
            if (turn % 3 == 0) cluster.kill(former);
            if (turn % 3 == 1) cluster.stop(former);
            if (turn % 3 == 2) cluster.kill(former, sim::Death::power_lost);
            cluster.wait_for_leader();
            cluster.write();
            ASSERT_TRUE(cluster.start(former).ok());
        }
        cluster.write();
        for (int id = 0; id < 3; ++id)
            EXPECT_EQ(cluster.voters(id), (std::vector<int>{0, 1, 2})) << id;
    }
}

TEST(DynamicVoters, stand_in_snapshots) {
    QuorumCluster cluster;
    make_dynamic(cluster);
    const Offset last = cluster.write();
    for (int id = 0; id < 3; ++id) cluster.take_snapshot(id, last + 1);
    // One that has nothing fetches the snapshot, and one that restarts reads its own.
    make_joining(cluster, 3);
    ASSERT_TRUE(cluster.start(3).ok());
    EXPECT_TRUE(cluster.wait([&] { return cluster.voters(3) == std::vector<int>{0, 1, 2}; }));
    cluster.stop(1);
    ASSERT_TRUE(cluster.start(1).ok());
    EXPECT_EQ(cluster.voters(1), (std::vector<int>{0, 1, 2}));
    cluster.write();
}

TEST(DynamicVoters, may_be_made_of_static_ones) {
    QuorumCluster cluster;
    make_static(cluster);
    cluster.write();
    Quorum& leading = cluster.quorum(cluster.leader());
    // The others tell who they are within a fetch timeout.
    EXPECT_TRUE(cluster.wait([&] {
        auto may = leading.upgrade(1, true);
        return may.ok() && *may;
    }));
    ASSERT_TRUE(leading.upgrade(1, false).ok());
    cluster.write();
    for (int id = 0; id < 3; ++id) EXPECT_EQ(cluster.quorum(id).kraft_version(), 1) << id;
    const int former = cluster.leader();
    cluster.kill(former);
    const int next = cluster.wait_for_leader();
    cluster.write();
    EXPECT_EQ(cluster.remove_voter(next, former), ErrorCode::none);
    EXPECT_EQ(cluster.voters(next).size(), 2u);
    // What the configuration names is not what counts any more.
    ASSERT_TRUE(cluster.start(former).ok());
    cluster.write();
    EXPECT_EQ(cluster.voters(former).size(), 2u);
}

TEST(DynamicVoters, add_themselves_and_replace_a_lost_disk) {
    QuorumCluster cluster;
    make_joining(cluster, 0);
    cluster.format_standalone(0);
    ASSERT_TRUE(cluster.start(0).ok());
    for (int id = 1; id < 3; ++id) {
        make_joining(cluster, id, true);
        ASSERT_TRUE(cluster.start(id).ok());
    }
    EXPECT_TRUE(cluster.wait([&] { return cluster.voters(0).size() == 3; }));
    cluster.write();
    const DirectoryId lost = cluster.directory(2);
    cluster.kill(2);
    cluster.replace_disk(2);
    ASSERT_TRUE(cluster.start(2).ok());
    EXPECT_TRUE(cluster.wait([&] {
        const raft::Voter* voter = raft::find(cluster.quorum(0).voters(), BrokerId(2));
        return voter && voter->directory == cluster.directory(2);
    }));
    EXPECT_NE(cluster.directory(2), lost);
    cluster.write();
}

TEST(DynamicVoters, tell_the_leader_where_they_have_gone) {
    QuorumCluster cluster;
    make_dynamic(cluster);
    cluster.write();
    const int moved = (cluster.leader() + 1) % 3;
    cluster.stop(moved);
    cluster.move(moved, 9095);
    ASSERT_TRUE(cluster.start(moved).ok());
    EXPECT_TRUE(cluster.wait([&] {
        const raft::Voter* voter =
            raft::find(cluster.quorum(cluster.leader()).voters(), BrokerId(moved));
        return voter->endpoints.at(0).port == 9095;
    }));
    cluster.write();
}

}  // namespace
}  // namespace pabal::runtime
