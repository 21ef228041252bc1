#include "controller/configs.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <string>

#include "controller/eligible_leaders.h"

namespace pabal::controller {
namespace {

using metadata::BrokerConfig;
using metadata::ClusterImage;
using metadata::ConfigMap;
using metadata::ConfigResource;
using metadata::Record;
using metadata::ResourceType;

enum class Operation : std::int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

// A setting and its new value; none deletes it.
using Changes = std::map<std::string, std::optional<std::string>>;

Error invalid_request(std::string what) {
    return {ErrorCode::invalid_request, std::move(what)};
}

Status check_resource(const ConfigResource& resource, const ClusterImage& image) {
    switch (resource.type) {
        case ResourceType::topic:
            if (!image.topic_ids().contains(resource.name))
                return Error{ErrorCode::unknown_topic_or_partition,
                             "There is no topic '" + resource.name + "'."};
            return {};
        case ResourceType::broker: {
            if (resource.name.empty()) return {};  // The default of all brokers.
            std::int32_t id = 0;
            const char* end = resource.name.data() + resource.name.size();
            auto [rest, error] = std::from_chars(resource.name.data(), end, id);
            if (error != std::errc() || rest != end)
                return invalid_request("A broker is named by its number, not '" + resource.name +
                                       "'.");
            if (!image.broker(BrokerId(id)))
                return Error{ErrorCode::broker_id_not_registered,
                             "Broker " + resource.name + " is not registered."};
            return {};
        }
        case ResourceType::broker_logger:
            return invalid_request("The loggers of a broker cannot be set through its settings.");
        case ResourceType::group:
            // It may come later.
            if (resource.name.empty()) return invalid_request("A group is named by its id.");
            return {};
        case ResourceType::client_metrics:
            return invalid_request(
                "Settings of client metrics are not served by this version of pabal.");
    }
    return invalid_request("There is no resource type " +
                           std::to_string(static_cast<int>(resource.type)) + ".");
}

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view part = list.substr(0, comma);
        while (part.starts_with(' ')) part.remove_prefix(1);
        while (part.ends_with(' ')) part.remove_suffix(1);
        if (!part.empty()) parts.emplace_back(part);
        if (comma == std::string_view::npos) break;
        list.remove_prefix(comma + 1);
    }
    return parts;
}

// The list with the elements added at its end, or taken away.
std::string edit_list(const std::string& list, const std::string& elements, bool add) {
    std::vector<std::string> parts = split(list);
    for (const std::string& element : split(elements)) {
        auto found = std::find(parts.begin(), parts.end(), element);
        if (!add && found != parts.end()) parts.erase(found);
        if (add && found == parts.end()) parts.push_back(element);
    }
    std::string joined;
    for (const std::string& part : parts) joined += (joined.empty() ? "" : ",") + part;
    return joined;
}

// The records of `changes`, if each is right.
Result<std::vector<Record>> plan(const ConfigResource& resource, const Changes& changes,
                                 const ClusterImage& image) {
    const ConfigMap& current = image.config(resource.type, resource.name);
    std::vector<Record> records;
    for (const auto& [name, value] : changes) {
        auto found = current.find(name);
        if (value) PABAL_TRY(metadata::validate_dynamic_config(resource, name, *value));
        if (name == min_in_sync_replicas)
            PABAL_TRY(check_min_in_sync_change(resource, value, image));
        const bool same =
            value ? found != current.end() && found->second == *value : found == current.end();
        // Brokers load files again when a setting of theirs is written once more.
        if (same && !(value && resource.type == ResourceType::broker)) continue;
        wire::ConfigRecord record;
        record.resource_type = static_cast<std::int8_t>(resource.type);
        record.resource_name = resource.name;
        record.name = name;
        record.value = value;
        records.emplace_back(std::move(record));
        if (name == min_in_sync_replicas && !same) forget_eligible(resource, image, records);
    }
    return records;
}

// What a group would have with `changes` lies within the bounds of the brokers.
Status check_group(const ConfigResource& resource, const Changes& changes,
                   const BrokerConfig& config, const ClusterImage& image) {
    if (resource.type != ResourceType::group) return {};
    for (const auto& [name, value] : changes)
        if (value) PABAL_TRY(metadata::validate_dynamic_config(resource, name, *value));
    const auto value = [&](const std::string& name) {
        const ConfigMap& current = image.config(resource.type, resource.name);
        const auto changed = changes.find(name);
        const auto stands = current.find(name);
        std::string text = std::to_string(config.integer("group." + name));
        if (changed != changes.end()) {
            if (changed->second) text = *changed->second;
        } else if (stands != current.end()) {
            text = stands->second;
        }
        std::int64_t number = 0;
        std::from_chars(text.data(), text.data() + text.size(), number);
        return number;
    };
    const auto bounded = [&](const std::string& name, const std::string& bound) -> Status {
        const std::string least = "group.consumer.min." + bound;
        const std::string most = "group.consumer.max." + bound;
        if (!changes.contains(name) || !changes.at(name)) return {};
        const std::int64_t number = value(name);
        if (number >= config.integer(least) && number <= config.integer(most)) return {};
        const bool low = number < config.integer(least);
        const std::string& broken = low ? least : most;
        return Error{ErrorCode::invalid_config,
                     name + " must be " + (low ? "at least " : "at most ") + broken +
                         ", which is " + std::to_string(config.integer(broken))};
    };
    PABAL_TRY(bounded("consumer.session.timeout.ms", "session.timeout.ms"));
    PABAL_TRY(bounded("consumer.heartbeat.interval.ms", "heartbeat.interval.ms"));
    if (value("consumer.session.timeout.ms") <= value("consumer.heartbeat.interval.ms"))
        return Error{ErrorCode::invalid_config,
                     "consumer.session.timeout.ms must be more than "
                     "consumer.heartbeat.interval.ms"};
    return {};
}

