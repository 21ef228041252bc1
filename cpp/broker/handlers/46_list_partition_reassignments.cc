// ListPartitionReassignments: the moves that are under way, as the active controller knows them
// (KIP-455).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/list_partition_reassignments.h"

namespace pabal::broker {

io::Task<wire::ListPartitionReassignmentsResponse> handle_list_partition_reassignments(
    Context* context, RequestContext* request, wire::ListPartitionReassignmentsRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::ListPartitionReassignmentsResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
