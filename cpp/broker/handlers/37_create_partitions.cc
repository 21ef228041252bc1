// CreatePartitions: a topic gets more partitions; it never gets fewer.
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/create_partitions.h"

namespace pabal::broker {

io::Task<wire::CreatePartitionsResponse> handle_create_partitions(
    Context* context, RequestContext* request, wire::CreatePartitionsRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::CreatePartitionsResponse>(
        context, request, std::move(message), timeout_ms);
    for (const auto& topic : response.results) request->failed(topic.error_code);
    co_return response;
}

}  // namespace pabal::broker
