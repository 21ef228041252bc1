// The way from this node to the active controller, wherever it is: a call of this process where
// this node leads the metadata quorum, else one over the network. Tries again while there is none,
// while another node becomes it, and when a connection is lost, until the deadline. Owned by the
// node, lives on its shard.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/gate.h"
#include "io/task.h"
#include "runtime/controller.h"
#include "runtime/peers.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/envelope.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::runtime {

// Whether an answer, in any of the places that it has for errors, comes from a node that is not, or
// no longer, the active controller.
template <class Response>
bool says_not_controller(const Response& response) {
    auto any = [](const auto& items) {
        for (const auto& item : items)
            if (item.error_code == ErrorCode::not_controller) return true;
        return false;
    };
    if constexpr (requires { response.error_code; })
        if (response.error_code == ErrorCode::not_controller) return true;
    if constexpr (requires { response.topics[0].error_code; }) return any(response.topics);
    if constexpr (requires { response.responses[0].error_code; }) return any(response.responses);
    if constexpr (requires { response.results[0].error_code; }) return any(response.results);
    return false;
}

class ControllerLink {
public:
    // All must outlive this. `controller` is that of this node, active or not.
    ControllerLink(io::Clock* clock, Controller* controller, Quorum* quorum,
                   MetadataPublisher* publisher, Peers* peers);
    ~ControllerLink();

    // On behalf of this node: registration, heartbeats, in-sync replicas, producer ids. In the
    // highest version that both sides know. REQUEST_TIMED_OUT at the deadline.
    template <class Response, class Request>
    io::Task<Result<Response>> call(Request request, Instant deadline) {
        // Heartbeats have a connection of their own, which tells the controller that this process
        // lives, and wait for nothing else.
        constexpr bool is_heartbeat = Request::api_key == wire::BrokerHeartbeatRequest::api_key ||
                                      Request::api_key == wire::BrokerRegistrationRequest::api_key;
        const Purpose purpose = is_heartbeat ? Purpose::heartbeat : Purpose::control;
        while (true) {
            const std::optional<io::Address> address = controller_address();
            if (controller_->active()) {
                CallContext context;
                context.deadline = deadline;
                Request copy = request;
                auto response =
                    co_await controller_->answer(std::move(copy), Request::max_version, context);
                if (!says_not_controller(response)) co_return response;
            } else if (address) {
                Request copy = request;
                io::Address to = *address;
                auto response = co_await peers_->call<Response>(std::move(to), purpose,
                                                                std::move(copy), deadline);
                if (response.ok() && !says_not_controller(*response)) co_return response;
                if (!response.ok() && response.error().code == ErrorCode::unsupported_version)
                    co_return response;
            }
            auto again = co_await wait_for_controller(deadline);
            if (!again.ok()) co_return again.error();
        }
    }

    // On behalf of a client of this node (KIP-590): in the client's version. When the answer is
    // there this node has applied what the controller knew then.
    struct Client {
        int version = 0;
        std::string host;
        std::string id;
        std::string principal = "ANONYMOUS";
    };
    template <class Response, class Request>
    io::Task<Result<Response>> forward(Request request, Client client, Instant deadline) {
        while (true) {
            const std::optional<io::Address> address = controller_address();
            if (controller_->active()) {
                CallContext context;
                context.principal = "User:" + client.principal;
                context.deadline = deadline;
                Request copy = request;
                auto response =
                    co_await controller_->answer(std::move(copy), client.version, context);
                if (!says_not_controller(response)) co_return response;
            } else if (address) {
                wire::Writer writer;
                begin_forwarded(writer, Request::api_key, client);
                encode(writer, request, client.version);
                wire::EnvelopeRequest envelope = enclose(writer, client);
                io::Address to = *address;
                auto answer = co_await peers_->call<wire::EnvelopeResponse>(
                    std::move(to), Purpose::forward, std::move(envelope), deadline);
                if (answer.ok()) {
                    auto response = open<Response>(*answer, Request::api_key, client.version);
                    const bool moved = response.ok()
                                           ? says_not_controller(*response)
                                           : response.error().code == ErrorCode::not_controller;
                    if (!moved) {
                        io::Address asked = *address;
                        co_await applied(std::move(asked), deadline);
                        co_return response;
                    }
                } else if (answer.error().code == ErrorCode::unsupported_version) {
                    co_return answer.error();
                }
            }
            auto again = co_await wait_for_controller(deadline);
            if (!again.ok()) co_return again.error();
        }
    }

    // Somebody leads the metadata quorum, as far as this node knows.
    bool knows_controller() const { return controller_->active() || controller_address(); }
    // What is committed and applied here; never null.
    const ImagePointer& image() const { return publisher_->image(); }

    // Ends with the next news of the metadata log or of its leader, at the latest at `deadline`.
    io::Task<void> news(Instant deadline);

    // Ends all waits with an error; calls over the network end with the peers.
    void stop();
    bool is_stopped() const { return stopped_; }

private:
    struct Waiter;

    std::optional<io::Address> controller_address() const;
    void leader_changed();
    // Ends at once when the leader changes, else after a moment; an error at the deadline.
    io::Task<Status> wait_for_controller(Instant deadline);
    // Until this node has applied what the controller at `address` has committed.
    io::Task<void> applied(io::Address address, Instant deadline);
    void begin_forwarded(wire::Writer& writer, wire::ApiKey api, const Client& client) const;
    wire::EnvelopeRequest enclose(wire::Writer& writer, const Client& client) const;
    static Status open_header(wire::Reader& reader, wire::ApiKey api, int version);
    template <class Response>
    static Result<Response> open(const wire::EnvelopeResponse& envelope, wire::ApiKey api,
                                 int version) {
        if (envelope.error_code != ErrorCode::none)
            return Error{envelope.error_code, "the active controller refused to take the request"};
        if (!envelope.response_data)
            return Error{ErrorCode::unknown_server_error, "the active controller answered nothing"};
        wire::Reader reader(*envelope.response_data);
        PABAL_TRY(open_header(reader, api, version));
        Response response;
        PABAL_TRY(decode(reader, response, version));
        return response;
    }

    io::Clock* clock_;
    Controller* controller_;
    Quorum* quorum_;
    MetadataPublisher* publisher_;
    Peers* peers_;
    std::optional<io::Address> last_address_;
    std::vector<Waiter*> waiters_;  // For another leader, or for news of the metadata log.
    bool stopped_ = false;
};

}  // namespace pabal::runtime
