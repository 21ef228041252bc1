// DescribeConfigs: what is in force for a topic, a group or this broker, where it comes from, and
// what else it could come from. Only settings that are obeyed are described.
//
// 1     sources and synonyms (KIP-226) · 3 types and documentation (KIP-569)
#include <algorithm>
#include <charconv>
#include <string>

#include "broker/dispatch.h"
#include "controller/topic_name.h"
#include "metadata/broker_config.h"
#include "wire/describe_configs.h"

namespace pabal::broker {
namespace {

using metadata::ResourceType;
using Resource = wire::DescribeConfigsRequest::DescribeConfigsResource;
using Described = wire::DescribeConfigsResponse::DescribeConfigsResult;

Result<std::vector<metadata::EffectiveConfig>> in_force(const Context& context,
                                                        const metadata::ClusterImage& image,
                                                        const Resource& resource) {
    metadata::ConfigView view(context.config, image);
    const std::string& name = resource.resource_name;
    std::int32_t own_id = context.broker_id.value();
    std::int32_t asked_id = -1;
    auto parsed = std::from_chars(name.data(), name.data() + name.size(), asked_id);
    bool is_number = parsed.ec == std::errc() && parsed.ptr == name.data() + name.size();
    switch (static_cast<ResourceType>(resource.resource_type)) {
        case ResourceType::topic:
            PABAL_TRY(controller::check_topic_name(name));
            if (!image.topic(name)) return Error{ErrorCode::unknown_topic_or_partition, ""};
            return view.describe_topic(name);
        case ResourceType::broker:
            if (name.empty()) return view.describe_broker_default();
            if (!is_number)
                return Error{ErrorCode::invalid_request,
                             "Broker id must be an integer, but it is: " + name};
            if (asked_id != own_id)
                return Error{ErrorCode::invalid_request,
                             "Unexpected broker id, expected " + std::to_string(own_id) +
                                 " or empty string, but received " + name};
            return view.describe_broker();
        case ResourceType::broker_logger:
            // This broker has no loggers whose levels could be set one by one.
            if (!is_number || asked_id != own_id)
                return Error{ErrorCode::invalid_request, "Unexpected broker id, expected " +
                                                             std::to_string(own_id) +
                                                             " but received " + name};
            return std::vector<metadata::EffectiveConfig>{};
        case ResourceType::group:
            if (name.empty())
                return Error{ErrorCode::invalid_request, "A group is named by its id."};
            return view.describe_group(name);
        case ResourceType::client_metrics:
            return Error{ErrorCode::invalid_request,
                         "settings of client metrics are not served yet"};
    }
    return Error{ErrorCode::invalid_request,
                 "Unexpected resource type " + std::to_string(resource.resource_type)};
}

Described describe(const Context& context, const metadata::ClusterImage& image, Resource resource,
                   bool synonyms, bool documentation) {
    Described described;
    auto configs = in_force(context, image, resource);
    described.resource_type = resource.resource_type;
    described.resource_name = std::move(resource.resource_name);
    if (!configs.ok()) {
        described.error_code = configs.error().code;
        if (!configs.error().message.empty()) described.error_message = configs.error().message;
        return described;
    }
    const auto& keys = resource.configuration_keys;
    for (metadata::EffectiveConfig& config : *configs) {
        if (keys && !keys->empty() &&
            std::find(keys->begin(), keys->end(), config.name) == keys->end())
            continue;
        wire::DescribeConfigsResponse::DescribeConfigsResourceResult result;
        result.name = std::move(config.name);
        result.value = std::move(config.value);
        result.read_only = config.read_only;
        result.config_source = static_cast<std::int8_t>(config.source);
        result.is_sensitive = config.sensitive;
        result.config_type = config.type;
        if (documentation) result.documentation = std::move(config.documentation);
        if (synonyms) {
            for (metadata::ConfigSynonym& synonym : config.synonyms) {
                result.synonyms.push_back({std::move(synonym.name), std::move(synonym.value),
                                           static_cast<std::int8_t>(synonym.source)});
            }
        }
        described.configs.push_back(std::move(result));
    }
    return described;
}

}  // namespace

io::Task<wire::DescribeConfigsResponse> handle_describe_configs(
    Context* context, RequestContext* request, wire::DescribeConfigsRequest message) {
    wire::DescribeConfigsResponse response;
    auto image = context->image();
    for (Resource& resource : message.resources) {
        response.results.push_back(describe(*context, *image, std::move(resource),
                                            message.include_synonyms,
                                            message.include_documentation));
        request->failed(response.results.back().error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
