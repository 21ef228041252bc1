// What every Network promises.
#pragma once

#include <cerrno>
#include <string>
#include <vector>

#include "io/gate.h"
#include "tests/unit/io/world.h"

namespace pabal::io::contract {

class NetworkContract : public ContractTest {
protected:
    // Two ends of one connection.
    struct Pair {
        std::unique_ptr<Stream> client;
        std::unique_ptr<Stream> server;
        bool ok() const { return client && server; }
    };
    Task<Pair> connected() {
        Pair pair;
        auto listener = network().listen(Address{world_->host(), 0});
        EXPECT_TRUE(listener.ok());
        if (!listener.ok()) co_return pair;
        const Address address = (*listener)->local();
        auto client = co_await network().connect(address, soon());
        EXPECT_TRUE(client.ok());
        if (!client.ok()) co_return pair;
        auto server = co_await (*listener)->accept();
        EXPECT_TRUE(server.ok());
        if (!server.ok()) co_return pair;
        pair.client = std::move(client).value();
        pair.server = std::move(server).value();
        (*listener)->close();
        co_return pair;
    }
    // Reads `count` bytes, fewer if the stream ends before; "error" if it breaks.
    static Task<std::string> read(Stream* stream, std::size_t count, Instant deadline) {
        std::string text;
        while (text.size() < count) {
            auto readable = co_await stream->readable(deadline);
            if (!readable.ok()) co_return "error";
            if (!*readable) co_return "deadline";
            std::uint8_t buffer[4096];
            const std::size_t wanted = std::min(sizeof buffer, count - text.size());
            const auto got = stream->read_some({buffer, wanted});
            if (!got.ok()) co_return "error";
            text.append(reinterpret_cast<const char*>(buffer), got->count);
            if (got->end_of_stream) co_return text;
        }
        co_return text;
    }
    Instant soon() { return after(Duration::seconds(20)); }
    static Rope rope(std::string_view text) { return Rope(Bytes::copy_of(text)); }
    static std::string pattern(std::size_t size) {
        std::string text(size, '\0');
        for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
        return text;
    }
};

TEST_P(NetworkContract, what_is_written_arrives_in_order) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        for (int i = 0; i < 100; ++i) {
            const std::string text = "message " + std::to_string(i);
            Rope message = rope(text);
            auto sent = co_await pair.client->write(message, soon());
            REQUIRE(sent.ok());
            auto got = co_await read(pair.server.get(), text.size(), soon());
            EXPECT_EQ(got, text);
            Rope answer = rope(got);
            auto answered = co_await pair.server->write(answer, soon());
            REQUIRE(answered.ok());
            auto back = co_await read(pair.client.get(), text.size(), soon());
            EXPECT_EQ(back, text);
        }
    });
}

TEST_P(NetworkContract, both_ends_know_their_addresses) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        EXPECT_EQ(pair.client->peer(), pair.server->local());
        EXPECT_EQ(pair.client->local(), pair.server->peer());
        EXPECT_NE(pair.client->peer().port, 0);
    });
}

TEST_P(NetworkContract, a_read_takes_what_is_there_and_never_waits) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        std::uint8_t buffer[8];
        const auto nothing = pair.server->read_some(buffer);
        REQUIRE(nothing.ok());
        EXPECT_EQ(nothing->count, 0u);
        EXPECT_FALSE(nothing->end_of_stream);
        const Instant deadline = after(Duration::milliseconds(2));
        auto readable = co_await pair.server->readable(deadline);
        REQUIRE(readable.ok());
        EXPECT_FALSE(*readable);
        EXPECT_GE(clock().now(), deadline);
    });
}

TEST_P(NetworkContract, a_deadline_passed_does_no_harm) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        for (int i = 0; i < 3; ++i) {
            auto readable = co_await pair.server->readable(after(Duration::milliseconds(1)));
            REQUIRE(readable.ok());
            EXPECT_FALSE(*readable);
        }
        Rope message = rope("late");
        auto sent = co_await pair.client->write(message, soon());
        REQUIRE(sent.ok());
        auto got = co_await read(pair.server.get(), 4, soon());
        EXPECT_EQ(got, "late");
    });
}

