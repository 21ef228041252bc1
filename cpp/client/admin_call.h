// How every call of Admin goes out: for the files that hold its calls, and nobody else.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/error_code.h"
#include "client/admin.h"
#include "io/gate.h"

namespace pabal::client {

// A topic that was just created is known everywhere within this time; asked again meanwhile.
inline constexpr Duration retry_pause = Duration::milliseconds(5);

// The error that a response carries, with its code's own sentence left to the reader's table when
// the broker gave none.
inline Status status_of(ErrorCode code, const std::optional<std::string>& message) {
    if (code == ErrorCode::none) return {};
    return Error{code, message.value_or("")};
}

inline Error answered_for_another(const std::string& name) {
    return {ErrorCode::invalid_request, "the broker did not answer for " + name};
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call(Request request, Instant deadline) {
    if (connection_) {
        Request first = request;
        auto response = co_await connection_->call<Response>(std::move(first), deadline);
        if (response.ok() || response.error().code == ErrorCode::unsupported_version) {
            co_return response;
        }
        connection_.reset();
        if (response.error().code != ErrorCode::network_exception) co_return response;
    }
    auto connected = co_await connect(deadline);
    if (!connected.ok()) co_return connected.error();
    auto response = co_await connection_->call<Response>(std::move(request), deadline);
    if (!response.ok() && response.error().code != ErrorCode::unsupported_version) {
        connection_.reset();
    }
    co_return response;
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call_at(BrokerId broker, Request request, Instant deadline) {
    const auto found = nodes_.find(broker);
    if (found == nodes_.end()) {
        co_return Error{ErrorCode::broker_not_available,
                        "broker " + std::to_string(broker.value()) + " is not alive"};
    }
    Node& node = found->second;
    if (node.connection) {
        Request first = request;
        auto response = co_await node.connection->call<Response>(std::move(first), deadline);
        if (response.ok() || response.error().code == ErrorCode::unsupported_version) {
            co_return response;
        }
        node.connection.reset();
        if (response.error().code != ErrorCode::network_exception) co_return response;
    }
    io::Address address = node.address;
    std::string client_id = "pabal-admin";
    auto opened = co_await rpc::Connection::open(network_, std::move(address), std::move(client_id),
                                                 deadline);
    if (!opened.ok()) co_return opened.error();
    node.connection = std::move(*opened);
    auto response = co_await node.connection->call<Response>(std::move(request), deadline);
    if (!response.ok() && response.error().code != ErrorCode::unsupported_version) {
        node.connection.reset();
    }
    co_return response;
}

}  // namespace pabal::client
