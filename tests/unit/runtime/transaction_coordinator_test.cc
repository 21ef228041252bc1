// The coordinator of transactions on the partitions of one simulated machine: a decision that was
// acknowledged reaches every partition, whoever dies in between.
#include "runtime/transaction_coordinator.h"

#include <gtest/gtest.h>

#include "record/batch_builder.h"
#include "runtime/group_coordinator.h"
#include "runtime/peers.h"
#include "tests/unit/runtime/data_world.h"

namespace pabal::runtime {
namespace {

class TransactionCoordinatorTest : public testing::Test {
protected:
    TransactionCoordinatorTest() {
        EXPECT_TRUE(world.start().ok());
        world.create_topic("orders", 2);
        world.create_topic(std::string(group_topic), 1);
        world.create_topic(std::string(transaction_topic), 4);
        wire::FeatureLevelRecord level;
        level.name = "transaction.version";
        level.feature_level = 2;
        world.apply({metadata::Record(level)});
        begin();
    }
    ~TransactionCoordinatorTest() override { end(); }

    void begin() {
        groups = std::make_unique<GroupCoordinator>(&*world.ports, &world.config,
                                                    world.partitions.get(), &world.log);
        peers = std::make_unique<Peers>(&world.ports->clock, &world.ports->network, "test");
        transactions = std::make_unique<TransactionCoordinator>(
            &*world.ports, &world.config, world.partitions.get(), groups.get(), peers.get(),
            [this](Instant) { return next_id(); }, &world.log);
        groups->apply(metadata::ClusterDelta::all_of(*world.image), world.image);
        transactions->apply(world.image);
    }
    void end() {
        if (!groups) return;
        transactions->stop();
        world.run(groups->stop());
        world.run(peers->stop());
        world.run(transactions->ended());
        transactions.reset();
        peers.reset();
        groups.reset();
    }
    // The process dies, and another one finds what is on the disk.
    void restart() {
        end();
        world.crash(sim::Death::killed);
        ASSERT_TRUE(world.start().ok());
        begin();
    }
    io::Task<Result<ProducerId>> next_id() { co_return ProducerId(last_id_++); }

    transaction::Producer init(const std::string& id, std::int32_t timeout_ms = 60'000) {
        wire::InitProducerIdRequest request;
        request.transactional_id = id;
        request.transaction_timeout_ms = timeout_ms;
        const auto response = world.run(transactions->init_producer_id(request));
        EXPECT_EQ(response.error_code, ErrorCode::none);
        return {id, response.producer_id, response.producer_epoch};
    }
    ErrorCode add(const transaction::Producer& producer, std::string topic, int index) {
        transaction::Partitions partitions;
        partitions[topic].insert(PartitionIndex(index));
        const auto errors = world.run(transactions->take_part(producer, partitions, false));
        return errors.at({topic, PartitionIndex(index)});
    }
    void produce(const transaction::Producer& producer, int index, std::int32_t sequence,
                 std::string value) {
        record::BatchOptions options;
        options.transactional = true;
        options.producer_id = producer.id;
        options.producer_epoch = producer.epoch;
        options.base_sequence = sequence;
        record::RecordBatchBuilder builder(options);
        builder.append(WallTime{1}, std::nullopt, as_bytes(value));
        const auto appended = world.partition("orders", index)
                                  ->append(builder.build(), replication::RequiredAcks::all, true);
        EXPECT_EQ(appended.error, ErrorCode::none);
    }
    wire::EndTxnResponse end_transaction(transaction::Producer* producer, bool commit) {
        wire::EndTxnRequest request;
        request.transactional_id = producer->transactional_id;
        request.producer_id = producer->id;
        request.producer_epoch = producer->epoch;
        request.committed = commit;
        const auto response = world.run(transactions->end(request, 5));
        if (response.error_code == ErrorCode::none) {
            producer->id = response.producer_id;
            producer->epoch = response.producer_epoch;
        }
        return response;
    }
    std::string state_of(const std::string& id) {
        return world.run(transactions->describe(id)).transaction_state;
    }
    void await_state(const std::string& id, const std::string& state) {
        const Instant limit = world.scheduler.now() + Duration::seconds(120);
        while (state_of(id) != state && world.scheduler.now() < limit) {
            const Instant soon = world.scheduler.now() + Duration::milliseconds(10);
            world.scheduler.run_until([] { return false; }, soon);
        }
        ASSERT_EQ(state_of(id), state);
    }
    ReadOutcome read_committed(int index) {
        return world.partition("orders", index)
            ->read({Offset(0)}, replication::Isolation::read_committed, 1 << 20, true);
    }
    std::int64_t committed_offset(const std::string& group) {
        wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
        request.group_id = group;
        auto& topic = request.topics.emplace().emplace_back();
        topic.name = "orders";
        topic.partition_indexes = {PartitionIndex(1)};
        const auto response = world.run(groups->fetch(std::move(request), true));
        const auto& partition = response.topics.at(0).partitions.at(0);
        return partition.error_code == ErrorCode::unstable_offset_commit
                   ? -2
                   : partition.committed_offset.value();
    }
    ErrorCode commit_offset(const transaction::Producer& producer, std::int64_t offset) {
        const CoordinatorLog::Producer self{producer.id, producer.epoch};
        const auto place = world.run(groups->participant("g", self));
        EXPECT_EQ(place.error, ErrorCode::none);
        if (!place.open) {
            EXPECT_EQ(add(producer, std::string(group_topic), place.partition.value()),
                      ErrorCode::none);
        }
        wire::TxnOffsetCommitRequest request;
        request.transactional_id = producer.transactional_id;
        request.group_id = "g";
        request.producer_id = producer.id;
        request.producer_epoch = producer.epoch;
        auto& topic = request.topics.emplace_back();
        topic.name = "orders";
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = PartitionIndex(1);
        partition.committed_offset = Offset(offset);
        const auto response =
            world.run(groups->commit_in_transaction(std::move(request), place.markers));
        return response.topics.at(0).partitions.at(0).error_code;
    }

