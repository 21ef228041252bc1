#include "broker/refusals.h"

#include "wire/alter_configs.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/incremental_alter_configs.h"

namespace pabal::broker {
namespace {

template <class Response, class Request>
Response refuse_resources(const Request& request, const Error& error) {
    Response response;
    for (const auto& resource : request.resources) {
        auto& result = response.responses.emplace_back();
        result.resource_type = resource.resource_type;
        result.resource_name = resource.resource_name;
        result.error_code = error.code;
        result.error_message = error.message;
    }
    return response;
}

}  // namespace

wire::AlterConfigsResponse refusal(const wire::AlterConfigsRequest& request, const Error& error) {
    return refuse_resources<wire::AlterConfigsResponse>(request, error);
}

wire::IncrementalAlterConfigsResponse refusal(const wire::IncrementalAlterConfigsRequest& request,
                                              const Error& error) {
    return refuse_resources<wire::IncrementalAlterConfigsResponse>(request, error);
}

wire::CreatePartitionsResponse refusal(const wire::CreatePartitionsRequest& request,
                                       const Error& error) {
    wire::CreatePartitionsResponse response;
    for (const auto& topic : request.topics) {
        auto& result = response.results.emplace_back();
        result.name = topic.name;
        result.error_code = error.code;
        result.error_message = error.message;
    }
    return response;
}

wire::CreateTopicsResponse refusal(const wire::CreateTopicsRequest& request, const Error& error) {
    wire::CreateTopicsResponse response;
    for (const auto& topic : request.topics) {
        auto& result = response.topics.emplace_back();
        result.name = topic.name;
        result.error_code = error.code;
        result.error_message = error.message;
    }
    return response;
}

wire::DeleteTopicsResponse refusal(const wire::DeleteTopicsRequest& request, const Error& error) {
    wire::DeleteTopicsResponse response;
    auto add = [&](std::optional<std::string> name, TopicId id) {
        auto& result = response.responses.emplace_back();
        result.name = std::move(name);
        result.topic_id = id;
        result.error_code = error.code;
        result.error_message = error.message;
    };
    for (const std::string& name : request.topic_names) add(name, {});
    for (const auto& topic : request.topics) add(topic.name, topic.topic_id);
    return response;
}

}  // namespace pabal::broker
