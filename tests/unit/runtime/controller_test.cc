#include "runtime/controller.h"

#include "metadata/cluster_delta.h"
#include "tests/unit/runtime/metadata_world.h"
#include "wire/allocate_producer_ids.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/describe_quorum.h"
#include "wire/incremental_alter_configs.h"

namespace pabal::runtime {
namespace {

wire::CreateTopicsRequest topic_request(std::string name, std::int32_t partitions = 1) {
    wire::CreateTopicsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = std::move(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    return request;
}

ErrorCode create(MetadataWorld& world, std::string name, std::int32_t partitions = 1) {
    auto request = topic_request(std::move(name), partitions);
    auto response = world.run<wire::CreateTopicsResponse>(
        [&] { return world.controller().answer(request, 7, CallContext()); });
    return response.topics.at(0).error_code;
}

TEST(Controller, starts_a_fresh_cluster_and_registers_its_broker) {
    MetadataWorld world;
    auto started = world.start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    const auto& image = world.image();
    EXPECT_EQ(image.metadata_version(), 30);
    // Whoever is an eligible leader depends on one value for all brokers (KIP-966).
    EXPECT_EQ(image.feature("eligible.leader.replicas.version"), 1);
    EXPECT_EQ(image.config(metadata::ResourceType::broker, "").at("min.insync.replicas"), "1");
    ASSERT_TRUE(image.broker(BrokerId(0)));
    EXPECT_FALSE(image.broker(BrokerId(0))->fenced);
    EXPECT_EQ(image.broker(BrokerId(0))->epoch, world.controller().broker_epoch());
    EXPECT_TRUE(image.controllers().contains(BrokerId(0)));
    EXPECT_TRUE(world.controller().quorum().is_leader());
    EXPECT_EQ(world.controller().quorum().epoch(), LeaderEpoch(1));
    world.stop();
}

TEST(Controller, a_created_topic_is_in_the_image_when_its_creator_hears_of_it) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(create(world, "orders", 3), ErrorCode::none);
    auto topic = world.image().topic("orders");
    ASSERT_TRUE(topic);
    ASSERT_EQ(topic->partitions.size(), 3u);
    EXPECT_EQ(topic->partitions[0].leader, BrokerId(0));
    EXPECT_EQ(topic->partitions[0].directories.at(0), MetadataWorld::directory());
    EXPECT_EQ(create(world, "orders"), ErrorCode::topic_already_exists);
}

TEST(Controller, two_requests_at_once_cannot_create_one_topic_twice) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    std::vector<ErrorCode> codes;
    auto ask = [](Controller* controller, std::vector<ErrorCode>* answered) -> io::Task<void> {
        auto request = topic_request("orders");
        auto response = co_await controller->answer(request, 7, CallContext());
        answered->push_back(response.topics.at(0).error_code);
    };
    world.process().clock().post([&] {
        io::detach(ask(&world.controller(), &codes));
        io::detach(ask(&world.controller(), &codes));
    });
    ASSERT_TRUE(world.wait([&] { return codes.size() == 2; }));
    EXPECT_EQ(std::count(codes.begin(), codes.end(), ErrorCode::none), 1);
    EXPECT_EQ(std::count(codes.begin(), codes.end(), ErrorCode::topic_already_exists), 1);
}

TEST(Controller, subscribers_hear_of_everything_once_and_in_order) {
    MetadataWorld world;
    std::vector<std::string> heard;
    ASSERT_TRUE(world
                    .start([&](std::shared_ptr<const metadata::ClusterDelta> delta,
                               ImagePointer image) -> io::Task<void> {
                        for (const auto& [id, change] : delta->topics)
                            heard.push_back(
                                (change.deleted ? "-" : "+") +
                                (change.deleted ? change.before->name : image->topic(id)->name));
                        co_return;
                    })
                    .ok());
    create(world, "a");
    create(world, "b");
    wire::DeleteTopicsRequest request;
    request.topics.emplace_back().name = "a";
    world.run<wire::DeleteTopicsResponse>(
        [&] { return world.controller().answer(request, 6, CallContext()); });
    EXPECT_EQ(heard, (std::vector<std::string>{"+a", "+b", "-a"}));
}

TEST(Controller, finds_everything_again_after_a_stop_and_begins_new_epochs) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    ASSERT_EQ(create(world, "orders", 2), ErrorCode::none);
    const auto id = world.image().topic("orders")->id;
    const BrokerEpoch broker_epoch = world.controller().broker_epoch();
    world.stop();
    auto started = world.start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    auto topic = world.image().topic("orders");
    ASSERT_TRUE(topic);
    EXPECT_EQ(topic->id, id);
    EXPECT_EQ(topic->partitions[1].leader, BrokerId(0));
    EXPECT_EQ(topic->partitions[1].leader_epoch, LeaderEpoch(1));
    EXPECT_EQ(world.controller().quorum().epoch(), LeaderEpoch(2));
    EXPECT_GT(world.controller().broker_epoch(), broker_epoch);
}

