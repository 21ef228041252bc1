// DeleteTopics: by name, or from version 6 on also by id (KIP-516). 5 error messages (KIP-599).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/delete_topics.h"

namespace pabal::broker {

io::Task<wire::DeleteTopicsResponse> handle_delete_topics(Context* context, RequestContext* request,
                                                          wire::DeleteTopicsRequest message) {
    runtime::CallContext call = control_call(*context, message.timeout_ms);
    wire::DeleteTopicsResponse response =
        co_await context->controller.answer(std::move(message), request->version, call);
    for (const auto& topic : response.responses) request->failed(topic.error_code);
    co_return response;
}

}  // namespace pabal::broker
