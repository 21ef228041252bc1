// Produce, version by version and error by error.
#include <gtest/gtest.h>

#include "tests/unit/broker/handler_world.h"

namespace pabal::broker {
namespace {

const wire::ProduceResponse::PartitionProduceResponse& only(const wire::ProduceResponse& response) {
    return response.responses.at(0).partition_responses.at(0);
}

TEST(Produce, every_version_appends) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    for (int version = 3; version <= 13; ++version) {
        auto request = HandlerWorld::produce_request();
        const bool by_id = version >= 13;
        HandlerWorld::add(&request, by_id ? "" : "orders", 0, world.batch({"a", "b"}),
                          by_id ? id : TopicId());
        const auto response = world.call(request, version);
        EXPECT_EQ(only(response).error_code, ErrorCode::none) << version;
        EXPECT_EQ(only(response).base_offset, Offset((version - 3) * 2)) << version;
        EXPECT_EQ(only(response).log_append_time_ms, -1);
        EXPECT_EQ(only(response).log_start_offset, Offset(0));
        EXPECT_EQ(response.responses[0].name, by_id ? "" : "orders");
        EXPECT_EQ(response.responses[0].topic_id, by_id ? id : TopicId());
        // Every field has its place in that version.
        wire::Writer writer;
        wire::encode(writer, response, version);
    }
}

TEST(Produce, unknown_names_ids_and_partitions) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    const auto error_of = [&](std::string topic, TopicId topic_id, std::int32_t index,
                              int version) {
        auto request = HandlerWorld::produce_request();
        HandlerWorld::add(&request, std::move(topic), index, world.batch({"a"}), topic_id);
        const auto response = world.call(request, version);
        EXPECT_EQ(only(response).base_offset, Offset(-1));
        return only(response).error_code;
    };
    EXPECT_EQ(error_of("nothing", {}, 0, 12), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error_of("orders", {}, 1, 12), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error_of("orders", {}, -1, 12), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error_of("", id, 1, 13), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error_of("", TopicId(), 0, 13), ErrorCode::unknown_topic_id);
    EXPECT_EQ(error_of("", TopicId(Uuid::random(world.ids)), 0, 13), ErrorCode::unknown_topic_id);
}

TEST(Produce, each_partition_has_its_own_answer) {
    HandlerWorld world;
    world.create_topic("orders", 2);
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "orders", 0, world.batch({"a"}));
    HandlerWorld::add(&request, "nothing", 0, world.batch({"a"}));
    HandlerWorld::add(&request, "orders", 1, std::nullopt);
    HandlerWorld::add(&request, "orders", 0, Bytes::copy_of("short"));
    HandlerWorld::add(&request, "orders", 0, world.batch({"b"}));
    RequestContext outcome;
    const auto response = world.call(request, 9, &outcome);
    ASSERT_EQ(response.responses.size(), 5u);
    const auto error = [&](std::size_t i) {
        return response.responses[i].partition_responses.at(0).error_code;
    };
    EXPECT_EQ(error(0), ErrorCode::none);
    EXPECT_EQ(error(1), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error(2), ErrorCode::invalid_record);
    EXPECT_NE(error(3), ErrorCode::none);
    EXPECT_EQ(error(4), ErrorCode::none) << "named twice: both are appended";
    EXPECT_EQ(world.values(world.partition("orders", 0)), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(outcome.first_error, ErrorCode::unknown_topic_or_partition);
}

TEST(Produce, acks) {
    HandlerWorld world;
    world.create_topic("orders");
    for (const std::int16_t acks : {-2, 2, 100}) {
        auto request = HandlerWorld::produce_request(acks);
        HandlerWorld::add(&request, "orders", 0, world.batch({"a"}));
        EXPECT_EQ(only(world.call(request, 9)).error_code, ErrorCode::invalid_required_acks);
    }
    EXPECT_EQ(world.partition("orders")->high_watermark(), Offset(0));

    auto silent = HandlerWorld::produce_request(0);
    HandlerWorld::add(&silent, "orders", 0, world.batch({"a"}));
    RequestContext outcome;
    world.call(silent, 9, &outcome);
    EXPECT_TRUE(outcome.suppress_reply);
    EXPECT_FALSE(outcome.close_connection);
    EXPECT_EQ(world.partition("orders")->high_watermark(), Offset(1));

    auto wrong = HandlerWorld::produce_request(0);
    HandlerWorld::add(&wrong, "nothing", 0, world.batch({"a"}));
    RequestContext closed;
    world.call(wrong, 9, &closed);
    EXPECT_TRUE(closed.close_connection);
}

