// Replication over a simulated network: what is acknowledged stands on all replicas in sync, and
// stays through every change of the leader.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/broker/replication_world.h"

namespace pabal::broker {
namespace {

TEST(Replication, an_acknowledged_batch_stands_on_all_replicas_in_sync) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a", "b"}), ErrorCode::none);
    for (int id = 0; id < 3; ++id) EXPECT_EQ(world.values_on(id, "orders"), (Values{"a", "b"}));
    EXPECT_EQ(world.partition(0, "orders")->high_watermark(), Offset(2));
    world.wait([&] { return world.converged("orders"); });
}

TEST(Replication, an_acknowledgement_takes_two_round_trips_and_no_time_out) {
    ReplicationWorld world;
    world.network.profile.tail_one_in = 1u << 30;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"warm"}), ErrorCode::none);
    for (int i = 0; i < 50; ++i) {
        const auto begun = world.scheduler.now();
        ASSERT_EQ(world.produce(0, "orders", {std::to_string(i)}), ErrorCode::none);
        EXPECT_LT(world.scheduler.now() - begun, Duration::milliseconds(3));
    }
}

TEST(Replication, a_follower_that_was_away_catches_up_and_is_in_sync_again) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    world.kill(2);
    const auto pending = world.begin_produce(0, "orders", {"b"});
    EXPECT_FALSE(world.within(Duration::seconds(2), [&] { return pending->done; }))
        << "a member of the ISR has not got it";
    world.fail_over(2, "orders");
    world.wait([&] { return pending->done; });
    EXPECT_EQ(pending->error, ErrorCode::none);
    ASSERT_EQ(world.produce(0, "orders", {"c"}), ErrorCode::none);
    world.start(2);
    EXPECT_TRUE(world.within(Duration::seconds(5), [&] { return world.in_sync("orders"); }));
    world.wait([&] { return world.converged("orders"); });
    EXPECT_EQ(world.values_on(2, "orders"), (Values{"a", "b", "c"}));
}

TEST(Replication, a_follower_that_hangs_leaves_the_replicas_in_sync) {
    ReplicationWorld world(1, 3, {{"replica.lag.time.max.ms", "1000"}});
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    world.node(2).process->set_paused(true);
    ASSERT_EQ(world.produce(0, "orders", {"b"}), ErrorCode::none) << "it is waited for no longer";
    EXPECT_EQ(world.state("orders").isr, (std::vector<BrokerId>{BrokerId(0), BrokerId(1)}));
    world.node(2).process->set_paused(false);
    EXPECT_TRUE(world.within(Duration::seconds(10), [&] { return world.converged("orders"); }));
}

TEST(Replication, a_new_leader_holds_what_was_acknowledged_and_the_old_one_forgets_the_rest) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a", "b"}), ErrorCode::none);
    // These reach nobody.
    for (const char* other : {"b1", "b2"}) world.network.cut("b0", other);
    const auto lost = world.begin_produce(0, "orders", {"lost"});
    EXPECT_FALSE(world.within(Duration::seconds(1), [&] { return lost->done; }));
    world.kill(0);
    world.network.heal_all();
    world.fail_over(0, "orders");
    ASSERT_EQ(world.state("orders").leader, BrokerId(1));
    ASSERT_EQ(world.produce(1, "orders", {"c"}), ErrorCode::none);
    EXPECT_EQ(world.values_on(1, "orders"), (Values{"a", "b", "c"}));
    world.start(0);
    EXPECT_TRUE(world.within(Duration::seconds(5), [&] { return world.converged("orders"); }));
    EXPECT_EQ(world.values_on(0, "orders"), (Values{"a", "b", "c"}));
    // What was cut does not come back with the next start.
    world.kill(0);
    world.fail_over(0, "orders");
    world.start(0);
    EXPECT_TRUE(world.within(Duration::seconds(5), [&] { return world.converged("orders"); }));
    EXPECT_EQ(world.values_on(0, "orders"), (Values{"a", "b", "c"}));
}

TEST(Replication, a_deposed_leader_ends_the_waits_of_its_producers) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    for (const char* other : {"b1", "b2"}) world.network.cut("b0", other);
    const auto lost = world.begin_produce(0, "orders", {"lost"});
    auto change = world.change_of("orders");
    change.leader = BrokerId(1);
    world.apply({metadata::Record(change)});
    EXPECT_TRUE(world.within(Duration::milliseconds(10), [&] { return lost->done; }));
    EXPECT_EQ(lost->error, ErrorCode::not_leader_or_follower);
    world.network.heal_all();
    world.wait([&] { return world.converged("orders"); });
    EXPECT_EQ(world.values_on(0, "orders"), (Values{"a"}));
}

