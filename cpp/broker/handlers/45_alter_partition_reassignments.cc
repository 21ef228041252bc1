// AlterPartitionReassignments: starts, replaces and cancels moves of partitions to other brokers
// (KIP-455). Any broker takes it to the active controller.
//
// 1     may be told not to change the replication factor (KIP-860)
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/alter_partition_reassignments.h"

namespace pabal::broker {

io::Task<wire::AlterPartitionReassignmentsResponse> handle_alter_partition_reassignments(
    Context* context, RequestContext* request, wire::AlterPartitionReassignmentsRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::AlterPartitionReassignmentsResponse>(
        context, request, std::move(message), timeout_ms);
    request->failed(response.error_code);
    for (const auto& topic : response.responses)
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
