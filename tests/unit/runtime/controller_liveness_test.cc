// Brokers that die, fall silent, or come back, as the active controller sees them.
#include <gtest/gtest.h>

#include "metadata/features.h"
#include "runtime/controller.h"
#include "tests/unit/runtime/metadata_world.h"
#include "wire/alter_partition.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/create_topics.h"
#include "wire/elect_leaders.h"

namespace pabal::runtime {
namespace {

constexpr std::uint16_t other_port = 19'092;

Uuid uuid(std::uint8_t last) {
    Uuid id;
    id.bytes[0] = 1;
    id.bytes[15] = last;
    return id;
}

class LivenessWorld : public MetadataWorld {
public:
    using MetadataWorld::MetadataWorld;

    wire::BrokerRegistrationResponse register_other(std::uint8_t incarnation,
                                                    std::uint16_t port = other_port) {
        wire::BrokerRegistrationRequest request;
        request.broker_id = BrokerId(1);
        request.cluster_id = "the-cluster";
        request.incarnation_id = uuid(incarnation);
        request.listeners.push_back({"PLAINTEXT", "localhost", port, 0});
        for (const metadata::SupportedFeature& feature : metadata::supported_features())
            request.features.push_back(
                {std::string(feature.name), feature.versions.min, feature.versions.max});
        request.log_dirs.emplace_back(uuid(200));
        return run<wire::BrokerRegistrationResponse>(
            [&] { return controller().answer(request, 4, CallContext()); });
    }
    wire::BrokerHeartbeatResponse beat(BrokerEpoch epoch, bool want_shut_down = false) {
        wire::BrokerHeartbeatRequest request;
        request.broker_id = BrokerId(1);
        request.broker_epoch = epoch;
        request.current_metadata_offset = image().offset();
        request.want_shut_down = want_shut_down;
        return run<wire::BrokerHeartbeatResponse>(
            [&] { return controller().answer(request, 1, CallContext()); });
    }
    // Broker 1 serves, and leads a topic whose other replica is the local broker.
    BrokerEpoch start_other() {
        const auto registered = register_other(1);
        EXPECT_EQ(registered.error_code, ErrorCode::none);
        EXPECT_FALSE(beat(registered.broker_epoch).is_fenced);
        wire::CreateTopicsRequest request;
        auto& topic = request.topics.emplace_back();
        topic.name = "orders";
        topic.num_partitions = -1;
        topic.replication_factor = -1;
        topic.assignments.push_back({PartitionIndex(0), {BrokerId(1), BrokerId(0)}});
        const auto created = run<wire::CreateTopicsResponse>(
            [&] { return controller().answer(request, 7, CallContext()); });
        EXPECT_EQ(created.topics.at(0).error_code, ErrorCode::none);
        EXPECT_EQ(leader(), BrokerId(1));
        return registered.broker_epoch;
    }
    BrokerId leader() { return image().topic("orders")->partitions.at(0).leader; }
    bool is_fenced() { return image().broker(BrokerId(1))->fenced; }
    void lose_connection(BrokerEpoch epoch) {
        process().clock().post([this, epoch] { controller().connection_lost(BrokerId(1), epoch); });
    }
    void go_on(std::int64_t milliseconds) {
        bool over = false;
        process().clock().at(process().clock().now() + Duration::milliseconds(milliseconds),
                             [&] { over = true; });
        EXPECT_TRUE(wait([&] { return over; }));
    }
};

TEST(ControllerLiveness, a_dead_process_is_fenced_as_soon_as_its_connection_ends) {
    LivenessWorld world;
    ASSERT_TRUE(world.start().ok());
    const BrokerEpoch epoch = world.start_other();
    const Instant before = world.process().clock().now();
    world.lose_connection(epoch);
    ASSERT_TRUE(world.wait([&] { return world.leader() == BrokerId(0); }));
    EXPECT_TRUE(world.is_fenced());
    EXPECT_LT(world.process().clock().now() - before, Duration::milliseconds(200));
    EXPECT_EQ(world.image().topic("orders")->partitions.at(0).isr,
              std::vector<BrokerId>{BrokerId(0)});
}

TEST(ControllerLiveness, a_live_process_keeps_its_session_when_a_connection_ends) {
    LivenessWorld world;
    ASSERT_TRUE(world.start().ok());
    auto listener = world.ports().network.listen({"localhost", other_port});
    ASSERT_TRUE(listener.ok());
    const BrokerEpoch epoch = world.start_other();
    world.lose_connection(epoch);
    world.go_on(2000);
    EXPECT_FALSE(world.is_fenced());
    EXPECT_FALSE(world.beat(epoch).is_fenced);
    world.go_on(2900);
    EXPECT_FALSE(world.is_fenced());
    // Silence is another matter.
    world.go_on(300);
    EXPECT_TRUE(world.is_fenced());
    EXPECT_EQ(world.leader(), BrokerId(0));
    // It lives after all, and follows now.
    EXPECT_FALSE(world.beat(epoch).is_fenced);
    EXPECT_FALSE(world.is_fenced());
    EXPECT_EQ(world.leader(), BrokerId(0));
}

TEST(ControllerLiveness, an_id_belongs_to_one_process_at_a_time) {
    LivenessWorld world;
    ASSERT_TRUE(world.start().ok());
    auto listener = world.ports().network.listen({"localhost", other_port});
    ASSERT_TRUE(listener.ok());
    const BrokerEpoch epoch = world.start_other();
    EXPECT_EQ(world.register_other(2, 20'000).error_code, ErrorCode::duplicate_broker_registration);
    EXPECT_FALSE(world.is_fenced());
    // The same address, while the former process is connected: a mistake, too.
    EXPECT_EQ(world.register_other(2).error_code, ErrorCode::duplicate_broker_registration);
    world.lose_connection(epoch);
    const auto again = world.register_other(2);
    EXPECT_EQ(again.error_code, ErrorCode::none);
    EXPECT_GT(again.broker_epoch, epoch);
    EXPECT_TRUE(world.is_fenced());
    EXPECT_EQ(world.leader(), BrokerId(0));
    EXPECT_EQ(world.beat(epoch).error_code, ErrorCode::stale_broker_epoch);
    EXPECT_FALSE(world.beat(again.broker_epoch).is_fenced);
}

TEST(ControllerLiveness, an_orderly_shutdown_moves_leaders_first) {
    LivenessWorld world;
    ASSERT_TRUE(world.start().ok());
    const BrokerEpoch epoch = world.start_other();
    const auto begun = world.beat(epoch, true);
    EXPECT_FALSE(begun.should_shut_down);
    EXPECT_FALSE(begun.is_fenced);
    EXPECT_EQ(world.leader(), BrokerId(0));
    world.go_on(150);  // The local broker has read of it.
    EXPECT_TRUE(world.beat(epoch, true).should_shut_down);
    EXPECT_TRUE(world.is_fenced());
}

TEST(ControllerLiveness, a_controller_that_starts_again_finds_out_who_died_meanwhile) {
    LivenessWorld world;
    ASSERT_TRUE(world.start().ok());
    world.start_other();
    world.kill();
    ASSERT_TRUE(world.start().ok());
    ASSERT_TRUE(world.wait([&] { return world.is_fenced(); }));
    // The local broker, too, started again, and may hold less than broker 1 does.
    EXPECT_EQ(world.leader(), no_broker);
    const auto topic = world.image().topic("orders");
    EXPECT_TRUE(topic->partitions.at(0).isr.empty());
    EXPECT_EQ(topic->partitions.at(0).eligible_leader_replicas, std::vector<BrokerId>{BrokerId(1)});
}

}  // namespace
}  // namespace pabal::runtime
