#include "os/network.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "io/gate.h"
#include "os/socket_address.h"
#include "tests/unit/os/os_world.h"

namespace pabal::os {
namespace {

using io::Address;
using io::Stream;
using io::Task;

class OsNetworkTest : public testing::Test {
protected:
    io::Clock& clock() { return world_.clock(); }
    io::Network& network() { return world_.network(); }
    Instant after(Duration duration) { return clock().now() + duration; }
    Instant soon() { return after(Duration::seconds(20)); }
    void run(std::function<Task<void>()> test) { world_.run(std::move(test)); }
    static Rope rope(std::string_view text) { return Rope(Bytes::copy_of(text)); }

    struct Pair {
        std::unique_ptr<Stream> client;
        std::unique_ptr<Stream> server;
    };
    Task<Pair> connected() {
        Pair pair;
        auto listener = network().listen(Address{"127.0.0.1", 0});
        EXPECT_TRUE(listener.ok());
        const Address address = (*listener)->local();
        auto client = co_await network().connect(address, soon());
        EXPECT_TRUE(client.ok());
        auto server = co_await (*listener)->accept();
        EXPECT_TRUE(server.ok());
        pair.client = std::move(client).value();
        pair.server = std::move(server).value();
        co_return pair;
    }
    static Task<std::string> read(Stream* stream, std::size_t count, Instant deadline) {
        std::string text;
        while (text.size() < count) {
            auto readable = co_await stream->readable(deadline);
            if (!readable.ok() || !*readable) co_return "error";
            std::uint8_t buffer[65536];
            const auto got = stream->read_some({buffer, sizeof buffer});
            if (!got.ok()) co_return "error";
            text.append(reinterpret_cast<const char*>(buffer), got->count);
            if (got->end_of_stream) co_return text;
        }
        co_return text;
    }

    OsWorld world_;
};

TEST_F(OsNetworkTest, names_and_both_families_are_understood) {
    run([this]() -> Task<void> {
        const char* hosts[] = {"127.0.0.1", "::1", "localhost", ""};
        for (const char* name : hosts) {
            const std::string host = name;
            auto listener = network().listen(Address{host, 0});
            if (!listener.ok() && host == "::1") continue;  // A machine without IPv6.
            REQUIRE(listener.ok());
            Address address = (*listener)->local();
            if (host.empty() || host == "localhost") address.host = "localhost";
            auto client = co_await network().connect(address, soon());
            REQUIRE(client.ok());
            auto server = co_await (*listener)->accept();
            REQUIRE(server.ok());
            EXPECT_EQ((*client)->local(), (*server)->peer());
        }
    });
}

TEST_F(OsNetworkTest, a_name_that_nobody_knows_is_said_so) {
    run([this]() -> Task<void> {
        const Address nowhere{"no-such-host.invalid", 9092};
        auto client = co_await network().connect(nowhere, soon());
        REQUIRE(!client.ok());
        EXPECT_NE(client.error().message.find("cannot connect to no-such-host.invalid:9092"),
                  std::string::npos)
            << client.error().message;
        auto listener = network().listen(nowhere);
        EXPECT_FALSE(listener.ok());
    });
}

TEST_F(OsNetworkTest, refusals_say_what_to_do) {
    run([this]() -> Task<void> {
        auto first = network().listen(Address{"127.0.0.1", 0});
        REQUIRE(first.ok());
        const Address address = (*first)->local();
        auto second = network().listen(address);
        REQUIRE(!second.ok());
        EXPECT_EQ(second.error().message,
                  "cannot listen on " + text(address) +
                      ": address already in use (by another broker?); choose another port in "
                      "`listeners`");
        auto elsewhere = network().listen(Address{"192.0.2.1", 0});
        REQUIRE(!elsewhere.ok());
        EXPECT_NE(elsewhere.error().message.find("no such address"), std::string::npos);
        co_return;
    });
}

TEST_F(OsNetworkTest, a_port_can_be_used_again_at_once) {
    run([this]() -> Task<void> {
        auto first = network().listen(Address{"127.0.0.1", 0});
        REQUIRE(first.ok());
        const Address address = (*first)->local();
        auto client = co_await network().connect(address, soon());
        REQUIRE(client.ok());
        auto server = co_await (*first)->accept();
        REQUIRE(server.ok());
        // The listening side closes first: its end of the connection lingers in TIME_WAIT.
        server.value().reset();
        first.value().reset();
        client.value().reset();
        auto second = network().listen(address);
        EXPECT_TRUE(second.ok());
    });
}

TEST_F(OsNetworkTest, accepting_survives_a_lack_of_descriptors) {
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    run([&, this]() -> Task<void> {
        auto listener = network().listen(Address{"127.0.0.1", 0});
        REQUIRE(listener.ok());
        const Address address = (*listener)->local();
        auto client = co_await network().connect(address, soon());
        REQUIRE(client.ok());
        const int lowest = dup(0);
        close(lowest);
        const rlimit none{static_cast<rlim_t>(lowest), before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &none);
        clock().at(after(Duration::milliseconds(120)),
                   [&before] { setrlimit(RLIMIT_NOFILE, &before); });
        rusage used_before{};
        getrusage(RUSAGE_THREAD, &used_before);
        auto server = co_await (*listener)->accept();
        rusage used_after{};
        getrusage(RUSAGE_THREAD, &used_after);
        EXPECT_TRUE(server.ok());
        EXPECT_LE(used_after.ru_nvcsw - used_before.ru_nvcsw, 20);  // It did not spin.
    });
    setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(OsNetworkTest, a_peer_that_does_not_read_does_not_hold_up_the_shard) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        auto other = co_await connected();
        auto write = [](Stream* stream, Rope all, Instant deadline, io::Gate* gate) -> Task<void> {
            auto sent = co_await stream->write(all, deadline);
            EXPECT_FALSE(sent.ok());
            gate->open();
        };
        io::Gate ended(clock());
        Rope much = rope(std::string(64 << 20, 'x'));
        io::detach(write(pair.server.get(), much, soon(), &ended));
        for (int i = 0; i < 100; ++i) {
            Rope message = rope("ping");
            auto sent = co_await other.client->write(message, soon());
            REQUIRE(sent.ok());
            auto got = co_await read(other.server.get(), 4, soon());
            EXPECT_EQ(got, "ping");
        }
        EXPECT_FALSE(ended.is_open());
        pair.server->reset();
        auto end = ended.opened(soon());
        const bool opened = co_await end;
        EXPECT_TRUE(opened);
    });
}

