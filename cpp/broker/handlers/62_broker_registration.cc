// BrokerRegistration: a broker that starts makes itself known (KIP-631).
//
// 2     log directories (KIP-858) · 3 the epoch of its former life · 4 features from level 0 on
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/broker_registration.h"

namespace pabal::broker {

io::Task<wire::BrokerRegistrationResponse> handle_broker_registration(
    Context* context, RequestContext* request, wire::BrokerRegistrationRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::BrokerRegistrationResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
