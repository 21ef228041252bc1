// As in Kafka, the settings of one broker are changed through that broker, or through a controller.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "broker/context.h"
#include "broker/request.h"
#include "metadata/cluster_image.h"

namespace pabal::broker {

// Takes the resources that belong to other brokers out of `message`, and answers them.
template <class Response, class Request>
Response refuse_other_brokers(const Context& context, const RequestContext& request,
                              Request* message) {
    Response response;
    if (request.peer->role == ListenerRole::controller) return response;
    const std::string own = std::to_string(context.broker_id.value());
    auto& resources = message->resources;
    auto is_other = [&](const auto& resource) {
        return resource.resource_type == static_cast<std::int8_t>(metadata::ResourceType::broker) &&
               !resource.resource_name.empty() && resource.resource_name != own;
    };
    for (const auto& resource : resources) {
        if (!is_other(resource)) continue;
        auto& result = response.responses.emplace_back();
        result.resource_type = resource.resource_type;
        result.resource_name = resource.resource_name;
        result.error_code = ErrorCode::invalid_request;
        result.error_message =
            "Unexpected broker id, expected " + own + ", but received " + resource.resource_name;
    }
    std::erase_if(resources, is_other);
    return response;
}

}  // namespace pabal::broker
