// One connection to a broker, as a client in the simulation has it: real messages over the
// simulated network, one request at a time. Owned by a workload; lives on its client's shard. A
// failure closes the connection; the next request opens another.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "io/ports.h"
#include "io/task.h"
#include "wire/api_table.h"
#include "wire/header.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::sim {

class WireClient {
public:
    // The ports outlive the client.
    WireClient(io::Clock& clock, io::Network& network, io::Address broker, std::string client_id);

    // The answer, or why there is none: then the request may have been carried out or not, unless
    // `was_sent()` is false.
    template <class Response, class Request>
    io::Task<IoResult<Response>> ask(Request request, int version, Duration patience) {
        const wire::ApiRow* api = wire::find_api(Request::api_key);
        wire::Writer writer;
        wire::begin_request(writer, *api, version, ++correlation_id_, client_id_);
        encode(writer, request, version);
        Rope frame = writer.take();
        const Instant deadline = clock_.now() + patience;
        auto answer = co_await exchange(frame, deadline);
        if (!answer.ok()) co_return answer.error();
        wire::Reader reader(std::move(answer).value());
        wire::ResponseHeader header;
        Response response;
        auto status = wire::decode(reader, header, wire::response_header_version(*api, version));
        if (status.ok()) status = decode(reader, response, version);
        if (status.ok()) status = reader.finish();
        if (!status.ok() || header.correlation_id != correlation_id_) {
            co_return garbled(std::string(api->name), status);
        }
        co_return response;
    }
    // Sends without waiting for an answer: produce with acks=0.
    template <class Request>
    io::Task<IoStatus> tell(Request request, int version, Duration patience) {
        const wire::ApiRow* api = wire::find_api(Request::api_key);
        wire::Writer writer;
        wire::begin_request(writer, *api, version, ++correlation_id_, client_id_);
        encode(writer, request, version);
        Rope frame = writer.take();
        const Instant deadline = clock_.now() + patience;
        auto sent = co_await send(frame, deadline);
        co_return sent;
    }

    // Whether any byte of the last request may have reached the broker.
    bool was_sent() const { return was_sent_; }
    // Whether the last request failed: another broker may do better.
    bool has_failed() const { return has_failed_; }
    // A response that a client could not make sense of. Empty while all is well.
    const std::string& garbled_response() const { return garbled_; }
    void disconnect();

private:
    io::Task<IoStatus> send(Rope frame, Instant deadline);
    io::Task<IoResult<Bytes>> exchange(Rope frame, Instant deadline);
    io::Task<IoStatus> read_exactly(MutableByteView into, Instant deadline);
    IoError garbled(const std::string& api, const Status& status);

    io::Clock& clock_;
    io::Network& network_;
    io::Address broker_;
    std::string client_id_;
    std::unique_ptr<io::Stream> stream_;
    std::int32_t correlation_id_ = 0;
    bool was_sent_ = false;
    bool has_failed_ = false;
    std::string garbled_;
};

}  // namespace pabal::sim
