// ConsumerGroupDescribe (KIP-848): groups of the consumer group protocol, their members, what these
// have and what they are to get.
//
// 1 the type of each member (KIP-1099)
#include "broker/dispatch.h"
#include "broker/operations.h"
#include "runtime/group_coordinator.h"
#include "wire/consumer_group_describe.h"

namespace pabal::broker {

io::Task<wire::ConsumerGroupDescribeResponse> handle_consumer_group_describe(
    Context* context, RequestContext* request, wire::ConsumerGroupDescribeRequest message) {
    wire::ConsumerGroupDescribeResponse response;
    for (std::string& group : message.group_ids) {
        wire::ConsumerGroupDescribeResponse::DescribedGroup described =
            co_await context->groups.describe_consumer(std::move(group));
        if (message.include_authorized_operations && described.error_code == ErrorCode::none)
            described.authorized_operations = all_group_operations;
        request->failed(described.error_code);
        response.groups.push_back(std::move(described));
    }
    co_return response;
}

}  // namespace pabal::broker
