// RemoveRaftVoter: takes a voter out of the metadata quorum (KIP-853). A leader that takes out
// itself steps down when that is committed.
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/remove_raft_voter.h"

namespace pabal::broker {

io::Task<wire::RemoveRaftVoterResponse> handle_remove_raft_voter(
    Context* context, RequestContext* request, wire::RemoveRaftVoterRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::RemoveRaftVoterResponse>(
        context, request, std::move(message), timeout_ms);
    request->failed(response.error_code);
    co_return response;
}

}  // namespace pabal::broker
