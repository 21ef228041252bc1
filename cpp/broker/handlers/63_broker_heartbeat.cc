// BrokerHeartbeat: a broker is alive, has read the metadata log so far, and may want to end
// (KIP-631). The connection through which it comes stands for the broker from now on: when it ends,
// the active controller looks whether the broker still lives.
//
// 1     directories that failed (KIP-858) · 2 cordoned ones, which are not served
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/broker_heartbeat.h"

namespace pabal::broker {

io::Task<wire::BrokerHeartbeatResponse> handle_broker_heartbeat(
    Context* context, RequestContext* request, wire::BrokerHeartbeatRequest message) {
    request->peer->heartbeat_of = message.broker_id;
    request->peer->heartbeat_epoch = message.broker_epoch;
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::BrokerHeartbeatResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