TEST_P(NetworkContract, large_writes_pass_and_mix_bytes_and_file_ranges) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        auto file = disk().open(path("a"), OpenMode::create);
        REQUIRE(file.ok());
        const std::string data = pattern(3 << 20);
        const ByteView pieces[] = {as_bytes(data)};
        REQUIRE((*file)->write(0, pieces).ok());
        Rope message;
        std::string expected;
        for (int i = 0; i < 40; ++i) {
            const std::string head = "[" + std::to_string(i) + "]";
            const std::uint32_t position = static_cast<std::uint32_t>(i) * 7919;
            const std::uint32_t length = static_cast<std::uint32_t>(i) * 6007 + 1;
            message.append(Bytes::copy_of(head));
            message.append((*file)->range(position, length));
            expected += head + data.substr(position, length);
        }
        message.append((*file)->range(0, 3 << 20));
        message.append((*file)->range(17, 5));
        expected += data + data.substr(17, 5);
        for (int i = 0; i < 3000; ++i) {
            message.append(Bytes::copy_of(std::to_string(i)));
            expected += std::to_string(i);
        }
        bool sent_ok = false;
        Gate done(clock());
        auto write_all = [](Stream* stream, Rope all, Instant deadline, bool* ok,
                            Gate* gate) -> Task<void> {
            auto sent = co_await stream->write(all, deadline);
            *ok = sent.ok();
            gate->open();
        };
        detach(write_all(pair.server.get(), message, soon(), &sent_ok, &done));
        auto got = co_await read(pair.client.get(), expected.size(), soon());
        EXPECT_EQ(got.size(), expected.size());
        EXPECT_TRUE(got == expected);
        auto passed = done.opened(soon());
        const bool opened = co_await passed;
        EXPECT_TRUE(opened);
        EXPECT_TRUE(sent_ok);
    });
}

TEST_P(NetworkContract, a_removed_file_can_still_be_sent) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        auto file = disk().open(path("a"), OpenMode::create);
        REQUIRE(file.ok());
        const std::string data = pattern(10000);
        const ByteView pieces[] = {as_bytes(data)};
        REQUIRE((*file)->write(0, pieces).ok());
        Rope message;
        message.append((*file)->range(0, 10000));
        file.value().reset();
        REQUIRE(disk().remove(path("a")).ok());
        auto sent = co_await pair.server->write(message, soon());
        REQUIRE(sent.ok());
        auto got = co_await read(pair.client.get(), 10000, soon());
        EXPECT_TRUE(got == data);
    });
}

TEST_P(NetworkContract, a_peer_that_does_not_read_makes_writes_end_at_their_deadline) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        Rope message = rope(std::string(64 << 20, 'x'));
        const Instant deadline = after(Duration::milliseconds(20));
        auto sent = co_await pair.server->write(message, deadline);
        EXPECT_FALSE(sent.ok());
        if (!sent.ok()) {
            EXPECT_EQ(sent.error().errno_value, ETIMEDOUT);
        }
        EXPECT_GE(clock().now(), deadline);
    });
}

TEST_P(NetworkContract, close_delivers_what_was_written_and_then_the_end) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        Rope message = rope("last words");
        auto sent = co_await pair.server->write(message, soon());
        REQUIRE(sent.ok());
        pair.server->close();
        auto got = co_await read(pair.client.get(), 100, soon());
        EXPECT_EQ(got, "last words");
        auto readable = co_await pair.client->readable(soon());
        REQUIRE(readable.ok());
        EXPECT_TRUE(*readable);
        std::uint8_t buffer[8];
        const auto end = pair.client->read_some(buffer);
        REQUIRE(end.ok());
        EXPECT_TRUE(end->end_of_stream);
    });
}

TEST_P(NetworkContract, destroying_a_stream_closes_it) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        pair.server.reset();
        auto got = co_await read(pair.client.get(), 100, soon());
        EXPECT_EQ(got, "");
    });
}

TEST_P(NetworkContract, the_peer_of_a_reset_sees_an_error) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        pair.server->reset();
        auto got = co_await read(pair.client.get(), 100, soon());
        EXPECT_EQ(got, "error");
        Rope message = rope("x");
        auto sent = co_await pair.client->write(message, soon());
        EXPECT_FALSE(sent.ok());
    });
}

