// ElectLeaders: gives partitions to their preferred leaders, or, where nobody leads, to a replica
// that is out of sync (KIP-460). Any broker takes it to the active controller.
//
// 1     the kind of election, and an error for the whole
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/elect_leaders.h"

namespace pabal::broker {

io::Task<wire::ElectLeadersResponse> handle_elect_leaders(Context* context, RequestContext* request,
                                                          wire::ElectLeadersRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::ElectLeadersResponse>(
        context, request, std::move(message), timeout_ms);
    request->failed(response.error_code);
    if (request->version < 1) response.error_code = ErrorCode::none;
    for (const auto& topic : response.replica_election_results)
        for (const auto& partition : topic.partition_result) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
