// ListOffsets, DeleteRecords, OffsetForLeaderEpoch and DescribeLogDirs.
#include <gtest/gtest.h>

#include "tests/unit/broker/handler_world.h"

namespace pabal::broker {
namespace {

using Offsets = wire::ListOffsetsResponse::ListOffsetsPartitionResponse;

Offsets list(HandlerWorld* world, std::int64_t timestamp, int version, std::string topic = "orders",
             std::int32_t index = 0, std::int32_t epoch = -1) {
    wire::ListOffsetsRequest message;
    message.replica_id = BrokerId(-1);
    auto& asked = message.topics.emplace_back();
    asked.name = std::move(topic);
    auto& partition = asked.partitions.emplace_back();
    partition.partition_index = PartitionIndex(index);
    partition.timestamp = timestamp;
    partition.current_leader_epoch = LeaderEpoch(epoch);
    auto request = world->request(version);
    const auto response =
        world->run(handle_list_offsets(&*world->context, &request, std::move(message)));
    return response.topics.at(0).partitions.at(0);
}

TEST(ListOffsets, names_and_timestamps) {
    HandlerWorld world;
    world.create_topic("orders");
    auto* partition = world.partition("orders");
    EXPECT_EQ(list(&world, -1, 7).offset, Offset(0));
    EXPECT_EQ(list(&world, -1, 7).leader_epoch, LeaderEpoch(0));
    EXPECT_EQ(list(&world, -2, 7).leader_epoch, LeaderEpoch(0));
    EXPECT_EQ(list(&world, -3, 7).offset, Offset(-1));
    const auto base = world.ports->clock.wall_now().milliseconds;
    for (const std::int64_t ago : {5000, 1000, 3000}) {
        ASSERT_EQ(
            partition
                ->append(world.batch({"a", "b"}, base - ago), replication::RequiredAcks::all, true)
                .error,
            ErrorCode::none);
    }
    for (const int version : {1, 4, 6, 11}) {
        EXPECT_EQ(list(&world, -1, version).offset, Offset(6));
        EXPECT_EQ(list(&world, -1, version).timestamp, -1);
        EXPECT_EQ(list(&world, -2, version).offset, Offset(0));
        EXPECT_EQ(list(&world, base - 4000, version).offset, Offset(2));
        EXPECT_EQ(list(&world, base - 4000, version).timestamp, base - 1000);
        EXPECT_EQ(list(&world, base, version).offset, Offset(-1)) << "nothing is that young";
    }
    EXPECT_EQ(list(&world, -3, 7).offset, Offset(2));
    EXPECT_EQ(list(&world, -3, 7).timestamp, base - 1000);
    EXPECT_EQ(list(&world, -4, 8).offset, Offset(0));
    EXPECT_EQ(list(&world, -5, 9).offset, Offset(-1));
    EXPECT_EQ(list(&world, -6, 11).offset, Offset(-1));
    ASSERT_TRUE(partition->delete_records(Offset(3)).ok());
    EXPECT_EQ(list(&world, -2, 7).offset, Offset(3));
    EXPECT_EQ(list(&world, -2, 7).leader_epoch, LeaderEpoch(0));
}

TEST(ListOffsets, errors) {
    HandlerWorld world;
    world.create_topic("orders");
    EXPECT_EQ(list(&world, -3, 6).error_code, ErrorCode::unsupported_version);
    EXPECT_EQ(list(&world, -4, 7).error_code, ErrorCode::unsupported_version);
    EXPECT_EQ(list(&world, -5, 8).error_code, ErrorCode::unsupported_version);
    EXPECT_EQ(list(&world, -6, 10).error_code, ErrorCode::unsupported_version);
    EXPECT_EQ(list(&world, -7, 11).error_code, ErrorCode::unsupported_version);
    EXPECT_EQ(list(&world, -1, 7, "nothing").error_code, ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(list(&world, -1, 7, "orders", 1).error_code, ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(list(&world, -1, 7, "orders", 0, 1).error_code, ErrorCode::unknown_leader_epoch);
}

TEST(ListOffsets, a_partition_asked_twice_is_refused) {
    HandlerWorld world;
    world.create_topic("orders");
    wire::ListOffsetsRequest message;
    auto& asked = message.topics.emplace_back();
    asked.name = "orders";
    asked.partitions.resize(2);
    auto request = world.request(7);
    const auto response =
        world.run(handle_list_offsets(&*world.context, &request, std::move(message)));
    EXPECT_EQ(response.topics[0].partitions[0].error_code, ErrorCode::invalid_request);
    EXPECT_EQ(response.topics[0].partitions[1].error_code, ErrorCode::invalid_request);
}

TEST(DeleteRecords, raises_the_log_start) {
    HandlerWorld world;
    world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b", "c"}), ErrorCode::none);
    const auto remove = [&](std::string topic, std::int32_t index, std::int64_t offset) {
        wire::DeleteRecordsRequest message;
        auto& asked = message.topics.emplace_back();
        asked.name = std::move(topic);
        auto& wish = asked.partitions.emplace_back();
        wish.partition_index = PartitionIndex(index);
        wish.offset = Offset(offset);
        auto request = world.request(2);
        const auto response =
            world.run(handle_delete_records(&*world.context, &request, std::move(message)));
        return response.topics.at(0).partitions.at(0);
    };
    EXPECT_EQ(remove("orders", 0, 1).low_watermark, Offset(1));
    EXPECT_EQ(remove("orders", 0, -1).low_watermark, Offset(3));
    EXPECT_EQ(remove("orders", 0, 4).error_code, ErrorCode::offset_out_of_range);
    EXPECT_EQ(remove("orders", 0, 4).low_watermark, Offset(-1));
    EXPECT_EQ(remove("orders", 1, 0).error_code, ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(remove("nothing", 0, 0).error_code, ErrorCode::unknown_topic_or_partition);
}

TEST(OffsetForLeaderEpoch, ends_of_epochs) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b"}), ErrorCode::none);
    wire::PartitionChangeRecord change;
    change.topic_id = id;
    change.partition_id = PartitionIndex(0);
    change.leader = BrokerId(0);
    world.apply({metadata::Record(change)});
    ASSERT_EQ(world.produce(world.partition("orders"), {"c"}), ErrorCode::none);
    const auto ask = [&](std::int32_t epoch, std::int32_t current, std::int32_t index = 0) {
        wire::OffsetForLeaderEpochRequest message;
        auto& topic = message.topics.emplace_back();
        topic.topic = "orders";
        auto& wish = topic.partitions.emplace_back();
        wish.partition = PartitionIndex(index);
        wish.leader_epoch = LeaderEpoch(epoch);
        wish.current_leader_epoch = LeaderEpoch(current);
        auto request = world.request(4);
        const auto response = world.run(
            handle_offset_for_leader_epoch(&*world.context, &request, std::move(message)));
        return response.topics.at(0).partitions.at(0);
    };
    EXPECT_EQ(ask(0, 1).end_offset, Offset(2));
    EXPECT_EQ(ask(0, 1).leader_epoch, LeaderEpoch(0));
    EXPECT_EQ(ask(1, -1).end_offset, Offset(3));
    EXPECT_EQ(ask(2, 1).end_offset, Offset(-1));
    EXPECT_EQ(ask(2, 1).leader_epoch, LeaderEpoch(-1));
    EXPECT_EQ(ask(0, 0).error_code, ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(ask(0, 2).error_code, ErrorCode::unknown_leader_epoch);
    EXPECT_EQ(ask(0, 1, 5).error_code, ErrorCode::unknown_topic_or_partition);
}

TEST(DescribeLogDirs, tells_sizes_and_space) {
    HandlerWorld world;
    world.create_topic("orders", 2);
    world.create_topic("visits", 1);
    ASSERT_EQ(world.produce(world.partition("orders", 1), {"a"}), ErrorCode::none);
    const auto describe = [&](wire::DescribeLogDirsRequest message) {
        auto request = world.request(4);
        return world.run(handle_describe_log_dirs(&*world.context, &request, std::move(message)));
    };
    wire::DescribeLogDirsRequest all;
    all.topics.reset();
    const auto everything = describe(all);
    ASSERT_EQ(everything.results.size(), 1u);
    const auto& result = everything.results[0];
    EXPECT_EQ(result.log_dir, "/data");
    EXPECT_EQ(result.total_bytes, 1 << 30);
    EXPECT_GT(result.usable_bytes, 0);
    EXPECT_LT(result.usable_bytes, result.total_bytes);
    ASSERT_EQ(result.topics.size(), 2u);
    EXPECT_EQ(result.topics[0].name, "orders");
    ASSERT_EQ(result.topics[0].partitions.size(), 2u);
    EXPECT_EQ(result.topics[0].partitions[0].partition_size, 0);
    EXPECT_GT(result.topics[0].partitions[1].partition_size, 60);
    EXPECT_EQ(result.topics[0].partitions[1].offset_lag, 0);

    wire::DescribeLogDirsRequest some;
    auto& topic = some.topics.emplace().emplace_back();
    topic.topic = "orders";
    topic.partitions = {PartitionIndex(1), PartitionIndex(9)};
    const auto picked = describe(some);
    ASSERT_EQ(picked.results[0].topics.size(), 1u);
    EXPECT_EQ(picked.results[0].topics[0].partitions.size(), 1u);
}

}  // namespace
}  // namespace pabal::broker
