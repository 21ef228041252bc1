// DescribeQuorum: who votes and who follows in the metadata quorum, and how far they are.
//
// 1     when replicas fetched and were caught up (KIP-836) · 2 directory ids and listeners
// (KIP-853)
#include "broker/dispatch.h"
#include "runtime/controller.h"
#include "wire/describe_quorum.h"

namespace pabal::broker {

io::Task<wire::DescribeQuorumResponse> handle_describe_quorum(Context* context,
                                                              RequestContext* request,
                                                              wire::DescribeQuorumRequest message) {
    co_return context->controller.describe_quorum(message, request->version);
}

}  // namespace pabal::broker
