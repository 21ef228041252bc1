// AlterConfigs: the whole of a resource's dynamic settings anew; what is not named is deleted. Old
// clients have nothing else; IncrementalAlterConfigs replaces it.
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/alter_configs.h"

namespace pabal::broker {

io::Task<wire::AlterConfigsResponse> handle_alter_configs(Context* context, RequestContext* request,
                                                          wire::AlterConfigsRequest message) {
    runtime::CallContext call = control_call(*context, 0);
    wire::AlterConfigsResponse response =
        co_await context->controller.answer(std::move(message), request->version, call);
    for (auto& resource : response.responses) {
        // Brokers answer so for another broker's settings; controllers say that it is unknown.
        if (resource.error_code == ErrorCode::broker_id_not_registered)
            resource.error_code = ErrorCode::invalid_request;
        request->failed(resource.error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