TEST_P(NetworkContract, closing_completes_own_waits_with_an_error) {
    run([this]() -> Task<void> {
        for (const bool abrupt : {false, true}) {
            auto pair = co_await connected();
            REQUIRE(pair.ok());
            Stream* server = pair.server.get();
            clock().at(after(Duration::milliseconds(1)), [server, abrupt] {
                if (abrupt) {
                    server->reset();
                } else {
                    server->close();
                }
            });
            auto readable = co_await server->readable(Instant::never());
            EXPECT_FALSE(readable.ok());
            auto again = co_await server->readable(Instant::never());
            EXPECT_FALSE(again.ok());
            std::uint8_t buffer[8];
            EXPECT_FALSE(server->read_some(buffer).ok());
            Rope message = rope("x");
            auto sent = co_await server->write(message, soon());
            EXPECT_FALSE(sent.ok());
            server->close();
            server->reset();
        }
    });
}

TEST_P(NetworkContract, closing_completes_an_own_write_with_an_error) {
    run([this]() -> Task<void> {
        auto pair = co_await connected();
        REQUIRE(pair.ok());
        Stream* server = pair.server.get();
        clock().at(after(Duration::milliseconds(1)), [server] { server->reset(); });
        Rope message = rope(std::string(64 << 20, 'x'));
        auto sent = co_await server->write(message, Instant::never());
        EXPECT_FALSE(sent.ok());
    });
}

TEST_P(NetworkContract, a_port_has_one_listener) {
    run([this]() -> Task<void> {
        auto first = network().listen(Address{world_->host(), 0});
        REQUIRE(first.ok());
        const Address address = (*first)->local();
        EXPECT_NE(address.port, 0);
        EXPECT_EQ(address.host, world_->host());
        auto second = network().listen(address);
        EXPECT_FALSE(second.ok());
        if (!second.ok()) {
            EXPECT_EQ(second.error().errno_value, EADDRINUSE);
            EXPECT_NE(second.error().message.find(text(address)), std::string::npos);
        }
        first.value()->close();
        first.value().reset();
        auto third = network().listen(address);
        EXPECT_TRUE(third.ok());
        co_return;
    });
}

TEST_P(NetworkContract, connecting_where_nobody_listens_fails) {
    run([this]() -> Task<void> {
        auto listener = network().listen(Address{world_->host(), 0});
        REQUIRE(listener.ok());
        const Address address = (*listener)->local();
        (*listener)->close();
        listener.value().reset();
        auto client = co_await network().connect(address, after(Duration::seconds(5)));
        EXPECT_FALSE(client.ok());
        if (!client.ok()) {
            EXPECT_NE(client.error().message.find(text(address)), std::string::npos);
        }
    });
}

TEST_P(NetworkContract, closing_a_listener_completes_its_accept) {
    run([this]() -> Task<void> {
        auto listener = network().listen(Address{world_->host(), 0});
        REQUIRE(listener.ok());
        Listener* open = listener->get();
        clock().at(after(Duration::milliseconds(1)), [open] { open->close(); });
        auto stream = co_await open->accept();
        EXPECT_FALSE(stream.ok());
        auto again = co_await open->accept();
        EXPECT_FALSE(again.ok());
    });
}

TEST_P(NetworkContract, many_connections_are_accepted) {
    run([this]() -> Task<void> {
        auto listener = network().listen(Address{world_->host(), 0});
        REQUIRE(listener.ok());
        const Address address = (*listener)->local();
        std::vector<std::unique_ptr<Stream>> streams;
        for (int i = 0; i < 50; ++i) {
            auto client = co_await network().connect(address, soon());
            REQUIRE(client.ok());
            streams.push_back(std::move(client).value());
        }
        for (int i = 0; i < 50; ++i) {
            auto server = co_await (*listener)->accept();
            REQUIRE(server.ok());
            streams.push_back(std::move(server).value());
        }
    });
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(NetworkContract);

}  // namespace pabal::io::contract