// A fetch that waits at the leader does not keep a follower from naming another partition.
TEST(Replication, a_change_of_leaders_is_followed_at_once) {
    ReplicationWorld world;
    world.network.profile.tail_one_in = 1u << 30;
    world.create_topic("quiet", {1, 0, 2});
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(1, "quiet", {"q"}), ErrorCode::none);
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    auto change = world.change_of("orders");
    change.leader = BrokerId(1);
    world.apply({metadata::Record(change)});
    const auto begun = world.scheduler.now();
    ASSERT_EQ(world.produce(1, "orders", {"b"}), ErrorCode::none);
    EXPECT_LT(world.scheduler.now() - begun, Duration::milliseconds(50));
}

TEST(Replication, deleted_records_go_from_all_replicas_before_it_is_told) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a", "b", "c"}), ErrorCode::none);
    wire::DeleteRecordsRequest request;
    request.timeout_ms = 10'000;
    request.topics.emplace_back().name = "orders";
    request.topics[0].partitions.push_back({PartitionIndex(0), Offset(2)});
    RequestContext call;
    call.peer = &world.node(0).peer;
    const auto begun = world.scheduler.now();
    const auto response =
        world.run(handle_delete_records(world.node(0).context.get(), &call, request));
    EXPECT_EQ(response.topics[0].partitions[0].error_code, ErrorCode::none);
    EXPECT_EQ(response.topics[0].partitions[0].low_watermark, Offset(2));
    EXPECT_LT(world.scheduler.now() - begun, Duration::milliseconds(400));
    for (int id = 0; id < 3; ++id)
        EXPECT_EQ(world.partition(id, "orders")->log()->log_start_offset(), Offset(2)) << id;
    world.network.cut("b0", "b2");
    ASSERT_EQ(world.begin_produce(0, "orders", {"d"})->done, false);
    request.timeout_ms = 100;
    request.topics[0].partitions[0].offset = Offset(3);
    const auto late = world.run(handle_delete_records(world.node(0).context.get(), &call, request));
    EXPECT_EQ(late.topics[0].partitions[0].error_code, ErrorCode::request_timed_out);
}

TEST(Replication, a_follower_below_the_leaders_log_begins_where_that_begins) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a", "b", "c"}), ErrorCode::none);
    world.kill(2);
    world.fail_over(2, "orders");
    for (int i = 0; i < 5; ++i)
        ASSERT_EQ(world.produce(0, "orders", {"x", "y", "z"}), ErrorCode::none);
    ASSERT_TRUE(world.partition(0, "orders")->delete_records(Offset(10)).ok());
    world.start(2);
    EXPECT_TRUE(world.within(Duration::seconds(10), [&] { return world.converged("orders"); }));
    EXPECT_EQ(world.partition(2, "orders")->log()->log_start_offset(), Offset(10));
    EXPECT_EQ(world.values_on(2, "orders"), world.values_on(0, "orders"));
    ASSERT_EQ(world.produce(0, "orders", {"end"}), ErrorCode::none);
}

// It has to ask the leader where its log begins, which nothing else may keep it from.
TEST(Replication, a_follower_below_the_leaders_log_is_helped_beside_a_busy_partition) {
    for (const bool leader_keeps_sessions : {true, false}) {
        SCOPED_TRACE(leader_keeps_sessions);
        ReplicationWorld world(1, 2);
        if (!leader_keeps_sessions) world.node(0).sessions.emplace(0, Prng(5));
        world.create_topic("busy", {0, 1});
        world.create_topic("orders", {0});
        for (int i = 0; i < 5; ++i)
            ASSERT_EQ(world.produce(0, "orders", {"x", "y", "z"}), ErrorCode::none);
        ASSERT_TRUE(world.partition(0, "orders")->delete_records(Offset(10)).ok());
        ASSERT_EQ(world.produce(0, "busy", {"warm"}), ErrorCode::none);
        auto grow = world.change_of("orders");
        grow.replicas = std::vector<BrokerId>{BrokerId(0), BrokerId(1)};
        grow.adding_replicas = std::vector<BrokerId>{BrokerId(1)};
        grow.directories = std::vector<DirectoryId>(2);
        world.apply({metadata::Record(grow)});
        for (int i = 0; i < 20'000 && !world.in_sync("orders"); ++i) {
            static_cast<void>(world.begin_produce(0, "busy", {std::to_string(i)}));
            world.scheduler.run_for(Duration::microseconds(100));
        }
        EXPECT_TRUE(world.in_sync("orders"));
        EXPECT_EQ(world.partition(1, "orders")->log()->log_start_offset(), Offset(10));
        EXPECT_TRUE(world.within(Duration::seconds(10), [&] { return world.converged("busy"); }));
    }
}

