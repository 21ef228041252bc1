// BeginQuorumEpoch: a voter that was elected tells the others (KIP-595).
//
// 1     who is meant, and where the leader is reached (KIP-853)
#include "broker/dispatch.h"
#include "runtime/quorum.h"
#include "wire/begin_quorum_epoch.h"

namespace pabal::broker {

io::Task<wire::BeginQuorumEpochResponse> handle_begin_quorum_epoch(
    Context* context, RequestContext* request, wire::BeginQuorumEpochRequest message) {
    auto response = co_await context->quorum->begin_epoch(std::move(message), request->version);
    for (const auto& topic : response.topics)
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
