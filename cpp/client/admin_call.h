// How every call of Admin goes out: for the files that hold its calls, and nobody else.
#pragma once

#include <algorithm>
#include <cstdint>
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

inline std::int32_t milliseconds_left(Instant now, Instant deadline) {
    const std::int64_t left = (deadline - now).to_milliseconds();
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(left, 1, INT32_MAX));
}

// A connection that was made before may have been lost meanwhile: that says nothing of the broker.
// One that does not answer in time may be to a broker that others have taken the place of.
inline bool is_worth_another_try(ErrorCode code, bool fresh, Instant now, Instant deadline) {
    if (code == ErrorCode::network_exception) return !fresh;
    return code == ErrorCode::request_timed_out && now < deadline;
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call(Request request, Instant deadline) {
    for (;;) {
        const bool fresh = !connection_;
        if (fresh) {
            auto connected = co_await connect(deadline);
            if (!connected.ok()) co_return connected.error();
        }
        Request next = request;
        const Instant limit = end_of_try(deadline);
        auto response = co_await connection_->call<Response>(std::move(next), limit);
        if (response.ok() || response.error().code == ErrorCode::unsupported_version) {
            co_return response;
        }
        connection_.reset();
        const ErrorCode code = response.error().code;
        if (!is_worth_another_try(code, fresh, clock_->now(), deadline)) co_return response;
        if (code == ErrorCode::request_timed_out) ++first_to_try_;
    }
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call_at(BrokerId broker, Request request, Instant deadline) {
    const auto found = nodes_.find(broker);
    if (found == nodes_.end()) {
        co_return Error{ErrorCode::broker_not_available,
                        "broker " + std::to_string(broker.value()) + " is not alive"};
    }
    Node* node = &found->second;
    for (;;) {
        const bool fresh = !node->connection;
        if (fresh) {
            auto connected = co_await connect_to(node, deadline);
            if (!connected.ok()) co_return connected.error();
        }
        Request next = request;
        const Instant limit = end_of_try(deadline);
        auto response = co_await node->connection->call<Response>(std::move(next), limit);
        if (response.ok() || response.error().code == ErrorCode::unsupported_version) {
            co_return response;
        }
        node->connection.reset();
        const ErrorCode code = response.error().code;
        if (!is_worth_another_try(code, fresh, clock_->now(), deadline)) co_return response;
    }
}

}  // namespace pabal::client
