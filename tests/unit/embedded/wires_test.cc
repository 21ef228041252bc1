// Wires over the simulated network, so that held back and late are moments that can be named.
#include "embedded/wires.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "io/gate.h"
#include "sim/machine.h"

namespace pabal::embedded {
namespace {

constexpr std::uint16_t port_of_0 = 9000;
constexpr std::uint16_t port_of_1 = 9001;

class WiresTest : public testing::Test {
protected:
    // A broker of the cluster, or a client: then it has no wires.
    struct Host {
        Host(WiresTest* test, const std::string& name, std::optional<BrokerId> broker)
            : machine(test->scheduler_, test->network_, name, 1 << 20, sim::Skew()),
              process(machine.boot()) {
            if (broker) {
                wired = test->wires_->network_of(*broker, process->ports().network, clock());
            }
        }
        io::Clock& clock() { return process->clock(); }
        io::Network& network() {
            return wired ? static_cast<io::Network&>(*wired) : process->ports().network;
        }

        sim::Machine machine;
        std::unique_ptr<sim::Process> process;
        std::unique_ptr<WiredNetwork> wired;
    };

    void SetUp() override {
        wires_->place(BrokerId(0), port_of_0);
        wires_->place(BrokerId(1), port_of_1);
    }

    // Accepts one connection of `server` and keeps what it reads.
    static io::Task<void> serve(Host* server, std::uint16_t port, WiresTest* test) {
        auto listener = server->network().listen({"", port});
        auto stream = co_await (*listener)->accept();
        test->accepted_ = std::move(*stream);
        while (true) {
            const Instant deadline = server->clock().now() + Duration::seconds(100);
            auto readable = co_await test->accepted_->readable(deadline);
            if (!readable.ok() || !*readable) break;
            std::uint8_t buffer[100];
            const auto got = test->accepted_->read_some({buffer, sizeof buffer});
            if (!got.ok() || got->end_of_stream) break;
            test->read_.append(reinterpret_cast<const char*>(buffer), got->count);
        }
        test->reading_ended_ = true;
    }
    static io::Task<void> connect(Host* client, std::string host, std::uint16_t port,
                                  WiresTest* test) {
        const Instant deadline = client->clock().now() + Duration::seconds(2);
        io::Address address{host, port};
        auto stream = co_await client->network().connect(address, deadline);
        if (stream.ok()) {
            test->connected_ = std::move(*stream);
        } else {
            test->refused_ = stream.error().message;
        }
    }
    static io::Task<void> write(Host* from, io::Stream* stream, std::string text) {
        const Instant deadline = from->clock().now() + Duration::seconds(2);
        Rope rope(Bytes::copy_of(text));
        co_await stream->write(rope, deadline);
    }
    void run_on(Host& host, io::Task<void> task) {
        auto held = std::make_shared<io::Task<void>>(std::move(task));
        host.clock().post([held] { io::detach(std::move(*held)); });
    }
    void pass(Duration time) { scheduler_.run_for(time); }

