// UpdateFeatures: finalises other levels of features (KIP-584). Any broker takes it to the active
// controller.
//
// 1     kinds of downgrades, and a trial · 2 one error for all updates (KIP-1022)
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/update_features.h"

namespace pabal::broker {

io::Task<wire::UpdateFeaturesResponse> handle_update_features(Context* context,
                                                              RequestContext* request,
                                                              wire::UpdateFeaturesRequest message) {
    const std::int32_t timeout_ms = message.timeout_ms;
    auto response = co_await ask_controller<wire::UpdateFeaturesResponse>(
        context, request, std::move(message), timeout_ms);
    for (const auto& feature : response.results) request->failed(feature.error_code);
    co_return response;
}

}  // namespace pabal::broker
