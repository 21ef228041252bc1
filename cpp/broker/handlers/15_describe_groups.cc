// DescribeGroups: classic groups and their members.
//
// 3 authorized operations (KIP-430) · 4 static members (KIP-345) · 6 an unknown group is an error
// (KIP-1043); before, it is told as a dead one
#include "broker/dispatch.h"
#include "broker/operations.h"
#include "runtime/group_coordinator.h"
#include "wire/describe_groups.h"

namespace pabal::broker {

io::Task<wire::DescribeGroupsResponse> handle_describe_groups(Context* context,
                                                              RequestContext* request,
                                                              wire::DescribeGroupsRequest message) {
    wire::DescribeGroupsResponse response;
    for (std::string& group : message.groups) {
        wire::DescribeGroupsResponse::DescribedGroup described =
            co_await context->groups.describe(std::move(group));
        const bool unknown = described.error_code == ErrorCode::group_id_not_found;
        if (request->version < 6) {
            described.error_message.reset();
            if (unknown) described.error_code = ErrorCode::none;
        }
        if (message.include_authorized_operations && described.error_code == ErrorCode::none)
            described.authorized_operations = all_group_operations;
        request->failed(described.error_code);
        response.groups.push_back(std::move(described));
    }
    co_return response;
}

}  // namespace pabal::broker
