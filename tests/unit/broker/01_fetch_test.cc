// Fetch: what is read, when it is answered, and what a session remembers.
#include <gtest/gtest.h>

#include "tests/unit/broker/handler_world.h"

namespace pabal::broker {
namespace {

using Wish = HandlerWorld::Wish;
using Data = wire::FetchResponse::PartitionData;

const Data& only(const wire::FetchResponse& response) {
    return response.responses.at(0).partitions.at(0);
}
std::size_t count(const wire::FetchResponse& response) {
    std::size_t partitions = 0;
    for (const auto& topic : response.responses) partitions += topic.partitions.size();
    return partitions;
}
std::size_t bytes(const wire::FetchResponse& response) {
    std::size_t size = 0;
    for (const auto& topic : response.responses) {
        for (const auto& partition : topic.partitions) size += partition.records->size();
    }
    return size;
}

TEST(Fetch, every_version_reads) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b"}), ErrorCode::none);
    for (int version = 4; version <= 18; ++version) {
        const bool by_id = version >= 13;
        const auto response =
            world.call(HandlerWorld::fetch_request(
                           {{by_id ? "" : "orders", 0, 0, 1 << 20, -1, by_id ? id : TopicId()}}),
                       version);
        EXPECT_EQ(only(response).error_code, ErrorCode::none) << version;
        EXPECT_EQ(only(response).high_watermark, Offset(2));
        EXPECT_EQ(only(response).last_stable_offset, Offset(2));
        EXPECT_EQ(only(response).log_start_offset, Offset(0));
        EXPECT_FALSE(only(response).aborted_transactions);
        EXPECT_GT(only(response).records->size(), 0u);
        EXPECT_EQ(response.session_id, 0);
        wire::Writer writer;
        wire::encode(writer, response, version);
    }
}

TEST(Fetch, errors_of_partitions) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b"}), ErrorCode::none);
    const auto error_of = [&](Wish wish, int version) {
        const auto response = world.call(HandlerWorld::fetch_request({wish}, 500), version);
        EXPECT_TRUE(only(response).records && only(response).records->empty());
        return only(response).error_code;
    };
    EXPECT_EQ(error_of({"nothing"}, 12), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error_of({"orders", 1}, 12), ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(error_of({"", 0, 0, 1, -1, TopicId(Uuid::random(world.ids))}, 13),
              ErrorCode::unknown_topic_id);
    EXPECT_EQ(error_of({"orders", 0, 3}, 12), ErrorCode::offset_out_of_range);
    EXPECT_EQ(error_of({"orders", 0, -1}, 12), ErrorCode::offset_out_of_range);
    EXPECT_EQ(error_of({"orders", 0, 0, 100, 1}, 12), ErrorCode::unknown_leader_epoch);
    EXPECT_EQ(error_of({"", 0, 0, 100, 0, id, 4}, 13), ErrorCode::offset_out_of_range);
}

TEST(Fetch, only_a_replica_of_the_partition_follows_it) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    auto request = HandlerWorld::fetch_request({{"orders"}});
    request.replica_id = BrokerId(2);
    EXPECT_EQ(only(world.call(request, 12)).error_code, ErrorCode::not_leader_or_follower);
    auto later = HandlerWorld::fetch_request({{"", 0, 0, 100, -1, id}});
    later.replica_state.replica_id = BrokerId(2);
    EXPECT_EQ(only(world.call(later, 15)).error_code, ErrorCode::not_leader_or_follower);
}

TEST(Fetch, tells_where_the_past_parts) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b"}), ErrorCode::none);
    wire::PartitionChangeRecord change;
    change.topic_id = id;
    change.partition_id = PartitionIndex(0);
    change.leader = BrokerId(0);
    world.apply({metadata::Record(change)});
    ASSERT_EQ(world.produce(world.partition("orders"), {"c", "d"}), ErrorCode::none);
    const auto response =
        world.call(HandlerWorld::fetch_request({{"orders", 0, 3, 100, 1, {}, 0}}), 12);
    EXPECT_EQ(only(response).error_code, ErrorCode::none);
    EXPECT_EQ(only(response).diverging_epoch.epoch, LeaderEpoch(0));
    EXPECT_EQ(only(response).diverging_epoch.end_offset, Offset(2));
    EXPECT_TRUE(only(response).records->empty());
    const auto fenced = world.call(HandlerWorld::fetch_request({{"orders", 0, 3, 100, 0}}), 12);
    EXPECT_EQ(only(fenced).error_code, ErrorCode::fenced_leader_epoch);
}

