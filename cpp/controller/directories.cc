#include "controller/directories.h"

#include <algorithm>
#include <optional>

#include "controller/brokers.h"
#include "controller/partition_change.h"
#include "metadata/cluster_image.h"

namespace pabal::controller {
namespace {

using metadata::BrokerImage;
using metadata::ClusterImage;
using metadata::PartitionImage;

// 3.7-IV2: before, partitions know of no directories.
constexpr std::int16_t first_level = 17;

}  // namespace

Outcome<wire::AssignReplicasToDirsResponse> assign_directories(
    const wire::AssignReplicasToDirsRequest& request, const metadata::BrokerConfig& config,
    const ClusterImage& image) {
    Outcome<wire::AssignReplicasToDirsResponse> outcome;
    outcome.response.error_code =
        image.metadata_version() < first_level
            ? ErrorCode::unsupported_version
            : check_broker_epoch(image, request.broker_id, request.broker_epoch);
    if (outcome.response.error_code != ErrorCode::none) return outcome;
    const BrokerId id = request.broker_id;
    const BrokerImage& broker = *image.broker(id);
    for (const auto& asked_directory : request.directories) {
        const bool online = has_online(broker, asked_directory.id);
        const Electable electable{image, online ? no_broker : id, no_broker, id,
                                  asked_directory.id};
        auto& directory = outcome.response.directories.emplace_back();
        directory.id = asked_directory.id;
        for (const auto& asked_topic : asked_directory.topics) {
            auto& topic_response = directory.topics.emplace_back();
            topic_response.topic_id = asked_topic.topic_id;
            const auto topic = image.topic(asked_topic.topic_id);
            for (const auto& asked : asked_topic.partitions) {
                auto& response = topic_response.partitions.emplace_back();
                response.partition_index = asked.partition_index;
                const PartitionImage* partition =
                    topic ? topic->partition(asked.partition_index) : nullptr;
                if (!partition) {
                    response.error_code =
                        topic ? ErrorCode::unknown_topic_or_partition : ErrorCode::unknown_topic_id;
                    continue;
                }
                const auto& replicas = partition->replicas;
                const auto place = std::find(replicas.begin(), replicas.end(), id);
                if (place == replicas.end()) {
                    response.error_code = ErrorCode::not_leader_or_follower;
                    continue;
                }
                PartitionChange change(electable, config, *topic, asked.partition_index);
                change.directories.resize(replicas.size());
                change.directories[static_cast<std::size_t>(place - replicas.begin())] =
                    asked_directory.id;
                if (!online) change.isr = without(partition->isr, id);
                auto record = change.record();
                if (record) outcome.records.emplace_back(std::move(*record));
            }
        }
    }
    return outcome;
}

}  // namespace pabal::controller
