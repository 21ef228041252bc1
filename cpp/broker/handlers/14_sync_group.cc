// SyncGroup: the leader of a classic group gives the assignment, everybody gets his share.
//
// 0-2 the same but for the throttle time · 3 static members (KIP-345) · 5 protocol type and name,
// which must be said (KIP-559)
#include "broker/dispatch.h"
#include "runtime/group_coordinator.h"
#include "wire/sync_group.h"

namespace pabal::broker {

io::Task<wire::SyncGroupResponse> handle_sync_group(Context* context, RequestContext* request,
                                                    wire::SyncGroupRequest message) {
    wire::SyncGroupResponse response;
    const bool protocol_told = message.protocol_type && message.protocol_name;
    if (request->version >= 5 && !protocol_told) {
        response.error_code = ErrorCode::inconsistent_group_protocol;
    } else if (message.group_id.empty()) {
        response.error_code = ErrorCode::invalid_group_id;
    } else {
        response = co_await context->groups.sync(std::move(message));
    }
    co_return response;
}

}  // namespace pabal::broker
