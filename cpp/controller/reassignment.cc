#include "controller/reassignment.h"

#include <algorithm>
#include <string>

#include "controller/partition_change.h"
#include "metadata/cluster_image.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::ConfigView;
using metadata::PartitionImage;
using metadata::TopicImage;
using Change = std::optional<wire::PartitionChangeRecord>;

Replicas sorted(Replicas replicas) {
    std::sort(replicas.begin(), replicas.end());
    return replicas;
}

Result<Change> cancel(const TopicImage& topic, PartitionIndex index,
                      const metadata::BrokerConfig& config, const ClusterImage& image) {
    const PartitionImage& partition = *topic.partition(index);
    if (!is_reassigned(partition))
        return Error{ErrorCode::no_reassignment_in_progress, "Partition " + topic.name + "-" +
                                                                 std::to_string(index.value()) +
                                                                 " is not being reassigned."};
    const Electable electable{image};
    PartitionChange change(electable, config, topic, index);
    change.replicas = without(partition.replicas, partition.adding);
    change.isr = without(partition.isr, partition.adding);
    change.removing.clear();
    change.adding.clear();
    if (change.replicas.empty())
        return Error{ErrorCode::invalid_replica_assignment,
                     "Without the added replicas the partition would have none."};
    if (change.isr.empty() && !partition.isr.empty()) {
        // Only what was added is in sync: giving it up loses what it alone holds.
        if (!ConfigView(config, image).topic_boolean(topic.name, "unclean.leader.election.enable"))
            return Error{ErrorCode::invalid_replica_assignment,
                         "The reassignment of " + topic.name + "-" + std::to_string(index.value()) +
                             " cannot be cancelled: none of the former replicas is in sync, and "
                             "unclean.leader.election.enable is false."};
        // With eligible leaders nobody who is gone stays in sync: whoever can leads now, or later.
        if (!keeps_eligible_leaders(image)) {
            change.isr = {change.replicas.front()};
            change.recovering = true;
        }
    }
    return change.record();
}

Result<Change> start(const TopicImage& topic, PartitionIndex index, const Replicas& target,
                     bool may_resize, const metadata::BrokerConfig& config,
                     const ClusterImage& image, Prng& random) {
    const PartitionImage& partition = *topic.partition(index);
    auto invalid = [](std::string what) {
        return Error{ErrorCode::invalid_replica_assignment, std::move(what)};
    };
    if (target.empty()) return invalid("An assignment names no broker.");
    for (std::size_t i = 0; i < target.size(); ++i) {
        const std::string broker = "broker " + std::to_string(target[i].value());
        if (!image.broker(target[i]))
            return invalid("An assignment names " + broker + ", which is not registered.");
        if (std::count(target.begin(), target.end(), target[i]) > 1)
            return invalid("An assignment names " + broker + " more than once.");
    }
    // What the partition has once the reassignment under way, if there is one, is complete.
    const std::size_t size = is_reassigned(partition)
                                 ? without(partition.replicas, partition.removing).size()
                                 : partition.replicas.size();
    if (!may_resize && target.size() != size)
        return Error{ErrorCode::invalid_replication_factor,
                     "The replication factor is changed from " + std::to_string(size) + " to " +
                         std::to_string(target.size()) + "."};
    const Electable electable{image};
    PartitionChange change(electable, config, topic, index);
    change.removing = sorted(without(partition.replicas, target));
    // What an earlier reassignment was adding is not in sync yet; it may be wanted still.
    change.adding = sorted(without(target, without(partition.replicas, partition.adding)));
    change.replicas = target;
    change.replicas.insert(change.replicas.end(), change.removing.begin(), change.removing.end());
    return change.record(random);
}

}  // namespace

Outcome<wire::AlterPartitionReassignmentsResponse> reassign(
    const wire::AlterPartitionReassignmentsRequest& request, const metadata::BrokerConfig& config,
    const ClusterImage& image, Prng& random) {
    Outcome<wire::AlterPartitionReassignmentsResponse> outcome;
    outcome.response.allow_replication_factor_change = request.allow_replication_factor_change;
    for (const auto& asked_topic : request.topics) {
        auto& topic_response = outcome.response.responses.emplace_back();
        topic_response.name = asked_topic.name;
        const auto topic = image.topic(asked_topic.name);
        for (const auto& asked : asked_topic.partitions) {
            auto& response = topic_response.partitions.emplace_back();
            response.partition_index = asked.partition_index;
            auto planned = [&]() -> Result<Change> {
                if (!topic)
                    return Error{ErrorCode::unknown_topic_or_partition,
                                 "There is no topic '" + asked_topic.name + "'."};
                if (!topic->partition(asked.partition_index))
                    return Error{ErrorCode::unknown_topic_or_partition,
                                 "There is no partition " +
                                     std::to_string(asked.partition_index.value()) + " of topic '" +
                                     asked_topic.name + "'."};
                if (!asked.replicas) return cancel(*topic, asked.partition_index, config, image);
                return start(*topic, asked.partition_index, *asked.replicas,
                             request.allow_replication_factor_change, config, image, random);
            }();
            if (!planned.ok()) {
                response.error_code = planned.error().code;
                response.error_message = planned.error().message;
                continue;
            }
            if (*planned) outcome.records.emplace_back(std::move(**planned));
        }
    }
    return outcome;
}

wire::ListPartitionReassignmentsResponse list_reassignments(
    const wire::ListPartitionReassignmentsRequest& request, const ClusterImage& image) {
    wire::ListPartitionReassignmentsResponse response;
    auto add_topic = [&](const TopicImage& topic, auto wants) {
        wire::ListPartitionReassignmentsResponse::OngoingTopicReassignment listed;
        listed.name = topic.name;
        for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
            const PartitionIndex index(static_cast<std::int32_t>(i));
            const PartitionImage& partition = topic.partitions[i];
            if (!is_reassigned(partition) || !wants(index)) continue;
            auto& ongoing = listed.partitions.emplace_back();
            ongoing.partition_index = index;
            ongoing.replicas = partition.replicas;
            ongoing.adding_replicas = partition.adding;
            ongoing.removing_replicas = partition.removing;
        }
        if (!listed.partitions.empty()) response.topics.push_back(std::move(listed));
    };
    if (!request.topics) {
        for (const auto& topic : image.topics())
            add_topic(*topic, [](PartitionIndex) { return true; });
        return response;
    }
    for (const auto& asked : *request.topics) {
        const auto topic = image.topic(asked.name);
        if (!topic) continue;
        add_topic(*topic, [&](PartitionIndex index) {
            return std::find(asked.partition_indexes.begin(), asked.partition_indexes.end(),
                             index) != asked.partition_indexes.end();
        });
    }
    return response;
}

}  // namespace pabal::controller
