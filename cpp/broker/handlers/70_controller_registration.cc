// ControllerRegistration: a controller makes its endpoints and features known (KIP-919).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/controller_registration.h"

namespace pabal::broker {

io::Task<wire::ControllerRegistrationResponse> handle_controller_registration(
    Context* context, RequestContext* request, wire::ControllerRegistrationRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::ControllerRegistrationResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
