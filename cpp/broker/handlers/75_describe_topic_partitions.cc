// DescribeTopicPartitions: topics and partitions in pages, with their eligible leader replicas
// (KIP-966). The next page begins at the response's cursor. All topics when none is named.
#include <algorithm>
#include <set>
#include <string>

#include "broker/cluster_view.h"
#include "broker/dispatch.h"
#include "broker/operations.h"
#include "controller/topic_name.h"
#include "metadata/cluster_image.h"
#include "wire/describe_topic_partitions.h"

namespace pabal::broker {
namespace {

using Topic = wire::DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic;
using Partition = wire::DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponsePartition;

// Kafka's max.request.partition.size.limit.
constexpr std::int32_t largest_page = 2000;

Partition describe(const metadata::PartitionImage& image, std::int32_t index,
                   const ClusterView& view) {
    Partition partition;
    partition.partition_index = PartitionIndex(index);
    partition.leader_id = view.reachable_leader(image);
    partition.leader_epoch = image.leader_epoch;
    partition.replica_nodes = image.replicas;
    partition.isr_nodes = image.isr;
    partition.eligible_leader_replicas = image.eligible_leader_replicas;
    partition.last_known_elr = image.last_known_elr;
    partition.offline_replicas = view.offline_replicas(image);
    return partition;
}

}  // namespace

io::Task<wire::DescribeTopicPartitionsResponse> handle_describe_topic_partitions(
    Context* context, RequestContext* request, wire::DescribeTopicPartitionsRequest message) {
    wire::DescribeTopicPartitionsResponse response;
    auto image = context->image();
    ClusterView view(*image, request->peer->listener_name);
    bool all_topics = message.topics.empty();
    std::string begin_topic = message.cursor ? message.cursor->topic_name : "";

    std::set<std::string> names;
    if (all_topics) {
        for (const auto& [name, id] : image->topic_ids()) {
            if (name >= begin_topic) names.insert(name);
        }
    }
    for (const auto& topic : message.topics) {
        if (topic.name >= begin_topic) names.insert(topic.name);
    }
    bool cursor_missing = message.cursor && !all_topics && !names.contains(begin_topic);
    if (cursor_missing || (message.cursor && message.cursor->partition_index.value() < 0)) {
        // The response has no error of its own: every topic carries it.
        for (const auto& topic : message.topics) {
            Topic failed;
            failed.error_code = ErrorCode::invalid_request;
            failed.name = topic.name;
            response.topics.push_back(std::move(failed));
        }
        request->failed(ErrorCode::invalid_request);
        co_return response;
    }

    std::int32_t left = std::clamp(message.response_partition_limit, 1, largest_page);
    for (const std::string& name : names) {
        if (left == 0) {
            response.next_cursor.emplace();
            response.next_cursor->topic_name = name;
            break;
        }
        Topic described;
        described.name = name;
        described.is_internal = is_internal_topic(name);
        described.topic_authorized_operations = all_topic_operations;
        auto topic = image->topic(name);
        if (!topic) {
            if (all_topics) continue;
            described.error_code = controller::check_topic_name(name).ok()
                                       ? ErrorCode::unknown_topic_or_partition
                                       : ErrorCode::invalid_topic_exception;
            request->failed(described.error_code);
            response.topics.push_back(std::move(described));
            continue;
        }
        described.topic_id = topic->id;
        auto count = static_cast<std::int32_t>(topic->partitions.size());
        std::int32_t first =
            message.cursor && name == begin_topic ? message.cursor->partition_index.value() : 0;
        std::int32_t end = first >= count ? first : first + std::min(left, count - first);
        for (std::int32_t index = first; index < end; ++index) {
            described.partitions.push_back(
                describe(topic->partitions[static_cast<std::size_t>(index)], index, view));
        }
        left -= end - first;
        response.topics.push_back(std::move(described));
        if (end < count) {
            response.next_cursor.emplace();
            response.next_cursor->topic_name = name;
            response.next_cursor->partition_index = PartitionIndex(end);
            break;
        }
    }
    co_return response;
}

}  // namespace pabal::broker
