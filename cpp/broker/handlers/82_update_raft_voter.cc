// UpdateRaftVoter: a voter that has started tells the leader its endpoints and what it could serve
// (KIP-853). Voters are static here, so that there is nothing to be written; voters of Kafka ask
// all the same.
#include "broker/dispatch.h"
#include "runtime/quorum.h"
#include "wire/update_raft_voter.h"

namespace pabal::broker {

io::Task<wire::UpdateRaftVoterResponse> handle_update_raft_voter(
    Context* context, RequestContext*, wire::UpdateRaftVoterRequest message) {
    co_return context->quorum->update_voter(message);
}

}  // namespace pabal::broker
