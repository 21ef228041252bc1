// IncrementalAlterConfigs: sets, deletes, appends to or subtracts from single settings (KIP-339).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/incremental_alter_configs.h"

namespace pabal::broker {

io::Task<wire::IncrementalAlterConfigsResponse> handle_incremental_alter_configs(
    Context* context, RequestContext* request, wire::IncrementalAlterConfigsRequest message) {
    runtime::CallContext call = control_call(*context, 0);
    wire::IncrementalAlterConfigsResponse response =
        co_await context->controller.answer(std::move(message), request->version,
                                                               call);
    for (auto& resource : response.responses) {
        // Brokers answer so for another broker's settings; controllers say that it is unknown.
        if (resource.error_code == ErrorCode::broker_id_not_registered)
            resource.error_code = ErrorCode::invalid_request;
        request->failed(resource.error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
