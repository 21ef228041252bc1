#include "controller/eligible_leaders.h"

#include <algorithm>

#include "controller/partition_change.h"
#include "metadata/broker_config.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::ConfigResource;
using metadata::PartitionImage;
using metadata::Record;
using metadata::ResourceType;

wire::ConfigRecord setting(std::string broker, std::optional<std::string> value) {
    wire::ConfigRecord record;
    record.resource_type = static_cast<std::int8_t>(ResourceType::broker);
    record.resource_name = std::move(broker);
    record.name = min_in_sync_replicas;
    record.value = std::move(value);
    return record;
}

bool remembers(const PartitionImage& partition) {
    return !partition.eligible_leader_replicas.empty() || !partition.last_known_elr.empty();
}

bool is_leaderless(const PartitionImage& partition) {
    return partition.leader == no_broker;
}

}  // namespace

void agree_on_min_in_sync(const metadata::BrokerConfig& config, const ClusterImage& image,
                          std::vector<Record>& records) {
    if (!image.config(ResourceType::broker, "").contains(min_in_sync_replicas))
        records.emplace_back(
            setting("", std::to_string(config.integer(std::string(min_in_sync_replicas)))));
    for (const auto& [resource, settings] : image.configs()) {
        if (resource.type != ResourceType::broker || resource.name.empty()) continue;
        if (settings.contains(min_in_sync_replicas))
            records.emplace_back(setting(resource.name, std::nullopt));
    }
}

Status check_min_in_sync_change(const ConfigResource& resource,
                                const std::optional<std::string>& value,
                                const ClusterImage& image) {
    if (resource.type != ResourceType::broker || !keeps_eligible_leaders(image)) return {};
    if (!resource.name.empty())
        return Error{ErrorCode::invalid_config,
                     "Broker-level min.insync.replicas cannot be altered while ELR is enabled."};
    if (!value)
        return Error{ErrorCode::invalid_config,
                     "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."};
    return {};
}

void forget_eligible(const ConfigResource& resource, const ClusterImage& image,
                     std::vector<Record>& records) {
    if (!keeps_eligible_leaders(image)) return;
    std::vector<std::shared_ptr<const metadata::TopicImage>> topics;
    if (resource.type == ResourceType::topic) {
        topics.push_back(image.topic(resource.name));
    } else {
        topics = image.topics();
    }
    bool any = false;
    bool any_leaderless = false;
    for (const auto& topic : topics) {
        for (const PartitionImage& partition : topic->partitions) {
            if (!remembers(partition)) continue;
            any = true;
            any_leaderless = any_leaderless || is_leaderless(partition);
        }
    }
    if (!any_leaderless) {
        if (!any && resource.type != ResourceType::topic) return;
        wire::ClearElrRecord record;
        record.topic_name = resource.type == ResourceType::topic ? resource.name : "";
        records.emplace_back(std::move(record));
        return;
    }
    for (const auto& topic : topics) {
        for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
            const PartitionImage& partition = topic->partitions[i];
            if (!remembers(partition) || is_leaderless(partition)) continue;
            wire::PartitionChangeRecord record;
            record.topic_id = topic->id;
            record.partition_id = PartitionIndex(static_cast<std::int32_t>(i));
            record.eligible_leader_replicas.emplace();
            records.emplace_back(std::move(record));
        }
    }
}

}  // namespace pabal::controller
