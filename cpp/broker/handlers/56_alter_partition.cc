// AlterPartition: a leader changes the set of in-sync replicas (KIP-497).
//
// 2     by topic id · 3 with the epochs of the brokers that shall be in sync (KIP-903)
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/alter_partition.h"

namespace pabal::broker {

io::Task<wire::AlterPartitionResponse> handle_alter_partition(Context* context,
                                                              RequestContext* request,
                                                              wire::AlterPartitionRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::AlterPartitionResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