TEST(Fetch, limits_of_bytes_leave_the_first_batch_whole) {
    HandlerWorld world;
    world.create_topic("orders", 3);
    const std::string value(1000, 'x');
    for (int index = 0; index < 3; ++index) {
        for (int i = 0; i < 5; ++i)
            ASSERT_EQ(world.produce(world.partition("orders", index), {value}), ErrorCode::none);
    }
    const auto size_of_one =
        bytes(world.call(HandlerWorld::fetch_request({{"orders", 0, 0, 1}}), 12));
    EXPECT_GT(size_of_one, 1000u) << "the first batch although it is larger than asked for";

    auto request = HandlerWorld::fetch_request({{"orders", 0}, {"orders", 1}, {"orders", 2}});
    request.max_bytes = 1;
    auto response = world.call(request, 12);
    EXPECT_EQ(count(response), 3u);
    EXPECT_EQ(bytes(response), size_of_one);
    request.max_bytes = static_cast<std::int32_t>(size_of_one * 7);
    response = world.call(request, 12);
    EXPECT_EQ(response.responses[0].partitions[0].records->size(), size_of_one * 5);
    EXPECT_EQ(response.responses[0].partitions[1].records->size(), size_of_one * 2);
    EXPECT_EQ(response.responses[0].partitions[2].records->size(), 0u);
    EXPECT_EQ(bytes(world.call(HandlerWorld::fetch_request(
                                   {{"orders", 0, 0, static_cast<std::int32_t>(size_of_one * 3)}}),
                               12)),
              size_of_one * 3);
}