    DataWorld world;
    std::int64_t last_id_ = 100;
    std::unique_ptr<GroupCoordinator> groups;
    std::unique_ptr<Peers> peers;
    std::unique_ptr<TransactionCoordinator> transactions;
};

TEST_F(TransactionCoordinatorTest, what_is_committed_becomes_stable_in_every_partition) {
    auto producer = init("t");
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    ASSERT_EQ(add(producer, "orders", 1), ErrorCode::none);
    produce(producer, 0, 0, "a");
    produce(producer, 1, 0, "b");
    EXPECT_TRUE(read_committed(0).records.empty());
    EXPECT_EQ(read_committed(1).last_stable_offset, Offset(0));
    EXPECT_EQ(end_transaction(&producer, true).error_code, ErrorCode::none);
    EXPECT_EQ(producer.epoch, ProducerEpoch(1));
    await_state("t", "CompleteCommit");
    for (const int index : {0, 1}) {
        const auto read = read_committed(index);
        EXPECT_EQ(read.last_stable_offset, Offset(2));
        EXPECT_FALSE(read.records.empty());
        EXPECT_TRUE(read.aborted_transactions.empty());
    }
}

TEST_F(TransactionCoordinatorTest, what_is_aborted_is_named_to_readers) {
    auto producer = init("t");
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    produce(producer, 0, 0, "a");
    EXPECT_EQ(end_transaction(&producer, false).error_code, ErrorCode::none);
    await_state("t", "CompleteAbort");
    const auto read = read_committed(0);
    EXPECT_EQ(read.last_stable_offset, Offset(2));
    ASSERT_EQ(read.aborted_transactions.size(), 1u);
    EXPECT_EQ(read.aborted_transactions[0].first_offset, Offset(0));
    // The next transaction goes on at once.
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    produce(producer, 0, 0, "b");
    EXPECT_EQ(read_committed(0).last_stable_offset, Offset(2));
}

TEST_F(TransactionCoordinatorTest, a_transaction_survives_a_kill_and_so_does_its_decision) {
    auto producer = init("t");
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    produce(producer, 0, 0, "a");
    restart();
    EXPECT_EQ(state_of("t"), "Ongoing");
    EXPECT_EQ(add(producer, "orders", 0), ErrorCode::none);
    wire::EndTxnRequest request;
    request.transactional_id = "t";
    request.producer_id = producer.id;
    request.producer_epoch = producer.epoch;
    request.committed = true;
    EXPECT_EQ(world.run(transactions->end(request, 5)).error_code, ErrorCode::none);
    restart();
    await_state("t", "CompleteCommit");
    EXPECT_EQ(read_committed(0).last_stable_offset, world.partition("orders")->high_watermark());
    EXPECT_FALSE(read_committed(0).records.empty());
}

TEST_F(TransactionCoordinatorTest, another_producer_waits_for_the_end_of_what_it_fences) {
    auto zombie = init("t");
    ASSERT_EQ(add(zombie, "orders", 0), ErrorCode::none);
    produce(zombie, 0, 0, "a");
    const auto other = init("t");
    EXPECT_EQ(other.id, zombie.id);
    EXPECT_EQ(other.epoch, ProducerEpoch(2));
    EXPECT_EQ(read_committed(0).aborted_transactions.size(), 1u);
    EXPECT_EQ(end_transaction(&zombie, true).error_code, ErrorCode::producer_fenced);
    EXPECT_EQ(add(zombie, "orders", 0), ErrorCode::invalid_producer_epoch);
}

TEST_F(TransactionCoordinatorTest, time_aborts_a_transaction) {
    const auto producer = init("t", 1'000);
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    produce(producer, 0, 0, "a");
    await_state("t", "CompleteAbort");
    EXPECT_EQ(read_committed(0).aborted_transactions.size(), 1u);
}

TEST_F(TransactionCoordinatorTest, positions_count_with_their_transaction_also_after_a_kill) {
    auto producer = init("t");
    ASSERT_EQ(commit_offset(producer, 5), ErrorCode::none);
    EXPECT_EQ(committed_offset("g"), -2);
    restart();
    EXPECT_EQ(committed_offset("g"), -2);
    ASSERT_EQ(end_transaction(&producer, true).error_code, ErrorCode::none);
    await_state("t", "CompleteCommit");
    EXPECT_EQ(committed_offset("g"), 5);
    ASSERT_EQ(commit_offset(producer, 9), ErrorCode::none);
    ASSERT_EQ(end_transaction(&producer, false).error_code, ErrorCode::none);
    await_state("t", "CompleteAbort");
    EXPECT_EQ(committed_offset("g"), 5);
    restart();
    EXPECT_EQ(committed_offset("g"), 5);
}

TEST_F(TransactionCoordinatorTest, a_marker_that_is_late_does_not_end_the_next_transaction) {
    auto producer = init("t");
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    produce(producer, 0, 0, "a");
    ASSERT_EQ(end_transaction(&producer, true).error_code, ErrorCode::none);
    await_state("t", "CompleteCommit");
    ASSERT_EQ(add(producer, "orders", 0), ErrorCode::none);
    produce(producer, 0, 0, "b");
    wire::WriteTxnMarkersRequest late;
    auto& marker = late.markers.emplace_back();
    marker.producer_id = producer.id;
    marker.producer_epoch = producer.epoch;
    marker.transaction_result = true;
    marker.transaction_version = 2;
    marker.topics.push_back({"orders", {PartitionIndex(0)}});
    const auto response = world.run(transactions->markers().write(late));
    EXPECT_EQ(response.markers.at(0).topics.at(0).partitions.at(0).error_code,
              ErrorCode::invalid_producer_epoch);
    EXPECT_EQ(read_committed(0).last_stable_offset, Offset(2));
}

TEST_F(TransactionCoordinatorTest, a_marker_that_is_late_does_not_make_positions_count) {
    auto producer = init("t");
    ASSERT_EQ(commit_offset(producer, 5), ErrorCode::none);
    ASSERT_EQ(end_transaction(&producer, true).error_code, ErrorCode::none);
    await_state("t", "CompleteCommit");
    ASSERT_EQ(commit_offset(producer, 9), ErrorCode::none);
    wire::WriteTxnMarkersRequest late;
    auto& marker = late.markers.emplace_back();
    marker.producer_id = producer.id;
    marker.producer_epoch = producer.epoch;
    marker.transaction_result = true;
    marker.transaction_version = 2;
    marker.topics.push_back({std::string(group_topic), {PartitionIndex(0)}});
    const auto response = world.run(transactions->markers().write(late));
    EXPECT_EQ(response.markers.at(0).topics.at(0).partitions.at(0).error_code,
              ErrorCode::invalid_producer_epoch);
    ASSERT_EQ(end_transaction(&producer, false).error_code, ErrorCode::none);
    await_state("t", "CompleteAbort");
    EXPECT_EQ(committed_offset("g"), 5);
}

TEST_F(TransactionCoordinatorTest, a_topic_that_is_gone_holds_nothing_up) {
    auto producer = init("t");
    const TopicId doomed = world.create_topic("doomed", 1);
    transactions->apply(world.image);
    ASSERT_EQ(add(producer, "doomed", 0), ErrorCode::none);
    world.delete_topic(doomed);
    transactions->apply(world.image);
    ASSERT_EQ(end_transaction(&producer, true).error_code, ErrorCode::none);
    await_state("t", "CompleteCommit");
}

}  // namespace
}  // namespace pabal::runtime