TEST(Replication, flush_on_acknowledge_means_synced_on_all_in_sync) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2}, {{"flush.messages", "1"}});
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(world.produce(0, "orders", {std::to_string(i)}), ErrorCode::none);
        for (int id = 0; id < 3; ++id) {
            EXPECT_EQ(world.partition(id, "orders")->log()->log_end_offset(), Offset(i + 1)) << id;
            EXPECT_TRUE(world.partition(id, "orders")->may_claim_end()) << id;
        }
    }
    for (int id = 0; id < 3; ++id) world.kill(id, sim::Death::power_lost);
    for (int id = 0; id < 3; ++id) world.start(id);
    for (int id = 0; id < 3; ++id) EXPECT_EQ(world.values_on(id, "orders").size(), 10u) << id;
}

TEST(Replication, a_consumer_reads_from_the_replica_of_its_rack) {
    ReplicationWorld world(
        1, 3,
        {{"replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector"}});
    const auto id = world.create_topic("orders", {0, 1, 2});
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    // The follower hears of the high watermark at once.
    EXPECT_TRUE(world.within(Duration::milliseconds(100), [&] {
        return world.partition(1, "orders")->high_watermark() == Offset(1);
    }));
    const auto fetch = [&](int broker, std::int64_t offset, std::string rack) {
        wire::FetchRequest request;
        request.max_wait_ms = 0;
        request.min_bytes = 1;
        request.rack_id = std::move(rack);
        auto& topic = request.topics.emplace_back();
        topic.topic_id = id;
        auto& wish = topic.partitions.emplace_back();
        wish.fetch_offset = Offset(offset);
        wish.partition_max_bytes = 1 << 20;
        RequestContext call;
        call.peer = &world.node(broker).peer;
        call.version = 17;
        auto response =
            world.run(handle_fetch(world.node(broker).context.get(), &call, std::move(request)));
        return std::move(response.responses.at(0).partitions.at(0));
    };
    EXPECT_EQ(fetch(0, 0, "rack-1").preferred_read_replica, BrokerId(1));
    EXPECT_TRUE(!fetch(0, 0, "rack-1").records || fetch(0, 0, "rack-1").records->empty());
    EXPECT_EQ(fetch(0, 0, "rack-0").preferred_read_replica, no_broker);
    EXPECT_EQ(fetch(0, 0, "").preferred_read_replica, no_broker);
    EXPECT_EQ(fetch(0, 0, "elsewhere").preferred_read_replica, no_broker);
    const auto near = fetch(1, 0, "rack-1");
    EXPECT_EQ(near.error_code, ErrorCode::none);
    EXPECT_GT(near.records->size(), 0u);
    EXPECT_EQ(fetch(1, 5, "rack-1").error_code, ErrorCode::offset_out_of_range);
}

TEST(Replication, min_insync_replicas_is_what_an_acknowledgement_needs) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1, 2}, {{"min.insync.replicas", "2"}});
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    for (const int id : {1, 2}) {
        world.kill(id);
        world.fail_over(id, "orders");
    }
    EXPECT_EQ(world.produce(0, "orders", {"b"}), ErrorCode::not_enough_replicas);
    world.start(1);
    world.wait([&] { return world.state("orders").isr.size() == 2; });
    EXPECT_EQ(world.produce(0, "orders", {"c"}), ErrorCode::none);
}

TEST(Replication, a_reassigned_partition_moves) {
    ReplicationWorld world;
    world.create_topic("orders", {0, 1});
    ASSERT_EQ(world.produce(0, "orders", {"a"}), ErrorCode::none);
    auto grow = world.change_of("orders");
    grow.replicas = std::vector<BrokerId>{BrokerId(0), BrokerId(1), BrokerId(2)};
    grow.adding_replicas = std::vector<BrokerId>{BrokerId(2)};
    grow.directories = std::vector<DirectoryId>(3);
    world.apply({metadata::Record(grow)});
    EXPECT_TRUE(world.within(Duration::seconds(5), [&] { return world.in_sync("orders"); }));
    auto shrink = world.change_of("orders");
    shrink.replicas = std::vector<BrokerId>{BrokerId(1), BrokerId(2)};
    shrink.isr = shrink.replicas;
    shrink.adding_replicas = std::vector<BrokerId>();
    shrink.directories = std::vector<DirectoryId>(2);
    shrink.leader = BrokerId(2);
    world.apply({metadata::Record(shrink)});
    EXPECT_EQ(world.partition(0, "orders"), nullptr);
    ASSERT_EQ(world.produce(2, "orders", {"b"}), ErrorCode::none);
    EXPECT_EQ(world.values_on(1, "orders"), (Values{"a", "b"}));
}

