// From a frame to its reply: which APIs and versions a listener serves, and what is counted.
#include "broker/dispatch.h"

#include <gmock/gmock.h>

#include "tests/unit/broker/connection_world.h"
#include "wire/create_topics.h"
#include "wire/response_header.h"

namespace pabal::broker {
namespace {

using testing::HasSubstr;
using testing::Not;

class DispatchWorld : public HandlerWorld {
public:
    DispatchWorld() : dispatch(context.get()) {}

    // The reply to the content of a frame, or why the connection is closed instead.
    Dispatch::Answer answer(const Bytes& content) {
        Dispatch::Call call;
        Dispatch::Answer refused;
        if (!dispatch.open(content, &peer, ports->clock.now(), &call, &refused.close_because))
            return refused;
        return run(dispatch.run(&call));
    }
    template <class Request>
    Dispatch::Answer answer(const Request& request, int version) {
        return answer(ConnectionWorld::frame(request, version, 7).slice(4));
    }
    // A header alone, with a null client id and some bytes behind it.
    Dispatch::Answer answer(int key, int version) {
        std::string bytes;
        for (const int part : {key >> 8, key, version >> 8, version, 0, 0, 0, 7, 0xff, 0xff, 0})
            bytes += static_cast<char>(part);
        bytes.append(8, '\0');
        return answer(Bytes::copy_of(bytes));
    }

    Dispatch dispatch;
};

wire::ApiVersionsResponse decoded_versions(const Rope& reply, int version) {
    wire::Reader reader(reply.flatten()->slice(8));
    wire::ApiVersionsResponse response;
    EXPECT_TRUE(decode(reader, response, version).ok());
    EXPECT_TRUE(reader.finish().ok());
    return response;
}

TEST(Dispatch, api_versions_lists_what_the_listener_serves) {
    DispatchWorld world;
    for (const auto role : {ListenerRole::broker, ListenerRole::controller}) {
        world.peer.role = role;
        for (int version = 0; version <= 2; ++version) {
            const auto answer = world.answer(wire::ApiVersionsRequest(), version);
            EXPECT_EQ(answer.close_because, "");
            const auto response = decoded_versions(answer.reply, version);
            EXPECT_EQ(response.error_code, ErrorCode::none);
            for (const auto& row : wire::api_table()) {
                const bool served = role == ListenerRole::broker
                                        ? row.on_broker_listener && row.served_by_broker()
                                        : row.on_controller_listener && row.served_by_controller();
                const auto found = std::find_if(
                    response.api_keys.begin(), response.api_keys.end(), [&](const auto& each) {
                        return each.api_key == static_cast<std::int16_t>(row.key);
                    });
                ASSERT_EQ(found != response.api_keys.end(), served) << row.name;
                if (!served) continue;
                EXPECT_EQ(found->min_version, row.advertised.min) << row.name;
                EXPECT_EQ(found->max_version, row.advertised.max) << row.name;
            }
        }
    }
}

TEST(Dispatch, api_versions_of_the_future_is_answered_in_version_0) {
    DispatchWorld world;
    for (const int version : {5, 6, 100, 32767}) {
        const auto answer = world.answer(18, version);
        EXPECT_EQ(answer.close_because, "");
        const auto response = decoded_versions(answer.reply, 0);
        EXPECT_EQ(response.error_code, ErrorCode::unsupported_version);
        ASSERT_EQ(response.api_keys.size(), 1u);
        EXPECT_EQ(response.api_keys[0].max_version, 4);
    }
}

TEST(Dispatch, each_api_is_served_in_its_accepted_versions_only) {
    DispatchWorld world;
    for (const auto& row : wire::api_table()) {
        const int key = static_cast<int>(row.key);
        const bool served = row.on_broker_listener && row.served_by_broker();
        if (!served) {
            EXPECT_NE(world.answer(key, row.versions.max).close_because, "") << row.name;
            continue;
        }
        if (row.key == wire::ApiKey::api_versions) continue;
        for (const int version : {-1, row.accepted.min - 1, row.accepted.max + 1, 32767}) {
            EXPECT_NE(world.answer(key, version).close_because, "") << row.name << " " << version;
        }
    }
    for (const int key : {-1, 93, 1000, 32767, -32768})
        EXPECT_NE(world.answer(key, 0).close_because, "") << key;
}

TEST(Dispatch, the_controllers_apis_are_not_for_clients) {
    DispatchWorld world;
    world.peer.role = ListenerRole::controller;
    EXPECT_THAT(world.answer(HandlerWorld::produce_request(), 9).close_because,
                HasSubstr("Produce is not served on the listener"));
}

TEST(Dispatch, a_body_that_ends_early_closes_the_connection) {
    DispatchWorld world;
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "topic", 0, world.batch({"value"}));
    for (const int version : {3, 9, 13}) {
        const Bytes frame = ConnectionWorld::frame(request, version, 7);
        for (std::size_t size = 0; size + 4 < frame.size(); ++size) {
            const auto answer = world.answer(frame.slice(4, size));
            ASSERT_NE(answer.close_because, "") << "version " << version << ", " << size;
            EXPECT_TRUE(answer.reply.empty());
        }
        EXPECT_EQ(world.answer(frame.slice(4)).close_because, "");
    }
    EXPECT_THAT(world.answer(ConnectionWorld::frame(request, 9, 7).slice(4, 40)).close_because,
                HasSubstr("malformed Produce request, version 9"));
}

TEST(Dispatch, requests_and_errors_are_counted) {
    DispatchWorld world;
    world.create_topic("topic");
    auto request = HandlerWorld::produce_request();
    HandlerWorld::add(&request, "topic", 0, world.batch({"value"}));
    EXPECT_FALSE(world.answer(request, 9).reply.empty());
    HandlerWorld::add(&request, "absent", 0, world.batch({"value"}));
    EXPECT_FALSE(world.answer(request, 9).reply.empty());
    const auto text = world.metrics.render();
    EXPECT_THAT(text, HasSubstr("pabal_requests_total{api=\"Produce\"} 2"));
    EXPECT_THAT(text, HasSubstr("pabal_request_errors_total{api=\"Produce\","
                                "error=\"UNKNOWN_TOPIC_OR_PARTITION\"} 1"));
    EXPECT_THAT(text, HasSubstr("pabal_request_seconds_count{api=\"Produce\"} 2"));
    EXPECT_THAT(text, Not(HasSubstr("pabal_requests_total{api=\"Fetch\"} 1")));
}

TEST(Dispatch, without_acknowledgement_there_is_no_reply_and_an_error_closes) {
    DispatchWorld world;
    world.create_topic("topic");
    auto request = HandlerWorld::produce_request(0);
    HandlerWorld::add(&request, "topic", 0, world.batch({"value"}));
    auto answer = world.answer(request, 9);
    EXPECT_EQ(answer.close_because, "");
    EXPECT_TRUE(answer.reply.empty());
    HandlerWorld::add(&request, "absent", 0, world.batch({"value"}));
    answer = world.answer(request, 9);
    EXPECT_THAT(answer.close_because, HasSubstr("UNKNOWN_TOPIC_OR_PARTITION"));
    EXPECT_TRUE(answer.reply.empty());
}

}  // namespace
}  // namespace pabal::broker
