// How a handler asks the controller: here, where the request came through the controllers'
// listener; else the active one, wherever it is. On whose behalf, and until when it waits for the
// answer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "broker/context.h"
#include "broker/refusals.h"
#include "broker/request.h"
#include "io/task.h"
#include "runtime/controller_link.h"

namespace pabal::broker {

// Clients send time-outs down to 0 and mean "soon"; Kafka, too, lets a change that has begun end.
inline runtime::CallContext control_call(const Context& context, std::int32_t timeout_ms) {
    constexpr std::int32_t least_timeout_ms = 5000;
    runtime::CallContext call;
    call.deadline =
        context.clock.now() + Duration::milliseconds(std::max(timeout_ms, least_timeout_ms));
    return call;
}

// Both outlive the task.
template <class Response, class Request>
io::Task<Response> ask_controller(Context* context, RequestContext* request, Request message,
                                  std::int32_t timeout_ms) {
    runtime::CallContext call = control_call(*context, timeout_ms);
    if (request->peer->role == ListenerRole::controller || !context->link) {
        auto response =
            co_await context->controller.answer(std::move(message), request->version, call);
        co_return response;
    }
    runtime::ControllerLink::Client client;
    client.version = request->version;
    client.host = request->peer->host;
    client.id = request->client_id;
    Request sent = message;
    auto response = co_await context->link->forward<Response>(std::move(sent), std::move(client),
                                                              call.deadline);
    if (!response.ok()) co_return refuse<Response>(message, response.error());
    co_return std::move(*response);
}

}  // namespace pabal::broker
