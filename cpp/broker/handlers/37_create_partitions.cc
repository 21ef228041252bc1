// CreatePartitions: a topic gets more partitions; it never gets fewer.
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/create_partitions.h"

namespace pabal::broker {

io::Task<wire::CreatePartitionsResponse> handle_create_partitions(
    Context* context, RequestContext* request, wire::CreatePartitionsRequest message) {
    runtime::CallContext call = control_call(*context, message.timeout_ms);
    wire::CreatePartitionsResponse response =
        co_await context->controller.answer(std::move(message), request->version, call);
    for (const auto& topic : response.results) request->failed(topic.error_code);
    co_return response;
}

}  // namespace pabal::broker