    sim::Scheduler scheduler_{7};
    sim::Network network_{scheduler_};
    std::shared_ptr<Wires> wires_ = std::make_shared<Wires>();
    std::string read_;
    std::string refused_;
    bool reading_ended_ = false;
    std::unique_ptr<io::Stream> accepted_;
    std::unique_ptr<io::Stream> connected_;
};

TEST_F(WiresTest, hold_back_what_is_cut_until_they_heal) {
    Host zero(this, "zero", BrokerId(0));
    Host one(this, "one", BrokerId(1));
    run_on(one, serve(&one, port_of_1, this));
    run_on(zero, connect(&zero, "one", port_of_1, this));
    pass(Duration::milliseconds(100));
    ASSERT_TRUE(connected_ && accepted_);
    run_on(zero, write(&zero, connected_.get(), "before "));
    pass(Duration::milliseconds(100));
    EXPECT_EQ(read_, "before ");

    wires_->cut(BrokerId(0), BrokerId(1));
    run_on(zero, write(&zero, connected_.get(), "held"));
    pass(Duration::seconds(10));
    EXPECT_EQ(read_, "before ");
    wires_->heal();
    pass(Duration::milliseconds(100));
    EXPECT_EQ(read_, "before held");

    // The other way was never cut, nor does a cut of it stop this one.
    wires_->cut(BrokerId(1), BrokerId(0));
    run_on(zero, write(&zero, connected_.get(), " on"));
    pass(Duration::milliseconds(100));
    EXPECT_EQ(read_, "before held on");
    connected_->close();
    pass(Duration::milliseconds(100));
    EXPECT_TRUE(reading_ended_);
    connected_.reset();
    accepted_.reset();
}

TEST_F(WiresTest, make_connections_over_a_cut_time_out_or_wait) {
    Host zero(this, "zero", BrokerId(0));
    Host one(this, "one", BrokerId(1));
    run_on(one, serve(&one, port_of_1, this));
    wires_->cut(BrokerId(1), BrokerId(0));
    run_on(zero, connect(&zero, "one", port_of_1, this));
    pass(Duration::seconds(5));
    EXPECT_FALSE(connected_);
    EXPECT_NE(refused_.find("timed out"), std::string::npos) << refused_;
    run_on(zero, connect(&zero, "one", port_of_1, this));
    pass(Duration::seconds(1));
    wires_->heal();
    pass(Duration::milliseconds(100));
    EXPECT_TRUE(connected_);
    connected_->close();
    pass(Duration::milliseconds(100));
    connected_.reset();
    accepted_.reset();
}

TEST_F(WiresTest, deliver_late_what_is_delayed) {
    Host zero(this, "zero", BrokerId(0));
    Host one(this, "one", BrokerId(1));
    run_on(one, serve(&one, port_of_1, this));
    run_on(zero, connect(&zero, "one", port_of_1, this));
    pass(Duration::milliseconds(100));
    // The reader waits already; what comes from now on is late all the same.
    wires_->delay(BrokerId(0), BrokerId(1), Duration::seconds(1));
    for (const char* text : {"a", "b"}) {
        read_.clear();
        run_on(zero, write(&zero, connected_.get(), text));
        pass(Duration::milliseconds(900));
        EXPECT_EQ(read_, "");
        pass(Duration::milliseconds(300));
        EXPECT_EQ(read_, text);
    }
    connected_->close();
    pass(Duration::seconds(3));
    connected_.reset();
    accepted_.reset();
}

TEST_F(WiresTest, leave_clients_alone) {
    Host zero(this, "zero", BrokerId(0));
    Host client(this, "client", std::nullopt);
    run_on(zero, serve(&zero, port_of_0, this));
    run_on(client, connect(&client, "zero", port_of_0, this));
    pass(Duration::milliseconds(100));
    wires_->cut(BrokerId(0), BrokerId(1));
    wires_->cut(BrokerId(1), BrokerId(0));
    run_on(client, write(&client, connected_.get(), "hello"));
    pass(Duration::milliseconds(100));
    EXPECT_EQ(read_, "hello");
    connected_->close();
    pass(Duration::milliseconds(100));
    connected_.reset();
    accepted_.reset();
}

TEST_F(WiresTest, let_a_killed_broker_go) {
    Host zero(this, "zero", BrokerId(0));
    Host one(this, "one", BrokerId(1));
    run_on(one, serve(&one, port_of_1, this));
    run_on(zero, connect(&zero, "one", port_of_1, this));
    pass(Duration::milliseconds(100));
    wires_->cut(BrokerId(0), BrokerId(1));
    run_on(zero, write(&zero, connected_.get(), "held"));
    pass(Duration::milliseconds(100));
    run_on(zero, write(&zero, connected_.get(), "held"));
    pass(Duration::milliseconds(100));
    EXPECT_FALSE(reading_ended_);
    one.wired->die();
    pass(Duration::milliseconds(100));
    EXPECT_TRUE(reading_ended_);
    connected_.reset();
    accepted_.reset();
    pass(Duration::milliseconds(100));
}

}  // namespace
}  // namespace pabal::embedded