// What a topic would have with `changes` goes together.
Status check_topic(const ConfigResource& resource, const Changes& changes,
                   const BrokerConfig& config, const ClusterImage& image) {
    if (resource.type != ResourceType::topic) return {};
    ConfigMap settings = image.config(resource.type, resource.name);
    for (const auto& [name, value] : changes) {
        if (value) {
            settings[name] = *value;
        } else {
            settings.erase(name);
        }
    }
    return metadata::ConfigView(config, image).validate_topic(settings);
}

Result<std::vector<Record>> plan_incremental(
    const ConfigResource& resource,
    const wire::IncrementalAlterConfigsRequest::AlterConfigsResource& asked,
    const BrokerConfig& config, const ClusterImage& image) {
    PABAL_TRY(check_resource(resource, image));
    const ConfigMap& current = image.config(resource.type, resource.name);
    const metadata::ConfigView view(config, image);
    Changes changes;
    for (const auto& change : asked.configs) {
        if (changes.contains(change.name))
            return invalid_request("Setting '" + change.name + "' stands more than once.");
        const auto operation = static_cast<Operation>(change.config_operation);
        if (change.config_operation < 0 || change.config_operation > 3)
            return invalid_request("There is no operation " +
                                   std::to_string(change.config_operation) + " on settings.");
        if (operation == Operation::remove) {
            changes[change.name] = std::nullopt;
            continue;
        }
        if (!change.value)
            return invalid_request("Setting '" + change.name + "' is given no value.");
        if (operation == Operation::set) {
            changes[change.name] = *change.value;
            continue;
        }
        if (!metadata::is_list_config(resource.type, change.name))
            return Error{ErrorCode::invalid_config, "Setting '" + change.name +
                                                        "' is no list: it can be set or deleted, " +
                                                        "not appended to or subtracted from."};
        std::string base;
        if (auto found = current.find(change.name); found != current.end())
            base = found->second;
        else if (resource.type == ResourceType::topic)
            base = view.topic_value(resource.name, change.name).value_or("");
        else
            base = config.value(change.name).value_or("");
        changes[change.name] = edit_list(base, *change.value, operation == Operation::append);
    }
    PABAL_TRY(check_group(resource, changes, config, image));
    PABAL_TRY(check_topic(resource, changes, config, image));
    return plan(resource, changes, image);
}

Result<std::vector<Record>> plan_replacement(
    const ConfigResource& resource, const wire::AlterConfigsRequest::AlterConfigsResource& asked,
    const BrokerConfig& config, const ClusterImage& image) {
    PABAL_TRY(check_resource(resource, image));
    Changes changes;
    for (const auto& change : asked.configs) {
        if (changes.contains(change.name))
            return invalid_request("Setting '" + change.name + "' stands more than once.");
        if (!change.value)
            return invalid_request("Setting '" + change.name + "' is given no value.");
        changes[change.name] = *change.value;
    }
    for (const auto& [name, value] : image.config(resource.type, resource.name))
        changes.try_emplace(name, std::nullopt);
    PABAL_TRY(check_group(resource, changes, config, image));
    PABAL_TRY(check_topic(resource, changes, config, image));
    return plan(resource, changes, image);
}

template <class Response, class Request, class Plan>
Outcome<Response> alter(const Request& request, const BrokerConfig& config,
                        const ClusterImage& image, Plan plan_resource) {
    Outcome<Response> outcome;
    std::map<ConfigResource, int> times;
    auto resource_of = [](const auto& asked) {
        return ConfigResource{static_cast<ResourceType>(asked.resource_type), asked.resource_name};
    };
    for (const auto& asked : request.resources) ++times[resource_of(asked)];
    for (const auto& asked : request.resources) {
        const ConfigResource resource = resource_of(asked);
        auto& result = outcome.response.responses.emplace_back();
        result.resource_type = asked.resource_type;
        result.resource_name = asked.resource_name;
        auto planned = times[resource] > 1
                           ? Result<std::vector<Record>>(invalid_request(
                                 "Resource '" + resource.name + "' stands more than once."))
                           : plan_resource(resource, asked, config, image);
        if (planned.ok() && outcome.records.size() + planned->size() > max_records_per_request)
            planned =
                Error{ErrorCode::policy_violation, "The request asks for more than " +
                                                       std::to_string(max_records_per_request) +
                                                       " changes at once; split it into several."};
        if (!planned.ok()) {
            result.error_code = planned.error().code;
            result.error_message = planned.error().message;
            continue;
        }
        std::move(planned->begin(), planned->end(), std::back_inserter(outcome.records));
    }
    if (request.validate_only) outcome.records.clear();
    return outcome;
}

}  // namespace

Outcome<wire::IncrementalAlterConfigsResponse> alter_configs(
    const wire::IncrementalAlterConfigsRequest& request, const BrokerConfig& config,
    const ClusterImage& image) {
    return alter<wire::IncrementalAlterConfigsResponse>(request, config, image, plan_incremental);
}

Outcome<wire::AlterConfigsResponse> alter_configs(const wire::AlterConfigsRequest& request,
                                                  const BrokerConfig& config,
                                                  const ClusterImage& image) {
    return alter<wire::AlterConfigsResponse>(request, config, image, plan_replacement);
}

}  // namespace pabal::controller
