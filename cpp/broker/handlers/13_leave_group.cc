// LeaveGroup: takes members out of a classic group at once.
//
// 0-2 one member, its error is the answer's · 3 several, also by their instance (KIP-345) · 5 a
// reason (KIP-800)
#include "broker/dispatch.h"
#include "runtime/group_coordinator.h"
#include "wire/leave_group.h"

namespace pabal::broker {

io::Task<wire::LeaveGroupResponse> handle_leave_group(Context* context, RequestContext* request,
                                                      wire::LeaveGroupRequest message) {
    wire::LeaveGroupResponse response;
    if (message.group_id.empty()) {
        response.error_code = ErrorCode::invalid_group_id;
        co_return response;
    }
    const bool one = request->version < 3;
    if (one) message.members.emplace_back().member_id = std::move(message.member_id);
    response = co_await context->groups.leave(std::move(message));
    if (one && response.error_code == ErrorCode::none)
        response.error_code = response.members.front().error_code;
    if (one) response.members.clear();
    for (const auto& member : response.members) request->failed(member.error_code);
    co_return response;
}

}  // namespace pabal::broker
