// AssignReplicasToDirs: a broker tells in which of its log directories its replicas lie (KIP-858).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/assign_replicas_to_dirs.h"

namespace pabal::broker {

io::Task<wire::AssignReplicasToDirsResponse> handle_assign_replicas_to_dirs(
    Context* context, RequestContext* request, wire::AssignReplicasToDirsRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::AssignReplicasToDirsResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
