// What the simulated network does beyond the contract: cuts, silence, resets, and one trace a seed.
#include "sim/network.h"

#include <gtest/gtest.h>

#include "io/gate.h"
#include "sim/machine.h"

namespace pabal::sim {
namespace {

constexpr std::uint16_t port = 9092;

// Two machines: beta answers each byte with the next letter, alpha asks.
class Pair {
public:
    explicit Pair(std::uint64_t seed)
        : scheduler(seed),
          network(scheduler),
          alpha(scheduler, network, "alpha", 1 << 20, Skew()),
          beta(scheduler, network, "beta", 1 << 20, Skew()),
          client(alpha.boot()),
          server(beta.boot()) {
        start_server();
    }
    ~Pair() {
        if (listener_) listener_->close();
        scheduler.run_for(Duration::seconds(100));
    }

    void start_server() {
        auto listener = server->ports().network.listen({"", port});
        ASSERT_TRUE(listener.ok());
        listener_ = std::move(listener).value();
        io::detach(serve(listener_.get(), &server->clock()));
    }
    // Asks once; "b" if all is well, else what went wrong.
    std::string ask(Duration patience) {
        std::string answer = "nothing";
        bool done = false;
        io::Network& port_of_client = client->ports().network;
        const Instant deadline = client->clock().now() + patience;
        client->clock().post(
            [&] { io::detach(ask_once(&port_of_client, deadline, &answer, &done)); });
        scheduler.run_until([&] { return done; }, scheduler.now() + Duration::seconds(1000));
        return answer;
    }
    void restart_server() {
        scheduler.run_for(Duration::seconds(1));
        listener_.reset();
        server.reset();
        server = beta.boot();
        start_server();
    }

    Scheduler scheduler;
    Network network;
    Machine alpha;
    Machine beta;
    std::unique_ptr<Process> client;
    std::unique_ptr<Process> server;

private:
    static io::Task<void> serve(io::Listener* listener, io::Clock* clock) {
        while (true) {
            auto stream = co_await listener->accept();
            if (!stream.ok()) co_return;
            io::detach(answer(std::move(stream).value(), clock));
        }
    }
    static io::Task<void> answer(std::unique_ptr<io::Stream> stream, io::Clock* clock) {
        while (true) {
            const Instant deadline = clock->now() + Duration::seconds(60);
            auto readable = co_await stream->readable(deadline);
            if (!readable.ok() || !*readable) co_return;
            std::uint8_t byte = 0;
            const auto got = stream->read_some({&byte, 1});
            if (!got.ok() || got->end_of_stream) co_return;
            if (got->count == 0) continue;
            Rope reply(Bytes::copy_of(std::string(1, static_cast<char>(byte + 1))));
            auto sent = co_await stream->write(reply, deadline);
            if (!sent.ok()) co_return;
        }
    }
    static io::Task<void> ask_once(io::Network* network, Instant deadline, std::string* answer,
                                   bool* done) {
        auto exchanged = co_await exchange(network, deadline);
        *answer = exchanged;
        *done = true;
    }
    static io::Task<std::string> exchange(io::Network* network, Instant deadline) {
        const io::Address address{"beta", port};
        auto stream = co_await network->connect(address, deadline);
        if (!stream.ok()) co_return "connect: " + stream.error().message;
        Rope question(Bytes::copy_of(std::string_view("a")));
        auto sent = co_await (*stream)->write(question, deadline);
        if (!sent.ok()) co_return "write: " + sent.error().message;
        auto readable = co_await (*stream)->readable(deadline);
        if (!readable.ok()) co_return "read: " + readable.error().message;
        if (!*readable) co_return std::string("deadline");
        std::uint8_t byte = 0;
        const auto got = (*stream)->read_some({&byte, 1});
        if (!got.ok() || got->count != 1) co_return std::string("no byte");
        co_return std::string(1, static_cast<char>(byte));
    }

    std::unique_ptr<io::Listener> listener_;
};

TEST(SimNetwork, hosts_reach_each_other_by_name) {
    Pair pair(1);
    EXPECT_EQ(pair.ask(Duration::seconds(5)), "b");
}

TEST(SimNetwork, a_cut_link_delays_until_it_heals) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        Pair pair(seed);
        pair.network.cut("alpha", "beta");
        EXPECT_NE(pair.ask(Duration::seconds(5)), "b");
        pair.network.heal_all();
        EXPECT_EQ(pair.ask(Duration::seconds(5)), "b");
        pair.network.cut("beta", "alpha");
        const auto started = pair.scheduler.now();
        const auto heal = started + Duration::seconds(3);
        const auto lane = pair.scheduler.add_lane("fault");
        pair.scheduler.at(heal, lane, [&] { pair.network.heal("beta", "alpha"); });
        EXPECT_EQ(pair.ask(Duration::seconds(30)), "b");
        EXPECT_GE(pair.scheduler.now(), heal);
    }
}

TEST(SimNetwork, a_killed_process_refuses_and_a_powerless_machine_is_silent) {
    Pair pair(3);
    EXPECT_EQ(pair.ask(Duration::seconds(5)), "b");
    pair.server->die(Death::killed);
    const auto refused = pair.ask(Duration::seconds(5));
    EXPECT_NE(refused.find("Connection refused"), std::string::npos) << refused;
    pair.restart_server();
    EXPECT_EQ(pair.ask(Duration::seconds(5)), "b");
    pair.server->die(Death::power_lost);
    const auto silent = pair.ask(Duration::seconds(5));
    EXPECT_NE(silent.find("timed out"), std::string::npos) << silent;
    pair.restart_server();
    EXPECT_EQ(pair.ask(Duration::seconds(5)), "b");
}

TEST(SimNetwork, a_death_in_the_midst_of_an_exchange_never_leaves_the_client_waiting_for_ever) {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        Pair pair(seed);
        Prng random = pair.scheduler.random("moment");
        const auto when = pair.scheduler.now() + Duration::microseconds(random.between(0, 1500));
        const auto lane = pair.scheduler.add_lane("fault");
        const auto death = seed % 2 ? Death::killed : Death::power_lost;
        pair.scheduler.at(when, lane, [&] { pair.server->die(death); });
        const auto answer = pair.ask(Duration::seconds(2));
        EXPECT_NE(answer, "nothing");
        pair.restart_server();
        EXPECT_EQ(pair.ask(Duration::seconds(30)), "b");
    }
}

TEST(SimNetwork, one_seed_gives_one_trace) {
    const auto run = [](std::uint64_t seed) {
        Pair pair(seed);
        pair.network.profile.resets_per_million = 100'000;
        std::string answers;
        for (int i = 0; i < 10; ++i) answers += pair.ask(Duration::seconds(1)).substr(0, 1);
        return std::pair(answers, pair.scheduler.trace().hash());
    };
    for (std::uint64_t seed = 0; seed < 10; ++seed) EXPECT_EQ(run(seed), run(seed));
    EXPECT_NE(run(1).second, run(2).second);
}

}  // namespace
}  // namespace pabal::sim
