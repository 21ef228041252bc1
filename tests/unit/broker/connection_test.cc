// In which order requests take effect and replies leave, what a connection keeps in memory, and how
// it ends.
#include "broker/connection.h"

#include <gmock/gmock.h>

#include <numeric>

#include "tests/unit/broker/connection_world.h"

namespace pabal::broker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Settings = std::map<std::string, std::string>;
constexpr std::size_t mebibyte = 1 << 20;

std::vector<std::int32_t> numbers(std::int32_t count) {
    std::vector<std::int32_t> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

// The bytes of a frame of this length that means nothing.
Bytes beginning(std::uint32_t length, std::size_t count) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(length >> shift & 0xff);
    bytes.resize(4 + count);
    return Bytes::copy_of(bytes);
}

// A request that says nothing in so many bytes: an ApiVersions request, and room behind it.
Bytes padded(std::int32_t correlation_id, std::size_t size) {
    const Bytes small = ConnectionWorld::versions_frame(correlation_id);
    std::string bytes(beginning(static_cast<std::uint32_t>(size), 0).text());
    bytes += small.text().substr(4);
    bytes.resize(4 + size);
    return Bytes::copy_of(bytes);
}

TEST(Connection, replies_leave_in_the_order_of_the_requests) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    for (std::int32_t i = 0; i < 150; ++i) {
        if (i % 3 == 0) client.send(world.produce_frame(i, static_cast<std::size_t>(i * 7)));
        if (i % 3 == 1) client.send(world.fetch_frame(i, 1));
        if (i % 3 == 2) client.send(ConnectionWorld::versions_frame(i));
    }
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 150; }));
    EXPECT_EQ(client.correlation_ids(), numbers(150));
    EXPECT_EQ(world.connections->budget().reserved_bytes(), 0u);
}

TEST(Connection, a_request_takes_effect_when_the_one_before_it_has_ended) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    const auto begun = world.scheduler.now();
    client.send(world.fetch_frame(1, 1000));
    client.send(world.produce_frame(2));
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 2; }));
    EXPECT_GE(world.scheduler.now() - begun, Duration::milliseconds(1000))
        << "the fetch saw what was produced after it";

    // Nothing holds back what another client produces.
    Client other(&world);
    client.send(world.frame(HandlerWorld::fetch_request({{"topic", 0, 1}}, 60'000), 11, 3));
    world.run_for(Duration::milliseconds(100));
    other.send(world.produce_frame(1));
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 3; }));
    EXPECT_LT(world.scheduler.now() - begun, Duration::seconds(10));
}

TEST(Connection, a_produce_follows_another_before_it_is_acknowledged) {
    ConnectionWorld world;
    world.create_topic("topic", 1, {{"flush.messages", "1"}});
    Client client(&world);
    for (std::int32_t i = 0; i < 3; ++i) client.send(world.produce_frame(i));
    const auto& traffic = world.partitions->traffic();
    EXPECT_TRUE(world.soon([&] { return traffic.batches_in == 3 || !client.replies().empty(); }));
    EXPECT_THAT(client.replies(), IsEmpty()) << "none is on disk yet";
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 3; }));
    EXPECT_EQ(client.correlation_ids(), numbers(3));
}

TEST(Connection, frames_that_come_in_pieces_are_put_together) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    const Bytes small = ConnectionWorld::versions_frame(1);
    for (std::size_t i = 0; i < small.size(); ++i) {
        client.send(small, i, 1);
        world.run_for(Duration::milliseconds(50));
    }
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 1; }));
    // The prefix of the second frame comes with the end of the first.
    const Bytes large = world.produce_frame(2, 300'000);
    const Bytes next = world.produce_frame(3, 200'000);
    client.send(large, 0, 2);
    world.run_for(Duration::milliseconds(50));
    client.send(large, 2, large.size() - 2);
    client.send(next, 0, 3);
    world.run_for(Duration::milliseconds(500));
    EXPECT_EQ(client.replies().size(), 2u);
    client.send(next, 3, next.size() - 3);
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 3; }));
    EXPECT_EQ(world.partition("topic")->high_watermark(), Offset(2));
}

