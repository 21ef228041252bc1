// AlterConfigs: the whole of a resource's dynamic settings anew; what is not named is deleted. Old
// clients have nothing else; IncrementalAlterConfigs replaces it.
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "broker/other_brokers.h"
#include "wire/alter_configs.h"

namespace pabal::broker {

io::Task<wire::AlterConfigsResponse> handle_alter_configs(Context* context, RequestContext* request,
                                                          wire::AlterConfigsRequest message) {
    wire::AlterConfigsResponse refused =
        refuse_other_brokers<wire::AlterConfigsResponse>(*context, *request, &message);
    if (message.resources.empty() && !refused.responses.empty()) {
        request->failed(refused.responses.front().error_code);
        co_return refused;
    }
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::AlterConfigsResponse>(
        context, request, std::move(message), timeout_ms);
    for (auto& resource : refused.responses) response.responses.push_back(std::move(resource));
    for (const auto& resource : response.responses) request->failed(resource.error_code);
    co_return response;
}

}  // namespace pabal::broker
