// What the metrics endpoint says to whom, over the simulated network.
#include "broker/metrics_endpoint.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <string>

#include "base/log.h"
#include "io/task.h"
#include "sim/machine.h"

namespace pabal::broker {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string rendered() {
    return "pabal_connections 3\n";
}

TEST(MetricsEndpoint, http_is_answered_by_method_and_path) {
    const std::string head = " HTTP/1.1\r\nHost: here\r\n\r\n";
    const auto found = answer_http("GET /metrics" + head, rendered);
    EXPECT_THAT(found, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(found, HasSubstr("Content-Type: text/plain; version=0.0.4"));
    EXPECT_THAT(found, HasSubstr("Content-Length: 20\r\n"));
    EXPECT_THAT(found, EndsWith("\r\n\r\npabal_connections 3\n"));
    EXPECT_THAT(answer_http("GET /metrics?name=x" + head, rendered), HasSubstr("200 OK"));
    EXPECT_THAT(answer_http("HEAD /metrics" + head, rendered), EndsWith("\r\n\r\n"));
    EXPECT_THAT(answer_http("GET /" + head, rendered), HasSubstr("404 Not Found"));
    EXPECT_THAT(answer_http("POST /metrics" + head, rendered), HasSubstr("405 Method"));
    for (const auto* wrong : {"", " ", "GET", "GET /metrics", "GET /metrics SPDY/3", "\r\n\r\n"})
        EXPECT_THAT(answer_http(wrong, rendered), HasSubstr("400 Bad Request")) << wrong;
}

class EndpointWorld {
public:
    EndpointWorld()
        : scheduler(3),
          network(scheduler),
          server_machine(scheduler, network, "alpha", 1 << 20, sim::Skew()),
          client_machine(scheduler, network, "client", 1 << 20, sim::Skew()),
          server(server_machine.boot()),
          client(client_machine.boot()),
          endpoint(&server->clock(), &log, rendered) {
        auto listener = server->ports().network.listen({"", 9090});
        EXPECT_TRUE(listener.ok());
        endpoint.serve(std::move(*listener));
    }
    ~EndpointWorld() {
        bool stopped = false;
        io::detach(stop(&endpoint, &stopped));
        EXPECT_TRUE(soon([&] { return stopped; }));
    }
    bool soon(const std::function<bool()>& done) {
        return scheduler.run_until(done, scheduler.now() + Duration::seconds(100));
    }
    // What is said to a peer that sends this; nothing until the endpoint closes.
    void say(std::string text, std::optional<std::string>* answer) {
        io::detach(exchange(&client->ports().network, std::move(text), answer));
    }

    sim::Scheduler scheduler;
    sim::Network network;
    sim::Machine server_machine;
    sim::Machine client_machine;
    std::unique_ptr<sim::Process> server;
    std::unique_ptr<sim::Process> client;
    KeptLogSink sink;
    Logger log{sink};
    MetricsEndpoint endpoint;

private:
    static io::Task<void> stop(MetricsEndpoint* endpoint, bool* stopped) {
        co_await endpoint->stop();
        *stopped = true;
    }
    static io::Task<void> exchange(io::Network* network, std::string text,
                                   std::optional<std::string>* answer) {
        const io::Address address{"alpha", 9090};
        auto stream = co_await network->connect(address, Instant::never());
        if (!stream.ok()) co_return;
        if (!text.empty()) {
            Rope rope(Bytes::copy_of(text));
            auto written = co_await (*stream)->write(std::move(rope), Instant::never());
            static_cast<void>(written);  // Cut off while it talks: what was said is read.
        }
        std::string received;
        while (true) {
            auto readable = co_await (*stream)->readable(Instant::never());
            if (!readable.ok()) break;
            std::uint8_t bytes[512];
            const auto read = (*stream)->read_some({bytes, sizeof bytes});
            if (!read.ok() || read->end_of_stream) break;
            received.append(reinterpret_cast<const char*>(bytes), read->count);
        }
        answer->emplace(std::move(received));
    }
};

TEST(MetricsEndpoint, who_asks_is_answered_and_who_does_not_is_let_go) {
    EndpointWorld world;
    std::optional<std::string> silent, asked, garbage, endless;
    world.say("", &silent);
    world.say(std::string(100'000, 'x'), &endless);
    world.say("GET /metrics HTTP/1.0\r\n\r\n", &asked);
    world.say("\x16\x03\x01 no http\r\n\r\n", &garbage);
    EXPECT_TRUE(world.soon([&] { return asked && garbage; }));
    EXPECT_THAT(*asked, HasSubstr("pabal_connections 3"));
    EXPECT_THAT(*garbage, HasSubstr("400 Bad Request"));
    EXPECT_FALSE(silent);
    EXPECT_TRUE(world.soon([&] { return silent && endless; }));
    EXPECT_EQ(*silent, "");
}

TEST(MetricsEndpoint, connections_are_bounded) {
    EndpointWorld world;
    std::vector<std::optional<std::string>> silent(20);
    for (auto& each : silent) world.say("", &each);
    EXPECT_TRUE(world.soon([&] {
        return std::count_if(silent.begin(), silent.end(),
                             [](const auto& each) { return each.has_value(); }) == 4;
    }));
    std::optional<std::string> asked;
    EXPECT_TRUE(world.soon([&] { return silent[0].has_value() && silent[19].has_value(); }));
    world.say("GET /metrics HTTP/1.1\r\n\r\n", &asked);
    EXPECT_TRUE(world.soon([&] { return asked.has_value(); }));
    EXPECT_THAT(*asked, HasSubstr("200 OK"));
}

}  // namespace
}  // namespace pabal::broker
