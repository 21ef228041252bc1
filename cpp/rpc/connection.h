// One connection to a broker: requests out, responses in, in the highest version that both sides
// know (KIP-35). One at a time with `call`; with `send` and `receive` a request may follow another
// before that is answered. Lives on one shard; its owner awaits every call before destroying it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/network.h"
#include "io/task.h"
#include "rpc/served_versions.h"
#include "wire/api_table.h"
#include "wire/header.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::rpc {

class Connection {
public:
    // A response beyond this is taken for garbage.
    static constexpr std::size_t max_response_bytes = 256u << 20;

    // Connects and asks for the broker's versions. Errors: broker_not_available with the address
    // and the reason; request_timed_out.
    static io::Task<Result<std::unique_ptr<Connection>>> open(io::Network* network,
                                                              io::Address address,
                                                              std::string client_id,
                                                              Instant deadline);
    ~Connection();

    // Sends `request` and waits for its response. After any error but unsupported_version the
    // connection is of no more use. Errors: unsupported_version if the broker does not serve the
    // API in a version of ours; network_exception; request_timed_out; invalid_request if the
    // response cannot be read.
    template <class Response, class Request>
    io::Task<Result<Response>> call(Request request, Instant deadline) {
        auto sent = co_await send(std::move(request), deadline);
        if (!sent.ok()) co_return sent.error();
        const Sent awaited = *sent;
        auto response = co_await receive<Response>(awaited, deadline);
        co_return response;
    }

    // What `receive` needs to know of a request that was sent.
    struct Sent {
        wire::ApiKey api;
        int version;
        std::int32_t correlation_id;
    };
    // The two halves of `call`. One request is sent at a time, and one response received, in the
    // order of the requests; a response may be awaited while another request is sent.
    template <class Request>
    io::Task<Result<Sent>> send(Request request, Instant deadline) {
        const auto version = version_of(Request::api_key);
        if (!version.ok()) co_return version.error();
        // A request whose fields depend on the version fills them in now.
        if constexpr (requires { request.fill(0); }) request.fill(*version);
        wire::Writer writer;
        Sent sent{Request::api_key, *version, begin(&writer, Request::api_key, *version)};
        encode(writer, request, *version);
        Rope frame = writer.take();
        auto written = co_await write(std::move(frame), deadline);
        if (!written.ok()) co_return written.error();
        co_return sent;
    }
    template <class Response>
    io::Task<Result<Response>> receive(Sent sent, Instant deadline) {
        auto reply = co_await read_frame(deadline);
        if (!reply.ok()) co_return reply.error();
        wire::Reader reader(*reply);
        const Status header = check_header(&reader, sent.api, sent.version, sent.correlation_id);
        if (!header.ok()) co_return header.error();
        Response response;
        const Status body = decode(reader, response, sent.version);
        if (!body.ok()) co_return body.error();
        co_return response;
    }

    const io::Address& address() const { return address_; }
    // Ends a call that is under way, too, with an error.
    void close();
    // The same, abruptly: the peer sees a reset.
    void reset();

private:
    Connection(std::unique_ptr<io::Stream> stream, io::Address address, std::string client_id);

    Result<int> version_of(wire::ApiKey api) const;
    std::int32_t begin(wire::Writer* writer, wire::ApiKey api, int version);
    Status check_header(wire::Reader* reader, wire::ApiKey api, int version,
                        std::int32_t correlation_id) const;
    io::Task<Status> write(Rope frame, Instant deadline);
    io::Task<Result<Bytes>> read_frame(Instant deadline);
    io::Task<Status> read_exactly(MutableByteView into, Instant deadline);
    Buffer room_for(std::size_t size);
    io::Task<Status> negotiate(Instant deadline);
    Error lost(const IoError& error) const;

    std::unique_ptr<io::Stream> stream_;
    io::Address address_;
    std::string client_id_;
    std::int32_t last_correlation_id_ = 0;
    ServedVersions served_;
    // What was read with a length and does not belong to it.
    Buffer ahead_;
    std::size_t ahead_begin_ = 0;
    std::size_t ahead_end_ = 0;
    Bytes last_frame_;  // Its memory is used again once nobody holds a slice of it.
};

}  // namespace pabal::rpc