TEST(Fetch, waits_for_records_or_its_time) {
    HandlerWorld world;
    world.create_topic("orders", 2);
    const auto begun = world.ports->clock.now();
    auto response = world.call(HandlerWorld::fetch_request({{"orders", 0}}, 400), 12);
    EXPECT_GE(world.ports->clock.now() - begun, Duration::milliseconds(399));
    EXPECT_EQ(bytes(response), 0u);
    EXPECT_EQ(only(response).high_watermark, Offset(0));

    auto pending =
        world.begin(HandlerWorld::fetch_request({{"orders", 0}, {"orders", 1}}, 60'000), 12);
    world.scheduler.run_for(Duration::milliseconds(100));
    EXPECT_FALSE(pending->response);
    ASSERT_EQ(world.produce(world.partition("orders", 1), {"a"}), ErrorCode::none);
    response = world.end(pending.get());
    EXPECT_EQ(count(response), 2u);
    EXPECT_GT(bytes(response), 0u);
}

TEST(Fetch, min_bytes_are_waited_for_over_all_partitions) {
    HandlerWorld world;
    world.create_topic("orders", 2);
    const std::string value(1000, 'x');
    auto request = HandlerWorld::fetch_request({{"orders", 0}, {"orders", 1}}, 60'000);
    request.min_bytes = 2500;
    auto pending = world.begin(request, 12);
    const auto step = [&](std::int32_t index) {
        EXPECT_EQ(world.produce(world.partition("orders", index), {value}), ErrorCode::none);
        world.scheduler.run_for(Duration::milliseconds(10));
    };
    step(0);
    EXPECT_FALSE(pending->response);
    step(1);
    EXPECT_FALSE(pending->response);
    step(0);
    const auto response = world.end(pending.get());
    EXPECT_GE(bytes(response), 3000u);
}

TEST(Fetch, an_unknown_topic_does_not_hurry_the_others) {
    HandlerWorld world;
    world.create_topic("orders");
    auto pending = world.begin(HandlerWorld::fetch_request({{"orders"}, {"nothing"}}, 60'000), 12);
    world.scheduler.run_for(Duration::milliseconds(100));
    EXPECT_FALSE(pending->response);
    ASSERT_EQ(world.produce(world.partition("orders"), {"a"}), ErrorCode::none);
    const auto response = world.end(pending.get());
    EXPECT_EQ(count(response), 2u);
    EXPECT_EQ(response.responses[1].partitions[0].error_code,
              ErrorCode::unknown_topic_or_partition);
}

TEST(Fetch, a_deleted_topic_ends_the_wait) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    auto pending = world.begin(HandlerWorld::fetch_request({{"orders"}}, 60'000), 12);
    world.delete_topic(id);
    EXPECT_EQ(only(world.end(pending.get())).error_code, ErrorCode::unknown_topic_or_partition);
}

class Session {
public:
    Session(HandlerWorld* world, std::vector<Wish> wishes) : world_(world) {
        auto request = HandlerWorld::fetch_request(std::move(wishes));
        request.session_epoch = 0;
        first = world_->call(request, 12);
        id = first.session_id;
    }
    wire::FetchRequest request(std::vector<Wish> changed, std::int32_t max_wait = 0) {
        auto made = HandlerWorld::fetch_request(std::move(changed), max_wait);
        made.session_id = id;
        made.session_epoch = epoch++;
        return made;
    }
    wire::FetchResponse next(std::vector<Wish> changed = {}, std::int32_t max_wait = 0) {
        return world_->call(request(std::move(changed), max_wait), 12);
    }

    wire::FetchResponse first;
    std::int32_t id = 0;
    std::int32_t epoch = 1;

private:
    HandlerWorld* world_;
};

TEST(FetchInSession, tells_only_what_is_new) {
    HandlerWorld world;
    world.create_topic("orders", 3);
    Session session(&world, {{"orders", 0}, {"orders", 1}, {"orders", 2}});
    ASSERT_GT(session.id, 0);
    EXPECT_EQ(count(session.first), 3u);
    EXPECT_EQ(count(session.next()), 0u);
    ASSERT_EQ(world.produce(world.partition("orders", 1), {"a"}), ErrorCode::none);
    auto response = session.next();
    EXPECT_EQ(response.session_id, session.id);
    ASSERT_EQ(count(response), 1u);
    EXPECT_EQ(only(response).partition_index, PartitionIndex(1));
    EXPECT_GT(bytes(response), 0u);
    // The consumer did not move: it gets the same again.
    EXPECT_GT(bytes(session.next()), 0u);
    EXPECT_EQ(count(session.next({{"orders", 1, 1}})), 0u);
    EXPECT_EQ(count(session.next()), 0u);
    // The log's start is news as well.
    ASSERT_TRUE(world.partition("orders", 1)->delete_records(Offset(1)).ok());
    response = session.next();
    ASSERT_EQ(count(response), 1u);
    EXPECT_EQ(only(response).log_start_offset, Offset(1));
}

TEST(FetchInSession, waits_and_wakes) {
    HandlerWorld world;
    world.create_topic("orders", 3);
    Session session(&world, {{"orders", 0}, {"orders", 1}, {"orders", 2}});
    auto pending = world.begin(session.request({}, 60'000), 12);
    world.scheduler.run_for(Duration::milliseconds(50));
    EXPECT_FALSE(pending->response);
    ASSERT_EQ(world.produce(world.partition("orders", 2), {"a"}), ErrorCode::none);
    const auto response = world.end(pending.get());
    ASSERT_EQ(count(response), 1u);
    EXPECT_EQ(only(response).partition_index, PartitionIndex(2));
}

TEST(FetchInSession, serves_all_in_turn_when_the_response_is_small) {
    HandlerWorld world;
    world.create_topic("orders", 4);
    const std::string value(1000, 'x');
    for (int index = 0; index < 4; ++index)
        ASSERT_EQ(world.produce(world.partition("orders", index), {value}), ErrorCode::none);
    Session session(&world,
                    {{"orders", 0, 1}, {"orders", 1, 1}, {"orders", 2, 1}, {"orders", 3, 1}});
    EXPECT_EQ(bytes(session.first), 0u);
    auto request = session.request({{"orders", 0}, {"orders", 1}, {"orders", 2}, {"orders", 3}});
    request.max_bytes = 100;
    auto response = world.call(request, 12);
    std::set<std::int32_t> served;
    for (int round = 0; round < 4; ++round) {
        ASSERT_EQ(count(response), 1u);
        served.insert(only(response).partition_index.value());
        auto again = session.request({});
        again.max_bytes = 100;
        response = world.call(again, 12);
    }
    EXPECT_EQ(served.size(), 4u) << "nobody starves";
}

TEST(FetchInSession, forgets_and_ends) {
    HandlerWorld world;
    world.create_topic("orders", 2);
    Session session(&world, {{"orders", 0}, {"orders", 1}});
    auto request = session.request({});
    auto& forgotten = request.forgotten_topics_data.emplace_back();
    forgotten.topic = "orders";
    forgotten.partitions = {PartitionIndex(1)};
    EXPECT_EQ(world.call(request, 12).error_code, ErrorCode::none);
    ASSERT_EQ(world.produce(world.partition("orders", 1), {"a"}), ErrorCode::none);
    EXPECT_EQ(count(session.next()), 0u);

    auto last = session.request({});
    auto& all = last.forgotten_topics_data.emplace_back();
    all.topic = "orders";
    all.partitions = {PartitionIndex(0)};
    const auto response = world.call(last, 12);
    EXPECT_EQ(response.error_code, ErrorCode::none);
    EXPECT_EQ(response.session_id, 0);
    EXPECT_EQ(session.next().error_code, ErrorCode::fetch_session_id_not_found);
    EXPECT_EQ(world.sessions.size(), 0u);
}

TEST(FetchInSession, errors_of_sessions) {
    HandlerWorld world;
    const auto id = world.create_topic("orders");
    Session session(&world, {{"orders"}});
    session.epoch = 7;
    EXPECT_EQ(session.next().error_code, ErrorCode::invalid_fetch_session_epoch);
    session.epoch = 1;
    EXPECT_EQ(world.call(session.request({{"", 0, 0, 1, -1, id}}), 13).error_code,
              ErrorCode::fetch_session_topic_id_error);
    session.epoch = 1;
    // A full fetch ends the session that it names.
    auto full = HandlerWorld::fetch_request({{"orders"}});
    full.session_id = session.id;
    full.session_epoch = -1;
    EXPECT_EQ(world.call(full, 12).session_id, 0);
    EXPECT_EQ(session.next().error_code, ErrorCode::fetch_session_id_not_found);
}

TEST(FetchInSession, a_newer_request_overtakes_the_one_that_waits) {
    HandlerWorld world;
    world.create_topic("orders");
    Session session(&world, {{"orders"}});
    auto pending = world.begin(session.request({}, 60'000), 12);
    const auto overtaking = session.next();
    EXPECT_EQ(overtaking.error_code, ErrorCode::none);
    EXPECT_EQ(world.end(pending.get()).error_code, ErrorCode::invalid_fetch_session_epoch);
}

TEST(FetchInSession, an_error_is_told_until_it_is_gone_and_the_partition_then) {
    HandlerWorld world;
    Session session(&world, {{"orders"}});
    EXPECT_EQ(only(session.first).error_code, ErrorCode::unknown_topic_or_partition);
    EXPECT_EQ(only(session.next()).error_code, ErrorCode::unknown_topic_or_partition);
    world.create_topic("orders");
    const auto response = session.next();
    ASSERT_EQ(count(response), 1u);
    EXPECT_EQ(only(response).error_code, ErrorCode::none);
    EXPECT_EQ(count(session.next()), 0u);
}

TEST(FetchInSession, without_room_there_is_no_session) {
    HandlerWorld world(1);
    world.create_topic("orders");
    Session first(&world, {{"orders"}});
    EXPECT_GT(first.id, 0);
    Session second(&world, {{"orders"}});
    EXPECT_EQ(second.id, 0);
    EXPECT_EQ(count(second.first), 1u);
}

// A consumer in a session and one that always asks for everything must read the same records.
TEST(FetchInSession, reads_what_a_naive_consumer_reads) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        HandlerWorld world;
        constexpr std::int32_t partitions = 8;
        world.create_topic("orders", partitions);
        Prng random(seed);
        std::vector<std::int64_t> positions(partitions, 0);
        std::vector<Wish> wishes;
        for (std::int32_t i = 0; i < partitions; ++i) wishes.push_back({"orders", i});
        Session session(&world, wishes);
        auto response = session.first;
        const auto consume = [&] {
            std::vector<Wish> moved;
            for (const auto& topic : response.responses) {
                for (const auto& data : topic.partitions) {
                    ASSERT_EQ(data.error_code, ErrorCode::none);
                    if (data.records->empty()) continue;
                    const auto piece = data.records->flatten();
                    record::BatchWalker walker(*piece);
                    const auto index = data.partition_index.value();
                    auto& position = positions[static_cast<std::size_t>(index)];
                    while (true) {
                        auto batch = walker.next();
                        if (!batch.ok() || !*batch) break;
                        ASSERT_LE((*batch)->base_offset().value(), position);
                        position = (*batch)->next_offset().value();
                    }
                    moved.push_back({"orders", index, position});
                }
            }
            auto request = session.request(moved);
            request.max_bytes = static_cast<std::int32_t>(random.between(1, 3000));
            response = world.call(request, 12);
        };
        for (int step = 0; step < 100; ++step) {
            const auto index = static_cast<std::int32_t>(random.below(partitions));
            if (random.chance(1, 2)) {
                ASSERT_EQ(world.produce(world.partition("orders", index),
                                        {std::string(random.below(2000), 'x')}),
                          ErrorCode::none);
            } else {
                consume();
            }
        }
        for (int i = 0; i < 200; ++i) consume();
        for (std::int32_t i = 0; i < partitions; ++i) {
            EXPECT_EQ(positions[static_cast<std::size_t>(i)],
                      world.partition("orders", i)->high_watermark().value())
                << "seed " << seed;
        }
    }
}

}  // namespace
}  // namespace pabal::broker
