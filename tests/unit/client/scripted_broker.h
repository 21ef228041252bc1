// A broker of the simulator's network that answers as its test says: frames in, answers out,
// slowly, several requests at a time. Owned by a test, on whose scheduler it runs; awaits `is_idle`
// after `stop`.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/clock.h"
#include "sim/machine.h"
#include "wire/api_versions.h"
#include "wire/header.h"
#include "wire/metadata.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::client {

class ScriptedBroker {
public:
    static constexpr std::uint16_t port = 9092;

    explicit ScriptedBroker(sim::Process* process) : process_(*process) {}
    virtual ~ScriptedBroker() = default;

    int most_waiting = 0;

    void serve() {
        auto listener = process_.ports().network.listen({"", port});
        ASSERT_TRUE(listener.ok());
        listener_ = std::move(*listener);
        io::detach(accept_all(this));
    }
    void stop() {
        listener_->close();
        for (auto& stream : streams_) stream->reset();
    }
    bool is_idle() const { return running_ == 0; }

protected:
    struct Served {
        wire::ApiKey key;
        int least;
        int latest;
    };
    // All that this broker serves beside ApiVersions.
    virtual std::vector<Served> served() const = 0;
    // Nothing breaks the connection.
    virtual bool answer(wire::ApiKey api, int version, wire::Reader* request,
                        wire::Writer* response) = 0;
    // This broker alone; the topic "orders" with so many partitions.
    static wire::MetadataResponse itself(int partitions) {
        wire::MetadataResponse response;
        auto& broker = response.brokers.emplace_back();
        broker.node_id = BrokerId(0);
        broker.host = "broker";
        broker.port = port;
        auto& topic = response.topics.emplace_back();
        topic.name = "orders";
        topic.topic_id = TopicId(Uuid{{1}});
        for (int index = 0; index < partitions; ++index) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = PartitionIndex(index);
            partition.leader_id = BrokerId(0);
            partition.leader_epoch = LeaderEpoch(1);
        }
        return response;
    }

private:
    static io::Task<void> accept_all(ScriptedBroker* self) {
        ++self->running_;
        for (;;) {
            auto accepted = co_await self->listener_->accept();
            if (!accepted.ok()) break;
            self->streams_.push_back(std::move(*accepted));
            io::detach(read_all(self, self->streams_.back().get()));
        }
        --self->running_;
    }
    static io::Task<void> read_all(ScriptedBroker* self, io::Stream* stream) {
        ++self->running_;
        std::string input;
        std::vector<std::uint8_t> buffer(65536);
        bool open = true;
        while (open) {
            auto readable = co_await stream->readable(Instant::never());
            if (!readable.ok()) break;
            const auto read = stream->read_some({buffer.data(), buffer.size()});
            if (!read.ok() || read->end_of_stream) break;
            input.append(reinterpret_cast<const char*>(buffer.data()), read->count);
            std::deque<Bytes> frames;
            while (input.size() >= 4) {
                std::uint32_t size = 0;
                for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<std::uint8_t>(input[i]);
                if (input.size() < 4 + size) break;
                frames.push_back(Bytes::copy_of(std::string_view(input).substr(4, size)));
                input.erase(0, 4 + size);
            }
            self->most_waiting = std::max(self->most_waiting, static_cast<int>(frames.size()));
            // What came together is answered together, later.
            io::Sleep pause(self->process_.clock(),
                            self->process_.clock().now() + Duration::milliseconds(3));
            co_await pause;
            Rope out;
            while (!frames.empty() && open) {
                auto reply = self->reply_to(frames.front());
                frames.pop_front();
                open = reply.has_value();
                if (open) out.append(std::move(*reply));
            }
            if (!open) {
                stream->reset();
                break;
            }
            auto written = co_await stream->write(std::move(out), Instant::never());
            if (!written.ok()) break;
        }
        --self->running_;
    }

    std::optional<Rope> reply_to(const Bytes& frame) {
        wire::Reader reader(frame);
        wire::RequestHeader header;
        EXPECT_TRUE(wire::decode_request_header(reader, header).ok());
        const auto api = static_cast<wire::ApiKey>(header.request_api_key);
        const int version = header.request_api_version;
        wire::Writer writer;
        wire::begin_response(writer, *wire::find_api(api), version, header.correlation_id);
        if (api != wire::ApiVersionsRequest::api_key) {
            if (!answer(api, version, &reader, &writer)) return std::nullopt;
            return writer.take();
        }
        wire::ApiVersionsResponse response;
        auto all = served();
        all.push_back({wire::ApiVersionsRequest::api_key, 3, 3});
        for (const auto& [key, least, latest] : all) {
            auto& one = response.api_keys.emplace_back();
            one.api_key = static_cast<std::int16_t>(key);
            one.min_version = static_cast<std::int16_t>(least);
            one.max_version = static_cast<std::int16_t>(latest);
        }
        encode(writer, response, version);
        return writer.take();
    }

    sim::Process& process_;
    std::unique_ptr<io::Listener> listener_;
    std::vector<std::unique_ptr<io::Stream>> streams_;
    int running_ = 0;
};

}  // namespace pabal::client
