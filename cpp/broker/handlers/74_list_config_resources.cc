// ListConfigResources: the resources that have settings. Version 0 knows client metrics only
// (KIP-714), version 1 all types (KIP-1142).
#include <algorithm>
#include <string>

#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "wire/list_config_resources.h"

namespace pabal::broker {

io::Task<wire::ListConfigResourcesResponse> handle_list_config_resources(
    Context* context, RequestContext* request, wire::ListConfigResourcesRequest message) {
    using metadata::ResourceType;
    static constexpr ResourceType all_types[] = {ResourceType::topic, ResourceType::broker,
                                                 ResourceType::broker_logger,
                                                 ResourceType::client_metrics, ResourceType::group};
    wire::ListConfigResourcesResponse response;
    std::vector<ResourceType> types;
    for (std::int8_t type : message.resource_types) types.push_back(ResourceType{type});
    if (request->version == 0) {
        types.assign(1, ResourceType::client_metrics);
    } else if (types.empty()) {
        types.assign(std::begin(all_types), std::end(all_types));
    }
    for (ResourceType type : types) {
        if (std::find(std::begin(all_types), std::end(all_types), type) == std::end(all_types)) {
            response.error_code = ErrorCode::unsupported_version;
            co_return response;
        }
    }
    auto image = context->image();
    for (ResourceType type : all_types) {
        if (std::find(types.begin(), types.end(), type) == types.end()) continue;
        auto add = [&](std::string name) {
            response.config_resources.push_back({std::move(name), static_cast<std::int8_t>(type)});
        };
        if (type == ResourceType::topic) {
            for (const auto& [name, id] : image->topic_ids()) add(name);
        } else if (type == ResourceType::broker || type == ResourceType::broker_logger) {
            for (const auto& [id, broker] : image->brokers()) add(std::to_string(id.value()));
        } else {
            for (const auto& [resource, settings] : image->configs()) {
                if (resource.type == type) add(resource.name);
            }
        }
    }
    co_return response;
}

}  // namespace pabal::broker