TEST_F(OsNetworkTest, a_reader_that_is_fast_lets_others_have_their_turn) {
    run([this]() -> Task<void> {
        auto file = world_.disk().open(world_.directory() + "/a", io::OpenMode::create);
        REQUIRE(file.ok());
        const std::string data(32 << 20, 'x');
        const ByteView pieces[] = {as_bytes(data)};
        REQUIRE((*file)->write(0, pieces).ok());
        Rope message;
        message.append((*file)->range(0, 32 << 20));
        // The client reads on a thread of its own, as fast as it comes.
        auto listener = network().listen(Address{"127.0.0.1", 0});
        REQUIRE(listener.ok());
        const Address address = (*listener)->local();
        std::thread reader([address] {
            const auto candidates = parse_address(address, Purpose::connect);
            const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
            ASSERT_EQ(::connect(socket, candidates[0].get(), candidates[0].length), 0);
            std::string buffer(1 << 20, '\0');
            std::size_t total = 0;
            while (total < (32 << 20)) {
                const ssize_t count = ::recv(socket, buffer.data(), buffer.size(), 0);
                if (count <= 0) break;
                total += static_cast<std::size_t>(count);
            }
            EXPECT_EQ(total, 32u << 20);
            close(socket);
        });
        auto server = co_await (*listener)->accept();
        int turns = 0;
        std::function<void()> count_turns = [&] {
            ++turns;
            clock().at(after(Duration::microseconds(100)), count_turns);
        };
        count_turns();
        auto sent = co_await (*server)->write(message, soon());
        EXPECT_TRUE(sent.ok());
        EXPECT_GE(turns, 8);
        count_turns = [] {};
        reader.join();
        io::Sleep pause(clock(), after(Duration::milliseconds(2)));
        co_await pause;
    });
}

