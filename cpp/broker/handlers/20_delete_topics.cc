// DeleteTopics: by name, or from version 6 on also by id (KIP-516). 5 error messages (KIP-599).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/delete_topics.h"

namespace pabal::broker {

io::Task<wire::DeleteTopicsResponse> handle_delete_topics(Context* context, RequestContext* request,
                                                          wire::DeleteTopicsRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::DeleteTopicsResponse>(
        context, request, std::move(message), timeout_ms);
    for (const auto& topic : response.responses) request->failed(topic.error_code);
    co_return response;
}

}  // namespace pabal::broker
