// A HandlerWorld whose broker accepts connections over the simulated network, and raw clients on a
// machine of their own: they send bytes when told to, and keep what comes back.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/connections.h"
#include "broker/dispatch.h"
#include "tests/unit/broker/handler_world.h"
#include "wire/api_table.h"
#include "wire/api_versions.h"
#include "wire/header.h"
#include "wire/metadata.h"
#include "wire/reader.h"

namespace pabal::broker {

class ConnectionWorld : public HandlerWorld {
public:
    static constexpr std::uint16_t broker_port = 9092;

    explicit ConnectionWorld(std::map<std::string, std::string> properties = {},
                             ListenerRole role = ListenerRole::broker)
        : HandlerWorld(10, std::move(properties)),
          client_machine(scheduler, network, "client", 1 << 20, sim::Skew()),
          client_process(client_machine.boot()),
          dispatch(context.get()) {
        connections.emplace(context.get(), &dispatch);
        auto listener = ports->network.listen({"", broker_port});
        EXPECT_TRUE(listener.ok());
        connections->serve(std::move(*listener), "PLAINTEXT", role);
    }
    ~ConnectionWorld() {
        connections->reset();
        end();
        connections.reset();
    }

    // Until the last connection has ended.
    void end() { EXPECT_TRUE(run(connections->ended(Instant::never()))); }
    void run_for(Duration duration) { scheduler.run_for(duration); }
    // Whether this comes true soon, or never; time moves meanwhile.
    bool soon(const std::function<bool()>& done) {
        return scheduler.run_until(done, scheduler.now() + Duration::seconds(120));
    }

    template <class Request>
    static Bytes frame(const Request& request, int version, std::int32_t correlation_id) {
        wire::Writer writer;
        wire::begin_request(writer, *wire::find_api(Request::api_key), version, correlation_id,
                            "test");
        encode(writer, request, version);
        return *writer.take().flatten();
    }
    static Bytes versions_frame(std::int32_t correlation_id) {
        return frame(wire::ApiVersionsRequest(), 0, correlation_id);
    }
    Bytes fetch_frame(std::int32_t correlation_id, std::int32_t max_wait) {
        return frame(fetch_request({{"topic"}}, max_wait), 11, correlation_id);
    }
    Bytes produce_frame(std::int32_t correlation_id, std::size_t size = 10) {
        auto request = produce_request();
        add(&request, "topic", 0, batch({std::string(size, 'x')}));
        return frame(request, 9, correlation_id);
    }

    sim::Machine client_machine;
    std::unique_ptr<sim::Process> client_process;
    Dispatch dispatch;
    std::optional<Connections> connections;
};

class Client {
public:
    struct Reply {
        std::int32_t correlation_id = 0;
        Bytes content;  // With its header.
    };

    explicit Client(ConnectionWorld* world, bool reads = true) : world_(world), reads_(reads) {
        io::detach(live(this, &world->client_process->ports().network));
        world->wait([&] { return connected_ || ended_; });
    }
    ~Client() {
        reset();
        world_->wait([&] { return ended_ && !writing_ && !reading_; });
    }

    // Sends in the background, after what was sent before.
    void send(const Bytes& bytes) {
        unsent_.append(bytes);
        if (!writing_) io::detach(write_all(this));
    }
    void send(const Bytes& bytes, std::size_t from, std::size_t count) {
        send(bytes.slice(from, count));
    }
    void begin_to_read() {
        reads_ = true;
        io::detach(read_all(this));
    }
    void close() {
        if (stream_) stream_->close();
    }
    void reset() {
        if (stream_) stream_->reset();
        if (!reading_) ended_ = true;
    }

    bool writing() const { return writing_; }
    // The broker has ended the connection, one way or the other.
    bool ended() const { return ended_; }
    bool was_reset() const { return was_reset_; }
    std::size_t received_bytes() const { return received_.size(); }
    std::vector<Reply> replies() const {
        std::vector<Reply> all;
        std::size_t at = 0;
        while (at + 8 <= received_.size()) {
            std::uint32_t length = 0;
            std::uint32_t correlation = 0;
            for (std::size_t i = 0; i < 4; ++i) {
                length = length << 8 | static_cast<std::uint8_t>(received_[at + i]);
                correlation = correlation << 8 | static_cast<std::uint8_t>(received_[at + 4 + i]);
            }
            if (at + 4 + length > received_.size()) break;
            all.push_back({static_cast<std::int32_t>(correlation),
                           Bytes::copy_of(std::string_view(received_).substr(at + 4, length))});
            at += 4 + length;
        }
        return all;
    }
    std::vector<std::int32_t> correlation_ids() const {
        std::vector<std::int32_t> ids;
        for (const auto& reply : replies()) ids.push_back(reply.correlation_id);
        return ids;
    }

private:
    static io::Task<void> live(Client* self, io::Network* network) {
        const io::Address address{"alpha", ConnectionWorld::broker_port};
        auto stream = co_await network->connect(address, Instant::never());
        if (!stream.ok()) {
            self->ended_ = true;
            co_return;
        }
        self->stream_ = std::move(*stream);
        self->connected_ = true;
        if (self->reads_) co_await read_all(self);
    }
    static io::Task<void> read_all(Client* self) {
        self->reading_ = true;
        std::vector<std::uint8_t> buffer(4096);
        while (!self->ended_) {
            auto readable = co_await self->stream_->readable(Instant::never());
            if (!readable.ok()) {
                self->was_reset_ = true;
                break;
            }
            const auto read = self->stream_->read_some({buffer.data(), buffer.size()});
            if (!read.ok()) self->was_reset_ = true;
            if (!read.ok() || read->end_of_stream) break;
            self->received_.append(reinterpret_cast<const char*>(buffer.data()), read->count);
        }
        self->ended_ = true;
        self->reading_ = false;
    }
    static io::Task<void> write_all(Client* self) {
        self->writing_ = true;
        while (!self->unsent_.empty()) {
            Rope rope = std::move(self->unsent_);
            self->unsent_ = Rope();
            auto written = co_await self->stream_->write(std::move(rope), Instant::never());
            if (!written.ok()) {
                self->ended_ = true;
                self->was_reset_ = true;
                break;
            }
        }
        self->writing_ = false;
    }

    ConnectionWorld* world_;
    std::unique_ptr<io::Stream> stream_;
    Rope unsent_;
    std::string received_;
    bool reads_;
    bool connected_ = false;
    bool reading_ = false;
    bool writing_ = false;
    bool ended_ = false;
    bool was_reset_ = false;
};

}  // namespace pabal::broker