TEST(Produce, what_is_not_served_or_not_allowed_says_so) {
    HandlerWorld world;
    world.create_topic("orders");
    world.create_topic("__consumer_offsets");
    auto transactional = HandlerWorld::produce_request();
    record::BatchOptions options;
    options.transactional = true;
    options.producer_id = ProducerId(1);
    options.producer_epoch = ProducerEpoch(0);
    options.base_sequence = 0;
    record::RecordBatchBuilder builder(options);
    builder.append(WallTime{1}, std::nullopt, as_bytes("a"));
    HandlerWorld::add(&transactional, "orders", 0, builder.build());
    EXPECT_EQ(only(world.call(transactional, 9)).error_code,
              ErrorCode::transactional_id_authorization_failed);
    EXPECT_EQ(world.partition("orders")->high_watermark(), Offset(0));

    auto internal = HandlerWorld::produce_request();
    HandlerWorld::add(&internal, "__consumer_offsets", 0, world.batch({"a"}));
    EXPECT_EQ(only(world.call(internal, 9)).error_code, ErrorCode::invalid_topic_exception);
    RequestContext admin;
    admin.client_id = "__admin_client";
    EXPECT_EQ(only(world.call(internal, 9, &admin)).error_code, ErrorCode::none);
}

TEST(Produce, records_to_blame_are_told) {
    HandlerWorld world;
    world.create_topic("orders", 1, {{"message.timestamp.before.max.ms", "1000"}});
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "orders", 0, world.batch({"a", "b"}, 12345));
    const auto response = world.call(request, 9);
    EXPECT_EQ(only(response).error_code, ErrorCode::invalid_timestamp);
    EXPECT_TRUE(only(response).error_message);
    ASSERT_EQ(only(response).record_errors.size(), 2u);
    EXPECT_EQ(only(response).record_errors[1].batch_index, 1);
}

TEST(Produce, log_append_time_is_told) {
    HandlerWorld world;
    world.create_topic("orders", 1, {{"message.timestamp.type", "LogAppendTime"}});
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "orders", 0, world.batch({"a"}, 12345));
    const auto now = world.ports->clock.wall_now().milliseconds;
    const auto response = world.call(request, 9);
    EXPECT_NEAR(static_cast<double>(only(response).log_append_time_ms), static_cast<double>(now),
                1000);
}

TEST(Produce, zstd_needs_version_seven) {
    HandlerWorld world;
    world.create_topic("orders");
    record::BatchOptions options;
    options.compression = record::Compression::zstd;
    record::RecordBatchBuilder builder(options);
    builder.append(world.ports->clock.wall_now(), std::nullopt, as_bytes("value"));
    record::Codecs codecs;
    const auto batch = builder.build(codecs);
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "orders", 0, batch);
    EXPECT_EQ(only(world.call(request, 6)).error_code, ErrorCode::unsupported_compression_type);
    EXPECT_EQ(only(world.call(request, 7)).error_code, ErrorCode::none);
}

TEST(Produce, the_current_leader_is_told) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    wire::PartitionChangeRecord change;
    change.topic_id = id;
    change.partition_id = PartitionIndex(0);
    change.leader = BrokerId(3);
    world.apply({metadata::Record(change)});
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "orders", 0, world.batch({"a"}));
    const auto response = world.call(request, 10);
    EXPECT_EQ(only(response).error_code, ErrorCode::not_leader_or_follower);
    EXPECT_EQ(only(response).current_leader.leader_id, BrokerId(3));
    EXPECT_EQ(only(response).current_leader.leader_epoch, LeaderEpoch(1));
    EXPECT_EQ(only(world.call(request, 9)).current_leader.leader_id, no_broker);
}

}  // namespace
}  // namespace pabal::broker
