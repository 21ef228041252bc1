// UnregisterBroker: forgets a broker that will not come back. Any broker takes it to the active
// controller.
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/unregister_broker.h"

namespace pabal::broker {

io::Task<wire::UnregisterBrokerResponse> handle_unregister_broker(
    Context* context, RequestContext* request, wire::UnregisterBrokerRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::UnregisterBrokerResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
