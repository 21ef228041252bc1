// One connection to a broker with any number of requests under way: they leave in the order in
// which they were asked for, and so come their responses. Lives on one shard, shared by whoever
// calls on it; its owner says `stop` and awaits that.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "client/task_group.h"
#include "io/gate.h"
#include "io/network.h"
#include "io/task.h"
#include "rpc/served_versions.h"
#include "wire/api_table.h"
#include "wire/header.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::client {

class Channel : public std::enable_shared_from_this<Channel> {
public:
    // A response beyond this is taken for garbage.
    static constexpr std::size_t max_response_bytes = 512u << 20;

    // Connects and asks for the broker's versions (KIP-35). Errors: broker_not_available with the
    // address and the reason; request_timed_out.
    static io::Task<Result<std::shared_ptr<Channel>>> open(io::Clock* clock, io::Network* network,
                                                           io::Address address,
                                                           std::string client_id, Instant deadline);
    ~Channel();

    // Sends `request` in the highest version that both sides know and waits for its response; other
    // calls may start meanwhile. A call whose deadline passes ends the connection, as what comes
    // behind it would wait too. Errors: unsupported_version, after which the connection still
    // serves; network_exception, request_timed_out and invalid_request, after which it does not.
    template <class Response, class Request>
    io::Task<Result<Response>> call(Request request, Instant deadline) {
        const std::shared_ptr<Channel> self = shared_from_this();
        const auto version = version_of(Request::api_key);
        if (!version.ok()) co_return version.error();
        // A request whose fields depend on the version fills them in now.
        if constexpr (requires { request.fill(0); }) request.fill(*version);
        Waiting waiting(clock_, Request::api_key, *version);
        wire::Writer writer;
        begin(&writer, &waiting);
        encode(writer, request, *version);
        submit(writer.take(), &waiting);
        co_await waiting.answered.opened(deadline);
        if (!waiting.answered.is_open()) time_out(&waiting);
        if (waiting.failure) co_return *waiting.failure;
        wire::Reader reader(std::move(waiting.reply));
        Response response;
        const Status body = decode(reader, response, *version);
        if (!body.ok()) {
            fail(body.error());
            co_return body.error();
        }
        co_return response;
    }

    // Sends a request that has no response (Produce with acks=0).
    template <class Request>
    Status send(const Request& request) {
        if (failure_) return *failure_;
        PABAL_TRY_ASSIGN(const int version, version_of(Request::api_key));
        wire::Writer writer;
        wire::begin_request(writer, *wire::find_api(Request::api_key), version,
                            ++last_correlation_id_, client_id_);
        encode(writer, request, version);
        submit(writer.take(), nullptr);
        return {};
    }

    // What both sides know of an API. Errors: unsupported_version.
    Result<int> version_of(wire::ApiKey api) const;
    bool is_open() const { return !failure_; }
    const io::Address& address() const { return address_; }
    // What was submitted and has not left yet.
    std::size_t unsent_bytes() const { return outgoing_.size(); }
    // Ends the connection; calls under way end with `why`.
    void fail(Error why);
    // The same, and awaits the end of all that this connection ran.
    io::Task<void> stop();

private:
    struct Waiting {
        Waiting(io::Clock& clock, wire::ApiKey which, int in_version)
            : answered(clock), api(which), version(in_version) {}
        io::Gate answered;
        wire::ApiKey api;
        int version;
        std::int32_t correlation_id = 0;
        Bytes reply;  // Behind its header.
        std::optional<Error> failure;
    };

    Channel(io::Clock* clock, std::unique_ptr<io::Stream> stream, io::Address address,
            std::string client_id);

    void begin(wire::Writer* writer, Waiting* waiting);
    void submit(Rope frame, Waiting* waiting);
    void time_out(Waiting* waiting);
    io::Task<Status> negotiate(Instant deadline);
    static io::Task<void> write_all(std::shared_ptr<Channel> self);
    static io::Task<void> read_all(std::shared_ptr<Channel> self);
    // Takes what has come; false if there may be more.
    Result<bool> take_input();
    Status take_frames();
    Status answer(Bytes frame);
    Result<std::size_t> frame_size(const std::uint8_t* at) const;

    io::Clock& clock_;
    std::unique_ptr<io::Stream> stream_;
    io::Address address_;
    std::string client_id_;
    TaskGroup tasks_;
    std::int32_t last_correlation_id_ = 0;
    rpc::ServedVersions served_;
    std::deque<Waiting*> waiting_;  // In the order of their requests.
    Rope outgoing_;
    bool writing_ = false;
    std::optional<Error> failure_;
    // Input: small frames are cut from here, a large one is read into memory of its own.
    Buffer input_;
    std::size_t input_bytes_ = 0;
    Buffer large_;
    std::size_t large_bytes_ = 0;
};

}  // namespace pabal::client