TEST(Connection, no_more_than_64_frames_wait_behind_one) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    const Bytes small = ConnectionWorld::versions_frame(1);
    client.send(world.fetch_frame(0, 5000));
    for (std::int32_t i = 1; i < 1000; ++i) client.send(ConnectionWorld::versions_frame(i));
    world.run_for(Duration::seconds(3));
    EXPECT_THAT(client.replies(), IsEmpty());
    const std::size_t held = world.connections->budget().reserved_bytes();
    EXPECT_LE(held, Connection::read_ahead_frames * (small.size() + 100));
    EXPECT_GE(held, (Connection::read_ahead_frames - 1) * (small.size() - 4));
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 1000; }));
    EXPECT_EQ(client.correlation_ids(), numbers(1000));
    EXPECT_EQ(world.connections->budget().reserved_bytes(), 0u);
}

TEST(Connection, no_more_than_4_mebibytes_wait_behind_a_request) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    client.send(world.fetch_frame(0, 20'000));
    for (std::int32_t i = 1; i < 12; ++i) client.send(padded(i, mebibyte));
    world.run_for(Duration::seconds(15));
    EXPECT_THAT(client.replies(), IsEmpty());
    EXPECT_LE(world.connections->budget().reserved_bytes(),
              Connection::read_ahead_bytes + 2 * mebibyte);
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 12; }));
    EXPECT_EQ(client.correlation_ids(), numbers(12));
}

