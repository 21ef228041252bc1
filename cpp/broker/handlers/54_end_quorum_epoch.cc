// EndQuorumEpoch: the leader steps down and says who should follow, the best first (KIP-595).
//
// 1     successors with their directories, and where the leader is reached (KIP-853)
#include "broker/dispatch.h"
#include "runtime/quorum.h"
#include "wire/end_quorum_epoch.h"

namespace pabal::broker {

io::Task<wire::EndQuorumEpochResponse> handle_end_quorum_epoch(
    Context* context, RequestContext* request, wire::EndQuorumEpochRequest message) {
    auto response = co_await context->quorum->end_epoch(std::move(message), request->version);
    for (const auto& topic : response.topics)
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
