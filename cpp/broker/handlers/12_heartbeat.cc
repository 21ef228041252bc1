// Heartbeat: keeps a member of a classic group alive, and tells it of rebalances.
//
// 0-2 the same but for the throttle time · 3 static members (KIP-345)
//
// The answer is held back while there is nothing new, so that a member hears of a rebalance at
// once; it leaves after at most four seconds, or as soon as the client sends something else.
#include "broker/dispatch.h"
#include "runtime/group_coordinator.h"
#include "wire/heartbeat.h"

namespace pabal::broker {

io::Task<wire::HeartbeatResponse> handle_heartbeat(Context* context, RequestContext* request,
                                                   wire::HeartbeatRequest message) {
    wire::HeartbeatResponse response;
    if (message.group_id.empty()) {
        response.error_code = ErrorCode::invalid_group_id;
        co_return response;
    }
    response = co_await context->groups.heartbeat(std::move(message), &request->parked);
    co_return response;
}

}  // namespace pabal::broker