TEST(Connection, a_peer_that_does_not_read_is_not_read) {
    ConnectionWorld world;
    world.create_topic("topic");
    EXPECT_EQ(world.produce(world.partition("topic"), {std::string(20'000, 'x')}),
              ErrorCode::none);
    Client client(&world, false);
    for (std::int32_t i = 0; i < 1500; ++i) client.send(world.fetch_frame(i, 0));
    world.run_for(Duration::seconds(20));
    EXPECT_TRUE(client.writing()) << "the broker took all requests, though no answer is taken";
    EXPECT_LE(world.connections->budget().reserved_bytes(), 64u * 200);

    Client other(&world);
    other.send(ConnectionWorld::versions_frame(1));
    EXPECT_TRUE(world.soon([&] { return other.replies().size() == 1; }));

    client.begin_to_read();
    EXPECT_TRUE(world.scheduler.run_until([&] { return client.replies().size() >= 100; },
                                          world.scheduler.now() + Duration::seconds(600)));
}

TEST(Connection, a_long_frame_waits_for_memory) {
    ConnectionWorld world(Settings{{"queued.max.request.bytes", "1000000"}});
    const auto& budget = world.connections->budget();
    Client holder(&world);
    holder.send(beginning(900'000, 1000));
    EXPECT_TRUE(world.soon([&] { return budget.reserved_bytes() == 900'000; }));
    Client waiter(&world);
    const Bytes large = padded(7, 800'000);
    waiter.send(large);
    EXPECT_TRUE(world.soon([&] { return budget.waiting_count() == 1; }));
    world.run_for(Duration::seconds(5));
    EXPECT_THAT(waiter.replies(), IsEmpty());
    EXPECT_EQ(budget.reserved_bytes(), 900'000u);
    holder.reset();
    EXPECT_TRUE(world.soon([&] { return waiter.replies().size() == 1; }));
    EXPECT_TRUE(world.soon([&] { return budget.reserved_bytes() == 0; }));
}

TEST(Connection, a_frame_larger_than_all_memory_gets_it_alone) {
    ConnectionWorld world(Settings{{"queued.max.request.bytes", "1000"}});
    Client client(&world);
    client.send(padded(1, 500'000));
    client.send(padded(2, 200'000));
    EXPECT_TRUE(world.soon([&] { return client.replies().size() == 2; }));
    EXPECT_THAT(client.correlation_ids(), ElementsAre(1, 2));
    EXPECT_EQ(world.connections->budget().reserved_bytes(), 0u);
}

TEST(Connection, who_waits_for_memory_gets_it_when_an_idle_holder_is_let_go) {
    ConnectionWorld world(
        Settings{{"queued.max.request.bytes", "1000"}, {"connections.max.idle.ms", "2000"}});
    Client holder(&world);
    holder.send(beginning(5000, 100));
    world.run_for(Duration::milliseconds(500));
    Client waiter(&world);
    waiter.send(padded(1, 4000));
    EXPECT_TRUE(world.soon([&] { return waiter.replies().size() == 1; }));
    EXPECT_TRUE(world.soon([&] { return holder.ended(); }));
}

TEST(Connection, the_idle_are_let_go_and_the_patient_are_not) {
    ConnectionWorld world(Settings{{"connections.max.idle.ms", "1000"}});
    world.create_topic("topic");
    Client silent(&world);
    Client halfway(&world);
    halfway.send(world.produce_frame(1), 0, 20);
    Client patient(&world);
    patient.send(world.fetch_frame(1, 5000));
    Client busy(&world);
    for (std::int32_t i = 0; i < 6; ++i) {
        busy.send(ConnectionWorld::versions_frame(i));
        world.run_for(Duration::milliseconds(500));
        if (i == 0) {
            EXPECT_EQ(world.connections->count(), 4u);
        }
    }
    EXPECT_TRUE(silent.ended());
    EXPECT_FALSE(silent.was_reset());
    EXPECT_TRUE(halfway.ended());
    EXPECT_FALSE(patient.ended());
    EXPECT_FALSE(busy.ended());
    EXPECT_EQ(world.connections->count(), 2u);
    EXPECT_TRUE(world.soon([&] { return patient.replies().size() == 1; }));
    EXPECT_TRUE(world.soon([&] { return patient.ended() && busy.ended(); }));
    EXPECT_EQ(world.connections->count(), 0u);
}

TEST(Connection, who_does_not_take_an_answer_is_let_go_with_a_reset) {
    ConnectionWorld world(Settings{{"connections.max.idle.ms", "1000"}});
    world.create_topic("topic");
    EXPECT_EQ(world.produce(world.partition("topic"), {std::string(1'000'000, 'x')}),
              ErrorCode::none);
    Client client(&world, false);
    client.send(world.fetch_frame(1, 0));
    EXPECT_TRUE(world.soon([&] { return world.connections->count() == 0; }));
    client.begin_to_read();
    EXPECT_TRUE(world.soon([&] { return client.ended(); }));
    EXPECT_TRUE(client.was_reset());
}

TEST(Connection, a_frame_that_cannot_be_ends_the_connection_after_the_answers_before_it) {
    const Bytes wrong[] = {beginning(0xffffffff, 10), beginning((100 << 20) + 1, 10),
                           beginning(7, 7), beginning(0, 0), beginning(30, 30)};
    for (const Bytes& frame : wrong) {
        ConnectionWorld world;
        world.create_topic("topic");
        Client client(&world);
        client.send(world.fetch_frame(1, 500));
        client.send(frame);
        client.send(ConnectionWorld::versions_frame(2));
        EXPECT_TRUE(world.soon([&] { return client.ended(); }));
        EXPECT_THAT(client.correlation_ids(), ElementsAre(1));
        EXPECT_EQ(world.connections->budget().reserved_bytes(), 0u);
        EXPECT_THAT(world.metrics.render(), HasSubstr("pabal_connections_refused_total 1"));
    }
}

TEST(Connection, a_malformed_body_ends_the_connection_in_its_turn) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    const Bytes good = world.produce_frame(2);
    client.send(ConnectionWorld::versions_frame(1));
    std::string cut(good.begin(), good.end());
    cut.resize(40);
    cut[3] = 36;
    client.send(Bytes::copy_of(cut));
    client.send(ConnectionWorld::versions_frame(3));
    EXPECT_TRUE(world.soon([&] { return client.ended(); }));
    EXPECT_THAT(client.correlation_ids(), ElementsAre(1));
    EXPECT_EQ(world.partition("topic")->high_watermark(), Offset(0));
}

TEST(Connection, what_was_asked_before_the_peer_closed_is_answered) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client client(&world);
    client.send(world.fetch_frame(1, 300));
    client.send(world.produce_frame(2));
    world.wait([&] { return !client.writing(); });
    client.close();
    EXPECT_TRUE(world.soon([&] { return world.connections->count() == 0; }));
    EXPECT_EQ(world.partition("topic")->high_watermark(), Offset(1));
}

TEST(Connection, a_peer_that_is_gone_leaves_nothing_behind) {
    ConnectionWorld world;
    world.create_topic("topic");
    for (int i = 0; i < 20; ++i) {
        Client client(&world, i % 2 == 0);
        client.send(world.fetch_frame(1, 100));
        for (std::int32_t n = 2; n < 20; ++n) client.send(world.produce_frame(n, 20'000));
        world.run_for(Duration::milliseconds(i));
        client.reset();
    }
    EXPECT_TRUE(world.soon([&] { return world.connections->count() == 0; }));
    EXPECT_EQ(world.connections->budget().reserved_bytes(), 0u);
}

TEST(Connection, stopping_answers_what_was_received) {
    ConnectionWorld world;
    world.create_topic("topic");
    Client asking(&world);
    Client silent(&world);
    asking.send(world.fetch_frame(1, 500));
    asking.send(ConnectionWorld::versions_frame(2));
    world.run_for(Duration::milliseconds(100));
    world.connections->stop();
    world.end();
    EXPECT_TRUE(world.soon([&] { return asking.ended() && silent.ended(); }));
    EXPECT_THAT(asking.correlation_ids(), ElementsAre(1, 2));
    EXPECT_FALSE(asking.was_reset());
    Client late(&world);
    EXPECT_TRUE(world.soon([&] { return late.ended(); }));
}

TEST(Connection, a_reset_answers_nothing) {
    ConnectionWorld world(Settings{{"queued.max.request.bytes", "1000"}});
    world.create_topic("topic");
    Client asking(&world);
    asking.send(world.fetch_frame(1, 500));
    Client holder(&world);
    holder.send(beginning(5000, 100));
    world.run_for(Duration::milliseconds(100));
    Client waiter(&world);
    waiter.send(padded(1, 4000));
    world.run_for(Duration::milliseconds(100));
    world.connections->reset();
    world.end();
    EXPECT_TRUE(world.soon([&] { return asking.ended() && holder.ended() && waiter.ended(); }));
    EXPECT_THAT(asking.replies(), IsEmpty());
    EXPECT_TRUE(asking.was_reset());
}

TEST(Connection, connections_beyond_the_limits_wait_or_are_refused) {
    {
        ConnectionWorld world(Settings{{"max.connections.per.ip", "3"}});
        std::vector<std::unique_ptr<Client>> clients;
        for (int i = 0; i < 5; ++i) clients.push_back(std::make_unique<Client>(&world));
        EXPECT_TRUE(world.soon([&] { return clients[3]->ended() && clients[4]->ended(); }));
        EXPECT_EQ(world.connections->count(), 3u);
        clients[0]->send(ConnectionWorld::versions_frame(1));
        EXPECT_TRUE(world.soon([&] { return clients[0]->replies().size() == 1; }));
    }
    ConnectionWorld world(Settings{{"max.connections", "2"}});
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<Client>(&world));
        clients.back()->send(ConnectionWorld::versions_frame(i));
    }
    world.run_for(Duration::seconds(5));
    EXPECT_EQ(world.connections->count(), 2u);
    EXPECT_THAT(clients[3]->replies(), IsEmpty());
    clients[0].reset();
    clients[1].reset();
    EXPECT_TRUE(world.soon([&] { return clients[3]->replies().size() == 1; }));
}

}  // namespace
}  // namespace pabal::broker
