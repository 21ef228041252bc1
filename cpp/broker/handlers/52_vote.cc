// Vote: a candidate asks for this voter's vote in an epoch, or whether it would get it (KIP-595).
// The answer leaves when the vote is durable.
//
// 1     who is meant, by directory too (KIP-853) · 2 pre-vote (KIP-996)
#include "broker/dispatch.h"
#include "runtime/quorum.h"
#include "wire/vote.h"

namespace pabal::broker {

io::Task<wire::VoteResponse> handle_vote(Context* context, RequestContext* request,
                                         wire::VoteRequest message) {
    auto response = co_await context->quorum->vote(std::move(message), request->version);
    for (const auto& topic : response.topics)
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
