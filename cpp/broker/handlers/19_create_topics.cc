// CreateTopics: new topics, each with so many partitions and replicas, or with replicas by hand.
// Answered when the topics can be used.
//
// 4     -1 asks for the broker's defaults (KIP-464)
// 5     the response tells partitions, replicas and settings (KIP-525) · 7 and topic ids (KIP-516)
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/create_topics.h"

namespace pabal::broker {

io::Task<wire::CreateTopicsResponse> handle_create_topics(Context* context, RequestContext* request,
                                                          wire::CreateTopicsRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::CreateTopicsResponse>(
        context, request, std::move(message), timeout_ms);
    for (const auto& topic : response.topics) request->failed(topic.error_code);
    co_return response;
}

}  // namespace pabal::broker