TEST_F(OsNetworkTest, a_cold_file_is_read_on_the_pool_and_sent) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        const std::string path = world_.directory() + "/a";
        std::string data(3 << 20, '\0');
        for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + i / 997);
        auto file = world_.disk().open(path, io::OpenMode::create);
        REQUIRE(file.ok());
        const ByteView pieces[] = {as_bytes(data)};
        REQUIRE((*file)->write(0, pieces).ok());
        REQUIRE((*file)->sync().ok());
        const int descriptor = ::open(path.c_str(), O_RDONLY);
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
        close(descriptor);
        Rope message;
        message.append((*file)->range(10, static_cast<std::uint32_t>(data.size()) - 20));
        auto write = [](Stream* stream, Rope all, Instant deadline, io::Gate* gate) -> Task<void> {
            auto sent = co_await stream->write(all, deadline);
            EXPECT_TRUE(sent.ok());
            gate->open();
        };
        io::Gate ended(clock());
        io::detach(write(pair.server.get(), message, soon(), &ended));
        auto got = co_await read(pair.client.get(), data.size() - 20, soon());
        EXPECT_TRUE(got == data.substr(10, data.size() - 20));
        auto end = ended.opened(soon());
        const bool opened = co_await end;
        EXPECT_TRUE(opened);
    });
}

TEST_F(OsNetworkTest, a_file_that_ends_too_early_breaks_the_write_and_no_more) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        auto file = world_.disk().open(world_.directory() + "/a", io::OpenMode::create);
        REQUIRE(file.ok());
        const ByteView pieces[] = {as_bytes("short")};
        REQUIRE((*file)->write(0, pieces).ok());
        Rope message;
        message.append((*file)->range(0, 100));
        auto sent = co_await pair.server->write(message, soon());
        REQUIRE(!sent.ok());
        EXPECT_EQ(sent.error().errno_value, EIO);
    });
}

TEST_F(OsNetworkTest, killing_a_node_resets_its_connections_and_completes_its_waits) {
    OsWorld client_world;
    Address address;
    std::unique_ptr<Stream> server;
    std::unique_ptr<io::Listener> listener;
    run([&, this]() -> Task<void> {
        auto listening = network().listen(Address{"127.0.0.1", 0});
        REQUIRE(listening.ok());
        listener = std::move(listening).value();
        address = listener->local();
        co_return;
    });
    std::unique_ptr<Stream> client;
    client_world.run([&]() -> Task<void> {
        auto connecting = co_await client_world.network().connect(address, Instant::never());
        REQUIRE(connecting.ok());
        client = std::move(connecting).value();
    });
    std::atomic<int> completed{0};
    run([&, this]() -> Task<void> {
        auto accepted = co_await listener->accept();
        REQUIRE(accepted.ok());
        server = std::move(accepted).value();
        auto wait = [](Stream* stream, std::atomic<int>* count) -> Task<void> {
            auto readable = co_await stream->readable(Instant::never());
            EXPECT_FALSE(readable.ok());
            Rope reply = Rope(Bytes::copy_of("a reply"));
            auto sent = co_await stream->write(reply, Instant::never());
            EXPECT_FALSE(sent.ok());
            ++*count;
        };
        auto accept = [](io::Listener* on, std::atomic<int>* count) -> Task<void> {
            auto next = co_await on->accept();
            EXPECT_FALSE(next.ok());
            ++*count;
        };
        io::detach(wait(server.get(), &completed));
        io::detach(accept(listener.get(), &completed));
    });
    world_.node().kill();
    world_.node().kill();
    client_world.run([&]() -> Task<void> {
        auto readable = co_await client->readable(Instant::never());
        REQUIRE(readable.ok());
        std::uint8_t buffer[16];
        const auto got = client->read_some(buffer);
        REQUIRE(!got.ok());
        EXPECT_EQ(got.error().errno_value, ECONNRESET);
        client.reset();
    });
    run([&, this]() -> Task<void> {
        EXPECT_EQ(completed, 2);
        EXPECT_FALSE(network().listen(Address{"127.0.0.1", 0}).ok());
        auto late = co_await network().connect(address, Instant::never());
        EXPECT_FALSE(late.ok());
        server.reset();
        listener.reset();
    });
}

}  // namespace
}  // namespace pabal::os