// What a reassignment moves is held to a rate, by the leader or by the follower (KIP-73).
TEST(Replication, a_throttled_replica_catches_up_slowly) {
    for (const char* side : {"leader", "follower"}) {
        ReplicationWorld world(1, 3, {{"replica.fetch.max.bytes", "4096"}});
        const std::string replicas = std::string(side) + ".replication.throttled.replicas";
        world.create_topic("orders", {0, 1, 2}, {{replicas, "0:0,0:2"}});
        wire::ConfigRecord rate;
        rate.resource_type = 4;
        rate.resource_name = side == std::string("leader") ? "0" : "2";
        rate.name = std::string(side) + ".replication.throttled.rate";
        rate.value = "10000";
        world.kill(2);
        world.fail_over(2, "orders");
        const std::string kilobyte(1000, 'x');
        for (int i = 0; i < 60; ++i)
            ASSERT_EQ(world.produce(0, "orders", {kilobyte}), ErrorCode::none);
        world.apply({metadata::Record(rate)});
        world.start(2);
        EXPECT_FALSE(world.within(Duration::seconds(3), [&] { return world.in_sync("orders"); }))
            << side;
        // Those in sync are not held back.
        ASSERT_EQ(world.produce(0, "orders", {"end"}), ErrorCode::none);
        EXPECT_TRUE(world.within(Duration::seconds(20), [&] { return world.converged("orders"); }))
            << side;
        ASSERT_EQ(world.produce(0, "orders", {kilobyte}), ErrorCode::none);
    }
}

// Brokers die at any moment and come back; whatever was acknowledged is there at the end, once.
TEST(Replication, nothing_acknowledged_is_lost_while_brokers_die) {
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        ReplicationWorld world(seed);
        Prng random(seed * 7919);
        ReplicationWorld::Properties settings;
        if (seed % 3 == 0) settings["flush.messages"] = "1";
        world.create_topic("orders", {0, 1, 2}, settings);
        Values acknowledged;
        std::vector<std::pair<std::string, std::shared_ptr<ReplicationWorld::Produced>>> pending;
        int dead = -1;
        for (int i = 0; i < 120; ++i) {
            const auto leader = world.state("orders").leader.value();
            if (world.node(leader).alive()) {
                const auto value = std::to_string(i);
                pending.emplace_back(value, world.begin_produce(leader, "orders", {value}));
            }
            world.scheduler.run_for(
                Duration::microseconds(static_cast<std::int64_t>(random.below(2000))));
            if (dead < 0 && random.below(12) == 0) {
                dead = static_cast<int>(random.below(3));
                world.kill(dead);
            } else if (dead >= 0 && random.below(5) == 0) {
                world.fail_over(dead, "orders");
                world.scheduler.run_for(
                    Duration::milliseconds(static_cast<std::int64_t>(random.below(20))));
                world.start(dead);
                dead = -1;
                world.wait([&] { return world.in_sync("orders"); });
            }
            if (HasFatalFailure()) return;
        }
        if (dead >= 0) {
            world.fail_over(dead, "orders");
            world.start(dead);
        }
        world.wait([&] { return world.converged("orders"); });
        for (const auto& [value, produced] : pending) {
            world.wait([&] { return produced->done; });
            if (produced->error == ErrorCode::none) acknowledged.push_back(value);
        }
        const auto held = world.values_on(world.state("orders").leader.value(), "orders");
        const std::set<std::string> unique(held.begin(), held.end());
        EXPECT_EQ(unique.size(), held.size());
        for (const auto& value : acknowledged) EXPECT_EQ(unique.count(value), 1u) << value;
        EXPECT_GT(acknowledged.size(), 20u);
        for (int id = 0; id < 3; ++id) EXPECT_EQ(world.values_on(id, "orders"), held);
    }
}

}  // namespace
}  // namespace pabal::broker
