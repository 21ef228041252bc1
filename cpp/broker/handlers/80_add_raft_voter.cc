// AddRaftVoter: makes a controller that follows the metadata quorum one of its voters (KIP-853).
// The leader asks it what it runs, and waits until it has caught up.
//
// 1     whether the answer waits until the change is committed (KIP-1186)
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/add_raft_voter.h"

namespace pabal::broker {

io::Task<wire::AddRaftVoterResponse> handle_add_raft_voter(Context* context,
                                                           RequestContext* request,
                                                           wire::AddRaftVoterRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::AddRaftVoterResponse>(
        context, request, std::move(message), timeout_ms);
    request->failed(response.error_code);
    co_return response;
}

}  // namespace pabal::broker
