#include "broker/successions.h"

#include <gtest/gtest.h>

#include "broker/request.h"
#include "metadata/record.h"
#include "sim/clock.h"

namespace pabal::broker {
namespace {

constexpr PartitionIndex partition{0};

class SuccessionsTest : public testing::Test {
protected:
    SuccessionsTest() {
        for (const int id : {1, 2}) {
            wire::RegisterBrokerRecord record;
            record.broker_id = BrokerId(id);
            record.broker_epoch = BrokerEpoch(7);
            record.end_points.emplace_back().name = "PLAINTEXT";
            replay(record);
            publish();
            change(id, -1);
        }
        wire::TopicRecord created;
        created.name = "orders";
        created.topic_id = topic_;
        replay(created);
        wire::PartitionRecord record;
        record.topic_id = topic_;
        record.partition_id = partition;
        record.replicas = record.isr = {BrokerId(1), BrokerId(2)};
        record.leader = BrokerId(1);
        record.leader_epoch = LeaderEpoch(0);
        replay(record);
        publish();
        peer_.listener_name = "PLAINTEXT";
        peer_.software_name = "confluent-kafka-python";
        peer_.software_version = "2.6.1-rdkafka-2.6.1";
        peer_.told_of_cluster = clock_.now();
        scheduler_.run_for(Duration::milliseconds(1));
    }

    template <class Content>
    void replay(Content content) {
        metadata::Record record;
        record.content = std::move(content);
        ASSERT_TRUE(image_.replay(record, &delta_).ok());
    }
    void publish() {
        successions_.apply(delta_, image_);
        delta_ = {};
    }
    // 1: yes, -1: no, 0: as it was.
    void change(int id, int fenced, int leaving = 0) {
        wire::BrokerRegistrationChangeRecord record;
        record.broker_id = BrokerId(id);
        record.broker_epoch = BrokerEpoch(7);
        record.fenced = static_cast<std::int8_t>(fenced);
        record.in_controlled_shutdown = static_cast<std::int8_t>(leaving);
        replay(record);
    }
    void lead(int id) {
        wire::PartitionChangeRecord record;
        record.topic_id = topic_;
        record.partition_id = partition;
        record.leader = BrokerId(id);
        replay(record);
    }
    // Which brokers are listed beside the live ones.
    std::vector<BrokerId> listed() {
        wire::MetadataResponse response;
        auto& topic = response.topics.emplace_back();
        topic.topic_id = topic_;
        topic.partitions.emplace_back().partition_index = partition;
        successions_.tell(&response, image_, &peer_);
        std::vector<BrokerId> ids;
        for (const auto& broker : response.brokers) ids.push_back(broker.node_id);
        return ids;
    }

    sim::Scheduler scheduler_{1};
    sim::Clock clock_{scheduler_, "broker", {}};
    TopicId topic_{Uuid{{9}}};
    metadata::ClusterImage image_;
    metadata::ClusterDelta delta_;
    Successions successions_{&clock_};
    Peer peer_;
};

const std::vector<BrokerId> none;
const std::vector<BrokerId> the_lost{BrokerId(1)};

TEST_F(SuccessionsTest, TheFirstAnswerAfterALossListsTheLostBrokerAndTheNextDoesNot) {
    EXPECT_EQ(listed(), none);
    scheduler_.run_for(Duration::milliseconds(1));
    change(1, 1);
    lead(2);
    publish();
    EXPECT_EQ(listed(), the_lost);
    scheduler_.run_for(Duration::milliseconds(1));
    EXPECT_EQ(listed(), none);
}

TEST_F(SuccessionsTest, TheNewLeaderMayComeWithALaterImage) {
    change(1, 1);
    publish();
    lead(2);
    publish();
    EXPECT_EQ(listed(), the_lost);
}

TEST_F(SuccessionsTest, OtherClientsNeverSeeALostBroker) {
    peer_.software_name = "apache-kafka-java";
    peer_.software_version = "4.3.0";
    change(1, 1);
    lead(2);
    publish();
    EXPECT_EQ(listed(), none);
}

TEST_F(SuccessionsTest, WhoConnectsAfterTheLossNeverSeesTheLostBroker) {
    change(1, 1);
    lead(2);
    publish();
    scheduler_.run_for(Duration::milliseconds(1));
    peer_.told_of_cluster = clock_.now();
    EXPECT_EQ(listed(), none);
}

TEST_F(SuccessionsTest, ALossIsForgotten) {
    change(1, 1);
    lead(2);
    publish();
    scheduler_.run_for(Successions::remembered + Duration::milliseconds(1));
    EXPECT_EQ(listed(), none);
}

TEST_F(SuccessionsTest, ABrokerThatIsBackIsListedOnce) {
    change(1, 1);
    lead(2);
    publish();
    change(1, -1);
    publish();
    EXPECT_EQ(listed(), none);
}

TEST_F(SuccessionsTest, ABrokerThatAskedToLeaveIsNotLost) {
    change(1, 0, 1);
    publish();
    change(1, 1);
    lead(2);
    publish();
    EXPECT_EQ(listed(), none);
}

TEST_F(SuccessionsTest, ALeaderThatMovedWhileBothLiveWasNotLost) {
    lead(2);
    publish();
    EXPECT_EQ(listed(), none);
}

}  // namespace
}  // namespace pabal::broker
