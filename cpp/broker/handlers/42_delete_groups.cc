// DeleteGroups (KIP-229): groups without members, with their offsets. All versions mean the same.
#include "broker/dispatch.h"
#include "runtime/group_coordinator.h"
#include "wire/delete_groups.h"

namespace pabal::broker {

io::Task<wire::DeleteGroupsResponse> handle_delete_groups(Context* context, RequestContext* request,
                                                          wire::DeleteGroupsRequest message) {
    wire::DeleteGroupsResponse response;
    for (std::string& group : message.groups_names) {
        ErrorCode error = co_await context->groups.delete_group(group);
        auto& result = response.results.emplace_back();
        result.group_id = std::move(group);
        result.error_code = error;
        request->failed(error);
    }
    co_return response;
}

}  // namespace pabal::broker