// What was answered is found again, whatever a loss of power takes; one world a seed.
TEST(Controller, what_was_answered_survives_losses_of_power) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        MetadataWorld world(seed);
        Prng random(seed);
        std::set<std::string> acknowledged;
        for (int life = 0; life < 4; ++life) {
            auto started = world.start();
            ASSERT_TRUE(started.ok()) << "seed " << seed << ": " << started.error().message;
            for (const std::string& name : acknowledged)
                ASSERT_TRUE(world.image().topic(name)) << "seed " << seed << " lost " << name;
            // Several at once; some are answered before the power goes.
            auto ask = [](Controller* controller, std::string name,
                          std::set<std::string>* answered) -> io::Task<void> {
                auto request = topic_request(name, 2);
                auto response = co_await controller->answer(request, 7, CallContext());
                if (response.topics.at(0).error_code == ErrorCode::none) answered->insert(name);
            };
            for (int i = 0; i < 8; ++i) {
                const std::string name = "t" + std::to_string(life) + "-" + std::to_string(i);
                world.process().clock().post([&world, &acknowledged, ask, name] {
                    io::detach(ask(&world.controller(), name, &acknowledged));
                });
                world.scheduler().run_for(
                    Duration::microseconds(static_cast<std::int64_t>(random.below(300))));
            }
            world.kill(random.chance(1, 2) ? sim::Death::power_lost : sim::Death::killed);
        }
    }
}

TEST(Controller, a_full_disk_refuses_and_the_next_request_succeeds_when_space_returns) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.machine().disk().set_capacity(world.machine().disk().used_bytes());
    EXPECT_EQ(create(world, "orders", 100), ErrorCode::kafka_storage_error);
    EXPECT_FALSE(world.image().topic("orders"));
    world.machine().disk().set_capacity(1ull << 30);
    EXPECT_EQ(create(world, "orders", 100), ErrorCode::none);
    world.stop();
    ASSERT_TRUE(world.start().ok());
    ASSERT_TRUE(world.image().topic("orders"));
    EXPECT_EQ(world.image().topic("orders")->partitions.size(), 100u);
}

TEST(Controller, snapshots_bound_the_log_and_a_restart_reads_them) {
    MetadataWorld world(1, {{"metadata.log.max.record.bytes.between.snapshots", "20000"}});
    ASSERT_TRUE(world.start().ok());
    for (int i = 0; i < 60; ++i)
        ASSERT_EQ(create(world, "topic-" + std::to_string(i), 10), ErrorCode::none);
    ASSERT_TRUE(
        world.wait([&] { return world.controller().quorum().latest_snapshot().has_value(); }));
    EXPECT_GT(world.controller().quorum().log_start_offset(), Offset(0));
    world.kill(sim::Death::power_lost);
    auto started = world.start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    for (int i = 0; i < 60; ++i) {
        auto topic = world.image().topic("topic-" + std::to_string(i));
        ASSERT_TRUE(topic) << i;
        EXPECT_EQ(topic->partitions.size(), 10u);
    }
    int snapshots = 0;
    auto entries = world.ports().disk.list("/data/__cluster_metadata-0");
    for (const auto& entry : *entries)
        if (metadata::SnapshotId::parse(entry.name)) ++snapshots;
    EXPECT_EQ(snapshots, 1);
}

TEST(Controller, producer_ids_are_never_given_twice) {
    MetadataWorld world;
    ProducerId next(0);
    for (int life = 0; life < 3; ++life) {
        ASSERT_TRUE(world.start().ok());
        wire::AllocateProducerIdsRequest request;
        request.broker_id = BrokerId(0);
        request.broker_epoch = world.controller().broker_epoch();
        auto response = world.run<wire::AllocateProducerIdsResponse>(
            [&] { return world.controller().answer(request, 0, CallContext()); });
        EXPECT_EQ(response.error_code, ErrorCode::none);
        EXPECT_EQ(response.producer_id_start, next);
        EXPECT_EQ(response.producer_id_len, 1000);
        next += 1000;
        world.kill();
    }
}

TEST(Controller, describes_its_quorum) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    wire::DescribeQuorumRequest request;
    auto& topic = request.topics.emplace_back();
    topic.topic_name = "__cluster_metadata";
    topic.partitions.emplace_back();
    auto response = world.controller().describe_quorum(request, 2);
    const auto& partition = response.topics.at(0).partitions.at(0);
    EXPECT_EQ(partition.leader_id, BrokerId(0));
    EXPECT_EQ(partition.leader_epoch, LeaderEpoch(1));
    EXPECT_EQ(partition.current_voters.at(0).log_end_offset,
              world.controller().quorum().log_end_offset());
    EXPECT_EQ(response.nodes.at(0).listeners.at(0).port, 9093);
}

TEST(Controller, a_request_that_is_not_committed_in_time_says_so) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.machine().disk().faults.job_least = Duration::seconds(5);
    world.machine().disk().faults.job_most = Duration::seconds(6);
    auto request = topic_request("orders");
    CallContext context;
    context.deadline = world.process().clock().now() + Duration::seconds(1);
    auto response = world.run<wire::CreateTopicsResponse>(
        [&] { return world.controller().answer(request, 7, context); });
    EXPECT_EQ(response.topics.at(0).error_code, ErrorCode::request_timed_out);
    ASSERT_TRUE(world.wait([&] { return world.image().topic("orders") != nullptr; }));
}

TEST(Controller, a_failed_sync_stops_the_node) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    std::string reason;
    world.publisher().on_failure([&](IoError error) { reason = error.message; });
    world.machine().disk().faults.sync_errors_per_million = 1'000'000;
    EXPECT_EQ(create(world, "orders"), ErrorCode::kafka_storage_error);
    EXPECT_FALSE(reason.empty());
    EXPECT_FALSE(world.image().topic("orders"));
    EXPECT_EQ(create(world, "more"), ErrorCode::kafka_storage_error);
}

}  // namespace
}  // namespace pabal::runtime
