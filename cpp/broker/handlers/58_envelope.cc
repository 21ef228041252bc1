// Envelope: a request that a broker forwards for its client (KIP-590). What is inside is answered
// as if it had come through this listener; NOT_CONTROLLER is said outside, so that the broker finds
// the active controller without reading the answer.
#include "broker/dispatch.h"
#include "wire/envelope.h"

namespace pabal::broker {
namespace {

constexpr std::size_t length_bytes = 4;

}  // namespace

io::Task<wire::EnvelopeResponse> handle_envelope(Context* context, RequestContext* request,
                                                 wire::EnvelopeRequest message) {
    wire::EnvelopeResponse response;
    Dispatch::Call call;
    std::string why;
    const Instant received = context->clock.now();
    const bool opened =
        context->dispatch &&
        context->dispatch->open(message.request_data, request->peer, received, &call, &why);
    if (!opened || call.request.api_key == request->api_key) {
        response.error_code = ErrorCode::invalid_request;
        co_return response;
    }
    auto answer = co_await context->dispatch->run(&call);
    request->failed(call.request.first_error);
    if (call.request.first_error == ErrorCode::not_controller) {
        response.error_code = ErrorCode::not_controller;
        co_return response;
    }
    const std::optional<Bytes> reply = answer.reply.flatten();
    if (!answer.close_because.empty() || !reply || reply->size() < length_bytes) {
        response.error_code = ErrorCode::invalid_request;
        co_return response;
    }
    response.response_data = reply->slice(length_bytes);
    co_return response;
}

}  // namespace pabal::broker
