// FetchSnapshot: a piece of a snapshot of the metadata log, for a replica that is behind the log's
// beginning (KIP-630).
//
// 1     the replica's directory, and where the leader is reached (KIP-853)
#include "broker/dispatch.h"
#include "runtime/quorum.h"
#include "wire/fetch_snapshot.h"

namespace pabal::broker {

io::Task<wire::FetchSnapshotResponse> handle_fetch_snapshot(Context* context,
                                                            RequestContext* request,
                                                            wire::FetchSnapshotRequest message) {
    auto response = co_await context->quorum->fetch_snapshot(std::move(message), request->version);
    for (const auto& topic : response.topics)
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
