// UpdateRaftVoter: a voter tells the leader where it is reached and what it could run (KIP-853).
// Where voters are static this is kept for the day when they become dynamic.
#include "broker/dispatch.h"
#include "runtime/quorum.h"
#include "wire/update_raft_voter.h"

namespace pabal::broker {

io::Task<wire::UpdateRaftVoterResponse> handle_update_raft_voter(
    Context* context, RequestContext*, wire::UpdateRaftVoterRequest message) {
    co_return context->quorum->update_voter(message);
}

}  // namespace pabal::broker
