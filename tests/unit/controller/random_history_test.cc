// Brokers come and go, leaders report, clients ask, in any order: whatever happens, each partition
// keeps the laws that replication rests on.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "controller/alter_partition.h"
#include "controller/brokers.h"
#include "controller/leadership.h"
#include "controller/partition_change.h"
#include "controller/reassignment.h"
#include "controller/sessions.h"
#include "controller/topics.h"
#include "metadata/record.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::PartitionImage;
using metadata::Record;

constexpr int broker_count = 5;

class History {
public:
    History(std::uint64_t seed, bool keeps_eligible)
        : keeps_eligible_(keeps_eligible),
          config_(*metadata::BrokerConfig::parse(
              {{"node.id", "0"},
               {"process.roles", "broker,controller"},
               {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
               {"controller.listener.names", "CONTROLLER"}})),
          random_(seed),
          topics_(config_, random_.fork("topics")) {
        wire::FeatureLevelRecord record;
        record.name = "metadata.version";
        record.feature_level = metadata::metadata_version_4_3;
        apply({record});
        if (keeps_eligible_) {
            record.name = "eligible.leader.replicas.version";
            record.feature_level = 1;
            apply({record});
        }
        for (int i = 0; i < broker_count; ++i) {
            join(BrokerId(i));
            beat(BrokerId(i), false, false);
        }
        create("clean", "false");
        create("unclean", "true");
    }

    void step() {
        switch (random_.below(10)) {
            case 0: return apply(fence_broker(any_broker(), config_, image_));
            case 1: return join(any_broker());
            case 2:
            case 3: return beat(any_broker(), false, random_.below(8) == 0);
            case 4: return beat(any_broker(), true, false);
            case 5:
            case 6:
            case 7: return report();
            case 8: return reassign();
            default: return elect();
        }
    }

private:
    BrokerId any_broker() {
        return BrokerId(static_cast<std::int32_t>(random_.below(broker_count)));
    }
    std::shared_ptr<const metadata::TopicImage> any_topic() {
        return image_.topic(random_.below(2) == 0 ? "clean" : "unclean");
    }

    void create(std::string name, std::string unclean) {
        wire::CreateTopicsRequest request;
        auto& topic = request.topics.emplace_back();
        topic.name = std::move(name);
        topic.num_partitions = 6;
        topic.replication_factor = 3;
        auto& config = topic.configs.emplace_back();
        config.name = "unclean.leader.election.enable";
        config.value = std::move(unclean);
        auto& least = topic.configs.emplace_back();
        least.name = "min.insync.replicas";
        least.value = "2";
        apply(topics_.create(request, image_).records);
    }

    void join(BrokerId id) {
        wire::BrokerRegistrationRequest request;
        request.broker_id = id;
        request.cluster_id = "c";
        request.incarnation_id = Uuid::random(random_);
        request.listeners.push_back({"PLAINTEXT", "localhost", 9092, 0});
        request.features = {{"metadata.version", 7, 30},
                            {"eligible.leader.replicas.version", 0, 1}};
        const bool orderly = image_.broker(id) && random_.below(2) == 0;
        if (orderly) request.previous_broker_epoch = image_.broker(id)->epoch;
        Uuid directory;
        directory.bytes[0] = 1;
        directory.bytes[15] = static_cast<std::uint8_t>(id.value());
        request.log_dirs.emplace_back(directory);
        auto outcome = register_broker(request, Predecessor::is_gone, "c", next_, config_, image_);
        ASSERT_EQ(outcome.response.error_code, ErrorCode::none);
        if (!orderly) lose_the_end_of(id);
        apply(outcome.records);
    }

    void beat(BrokerId id, bool want_shut_down, bool want_fence) {
        wire::BrokerHeartbeatRequest request;
        request.broker_id = id;
        request.broker_epoch = image_.broker(id)->epoch;
        request.current_metadata_offset = next_;
        request.want_shut_down = want_shut_down;
        request.want_fence = want_fence;
        apply(heartbeat(request, random_.below(2) == 0, config_, image_).records);
    }

    // The leader of some partition reports who is in sync with it, now and then with old epochs.
    void report() {
        auto topic = any_topic();
        const auto index = random_.below(topic->partitions.size());
        const PartitionImage& partition = topic->partitions[index];
        if (partition.leader == no_broker) return;
        wire::AlterPartitionRequest request;
        request.broker_id = partition.leader;
        request.broker_epoch = image_.broker(partition.leader)->epoch;
        auto& asked_topic = request.topics.emplace_back();
        asked_topic.topic_id = topic->id;
        auto& asked = asked_topic.partitions.emplace_back();
        asked.partition_index = PartitionIndex(static_cast<std::int32_t>(index));
        asked.leader_epoch = partition.leader_epoch;
        asked.partition_epoch = partition.partition_epoch;
        if (random_.below(10) == 0) asked.partition_epoch = asked.partition_epoch - 1;
        for (BrokerId replica : partition.replicas)
            if (replica == partition.leader ||
                (!partition.leader_recovering && random_.below(4) != 0))
                asked.new_isr_with_epochs.push_back({replica, image_.broker(replica)->epoch});
        asked.leader_recovery_state = 0;
        for (const auto& state : asked.new_isr_with_epochs) reported_.push_back(state.broker_id);
        apply(alter_partition(request, 3, config_, image_).records);
        reported_.clear();
    }

    void reassign() {
        wire::AlterPartitionReassignmentsRequest request;
        auto topic = any_topic();
        auto& asked_topic = request.topics.emplace_back();
        asked_topic.name = topic->name;
        auto& asked = asked_topic.partitions.emplace_back();
        asked.partition_index =
            PartitionIndex(static_cast<std::int32_t>(random_.below(topic->partitions.size())));
        if (random_.below(4) != 0) {
            auto& replicas = asked.replicas.emplace();
            const std::size_t count = 1 + random_.below(3);
            while (replicas.size() < count) {
                const BrokerId broker = any_broker();
                if (!contains(replicas, broker)) replicas.push_back(broker);
            }
        }
        apply(controller::reassign(request, config_, image_, random_).records);
    }

    void elect() {
        wire::ElectLeadersRequest request;
        unclean_asked_ = random_.below(4) == 0;
        request.election_type = unclean_asked_ ? 1 : 0;
        apply(elect_leaders(request, config_, image_).records);
        unclean_asked_ = false;
        if (random_.below(4) != 0) return;
        std::vector<Record> records;
        balance_leaders(image_, config_, 3, records);
        apply(records);
    }

    void apply(const std::vector<Record>& records) {
        const ClusterImage before = image_;
        for (const Record& record : records) {
            auto replayed = image_.replay(record, nullptr);
            ASSERT_TRUE(replayed.ok()) << replayed.error().message;
            next_ = next_ + 1;
        }
        for (const auto& topic : image_.topics()) {
            auto former = before.topic(topic->id);
            for (std::size_t i = 0; i < topic->partitions.size(); ++i)
                check(*topic, topic->partitions[i], former ? &former->partitions.at(i) : nullptr);
            for (std::size_t i = 0; i < topic->partitions.size(); ++i)
                reckon({topic->id, PartitionIndex(static_cast<std::int32_t>(i))},
                       topic->partitions[i]);
        }
    }

    void check(const metadata::TopicImage& topic, const PartitionImage& partition,
               const PartitionImage* before) {
        auto distinct = [](const Replicas& brokers) {
            return std::set<BrokerId>(brokers.begin(), brokers.end()).size() == brokers.size();
        };
        EXPECT_TRUE(!partition.replicas.empty() && distinct(partition.replicas));
        EXPECT_TRUE(distinct(partition.isr));
        EXPECT_TRUE(keeps_eligible_ || !partition.isr.empty());
        check_eligible(partition);
        EXPECT_EQ(partition.directories.size(), partition.replicas.size());
        for (BrokerId replica : partition.isr) EXPECT_TRUE(contains(partition.replicas, replica));
        for (BrokerId replica : partition.adding)
            EXPECT_TRUE(contains(partition.replicas, replica));
        for (BrokerId replica : partition.removing)
            EXPECT_TRUE(contains(partition.replicas, replica));
        // KIP-841: who is fenced is in sync only as the last one that was.
        for (BrokerId replica : partition.isr)
            EXPECT_TRUE(!image_.broker(replica)->fenced ||
                        (!keeps_eligible_ && partition.isr.size() == 1));
        if (partition.leader == no_broker) {
            for (BrokerId replica : partition.isr) EXPECT_FALSE(is_active(image_, replica));
        } else {
            EXPECT_TRUE(contains(partition.isr, partition.leader));
            EXPECT_FALSE(image_.broker(partition.leader)->fenced);
        }
        // KIP-704.
        EXPECT_TRUE(!partition.leader_recovering || partition.isr.size() <= 1);
        if (!before) return;
        EXPECT_GE(partition.leader_epoch, before->leader_epoch);
        EXPECT_EQ(partition == *before, partition.partition_epoch == before->partition_epoch);
        EXPECT_TRUE(partition.leader == before->leader ||
                    partition.leader_epoch > before->leader_epoch);
        // What was acknowledged stays with who may lead, unless losing it is allowed. Whom the
        // leader reports to be in sync may follow it at once, where it is to be removed.
        const bool clean = partition.leader == no_broker ||
                           contains(before->isr, partition.leader) ||
                           contains(reported_, partition.leader) ||
                           contains(before->eligible_leader_replicas, partition.leader) ||
                           contains(before->last_known_elr, partition.leader);
        EXPECT_TRUE(clean || unclean_asked_ || topic.name == "unclean");
    }

    // What KIP-966 promises, by a reckoning of its own of who holds all that is committed: those in
    // sync while they are enough to commit, and of these, later, whoever has lost nothing since.
    void check_eligible(const PartitionImage& partition) {
        const Replicas& eligible = partition.eligible_leader_replicas;
        EXPECT_TRUE(keeps_eligible_ || eligible.empty());
        for (BrokerId replica : eligible) {
            EXPECT_TRUE(contains(partition.replicas, replica));
            EXPECT_FALSE(contains(partition.isr, replica));
        }
        const std::size_t least = std::min<std::size_t>(2, partition.replicas.size());
        EXPECT_TRUE(eligible.empty() || partition.isr.size() < least);
        if (!partition.isr.empty() || partition.leader != no_broker) return;
        for (BrokerId replica : eligible) EXPECT_FALSE(is_active(image_, replica));
    }

    // The replicas that hold all that is committed, whatever the controller believes.
    void reckon(const TopicPartition& id, const PartitionImage& partition) {
        const std::size_t least = std::min<std::size_t>(2, partition.replicas.size());
        auto& whole = whole_[id];
        if (partition.leader_recovering && partition.leader != no_broker) {
            // Something may be lost, as is allowed: from here on this is what there is.
            whole = {partition.leader};
        } else if (partition.isr.size() >= least) {
            whole = {partition.isr.begin(), partition.isr.end()};
        }
        if (!keeps_eligible_) return;
        for (BrokerId replica : partition.eligible_leader_replicas)
            EXPECT_TRUE(whole.contains(replica)) << "an eligible replica misses something";
        EXPECT_TRUE(partition.leader == no_broker || whole.contains(partition.leader))
            << "a clean leader misses something";
    }

    void lose_the_end_of(BrokerId broker) {
        for (auto& [id, whole] : whole_) whole.erase(broker);
    }

    const bool keeps_eligible_;
    std::map<TopicPartition, std::set<BrokerId>> whole_;
    metadata::BrokerConfig config_;
    Prng random_;
    Topics topics_;
    ClusterImage image_;
    Offset next_{0};
    bool unclean_asked_ = false;
    Replicas reported_;
};

TEST(ControllerMachines, keep_the_laws_of_replication_in_any_history) {
    for (std::uint64_t seed = 1; seed <= 400; ++seed) {
        SCOPED_TRACE(seed);
        History history(seed, seed % 2 == 0);
        for (int i = 0; i < 200 && !testing::Test::HasFailure(); ++i) history.step();
        if (testing::Test::HasFailure()) break;
    }
}

}  // namespace
}  // namespace pabal::controller
