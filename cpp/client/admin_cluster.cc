#include <algorithm>
#include <map>

#include "client/admin_call.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/api_versions.h"
#include "wire/describe_cluster.h"
#include "wire/describe_log_dirs.h"
#include "wire/describe_quorum.h"
#include "wire/elect_leaders.h"
#include "wire/list_partition_reassignments.h"
#include "wire/update_features.h"

namespace pabal::client {
namespace {

std::vector<QuorumReplica> replicas_of(
    const std::vector<wire::DescribeQuorumResponse::ReplicaState>& states) {
    std::vector<QuorumReplica> replicas;
    for (const auto& state : states) {
        replicas.push_back({state.replica_id, state.replica_directory_id, state.log_end_offset,
                            state.last_fetch_timestamp, state.last_caught_up_timestamp});
    }
    return replicas;
}

// Requests name each topic once.
std::map<std::string, std::vector<PartitionIndex>> by_topic(
    const std::vector<NamedPartition>& partitions) {
    std::map<std::string, std::vector<PartitionIndex>> topics;
    for (const auto& [topic, partition] : partitions) topics[topic].push_back(partition);
    return topics;
}

}  // namespace

io::Task<Result<QuorumDescription>> Admin::describe_quorum(Duration timeout) {
    const std::string name = "__cluster_metadata";
    const Instant deadline = clock_->now() + timeout;
    wire::DescribeQuorumRequest request;
    auto& asked = request.topics.emplace_back();
    asked.topic_name = name;
    asked.partitions.emplace_back();
    auto response = co_await call<wire::DescribeQuorumResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const Status status = status_of(response->error_code, response->error_message);
    if (!status.ok()) co_return status.error();
    if (response->topics.size() != 1 || response->topics.front().partitions.size() != 1) {
        co_return answered_for_another(name);
    }
    const auto& partition = response->topics.front().partitions.front();
    const Status of_partition = status_of(partition.error_code, partition.error_message);
    if (!of_partition.ok()) co_return of_partition.error();
    QuorumDescription description;
    description.leader = partition.leader_id;
    description.leader_epoch = partition.leader_epoch;
    description.high_watermark = partition.high_watermark;
    description.voters = replicas_of(partition.current_voters);
    description.observers = replicas_of(partition.observers);
    co_return description;
}

io::Task<Result<ClusterDescription>> Admin::describe_cluster(bool fenced, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::DescribeClusterRequest request;
    request.include_fenced_brokers = fenced;
    auto response = co_await call<wire::DescribeClusterResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const Status status = status_of(response->error_code, response->error_message);
    if (!status.ok()) co_return status.error();
    ClusterDescription description;
    description.id = std::move(response->cluster_id);
    description.controller = response->controller_id;
    for (auto& broker : response->brokers) {
        description.brokers.push_back({broker.broker_id, std::move(broker.host), broker.port,
                                       std::move(broker.rack), broker.is_fenced});
    }
    std::sort(description.brokers.begin(), description.brokers.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    co_return description;
}

io::Task<Result<FeatureDescription>> Admin::describe_features(Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::ApiVersionsRequest request;
    request.client_software_name = "pabal";
    request.client_software_version = "0.1.0";
    auto response = co_await call<wire::ApiVersionsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const std::optional<std::string> none;
    const Status status = status_of(response->error_code, none);
    if (!status.ok()) co_return status.error();
    FeatureDescription description;
    description.epoch = response->finalized_features_epoch;
    for (auto& feature : response->finalized_features) {
        description.finalized.push_back(
            {std::move(feature.name), feature.min_version_level, feature.max_version_level});
    }
    for (auto& feature : response->supported_features) {
        description.supported.push_back(
            {std::move(feature.name), feature.min_version, feature.max_version});
    }
    co_return description;
}

io::Task<Status> Admin::update_features(std::vector<FeatureUpdate> updates, bool validate_only,
                                        Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::UpdateFeaturesRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    request.validate_only = validate_only;
    for (auto& update : updates) {
        auto& one = request.feature_updates.emplace_back();
        one.feature = std::move(update.name);
        one.max_version_level = update.level;
        one.upgrade_type = update.upgrade_type;
        one.allow_downgrade = update.upgrade_type > 1;  // As version 0 says it.
    }
    auto response = co_await call<wire::UpdateFeaturesResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const Status status = status_of(response->error_code, response->error_message);
    if (!status.ok()) co_return status;
    for (const auto& result : response->results) {
        if (result.error_code != ErrorCode::none) {
            co_return Error{
                result.error_code,
                result.feature + ": " +
                    result.error_message.value_or(std::string(error_message(result.error_code)))};
        }
    }
    co_return Status();
}

io::Task<Result<std::vector<PartitionOutcome>>> Admin::elect_leaders(
    bool unclean, std::optional<std::vector<NamedPartition>> partitions, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::ElectLeadersRequest request;
    request.election_type = unclean ? 1 : 0;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    if (partitions) {
        auto& topics = request.topic_partitions.emplace();
        for (auto& [topic, indexes] : by_topic(*partitions)) topics.push_back({topic, indexes});
    }
    auto response = co_await call<wire::ElectLeadersResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const std::optional<std::string> none;
    const Status status = status_of(response->error_code, none);
    if (!status.ok()) co_return status.error();
    std::vector<PartitionOutcome> outcomes;
    for (auto& topic : response->replica_election_results) {
        for (auto& partition : topic.partition_result) {
            outcomes.push_back({{topic.topic, partition.partition_id},
                                partition.error_code,
                                partition.error_message.value_or("")});
        }
    }
    co_return outcomes;
}

io::Task<Result<std::vector<PartitionOutcome>>> Admin::alter_reassignments(
    std::vector<Reassignment> reassignments, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::AlterPartitionReassignmentsRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    std::map<std::string, std::size_t> places;
    for (auto& one : reassignments) {
        const auto& [topic, partition] = one.partition;
        const auto [place, fresh] = places.try_emplace(topic, request.topics.size());
        if (fresh) request.topics.emplace_back().name = topic;
        request.topics[place->second].partitions.push_back({partition, std::move(one.replicas)});
    }
    auto response =
        co_await call<wire::AlterPartitionReassignmentsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const Status status = status_of(response->error_code, response->error_message);
    if (!status.ok()) co_return status.error();
    std::vector<PartitionOutcome> outcomes;
    for (auto& topic : response->responses) {
        for (auto& partition : topic.partitions) {
            outcomes.push_back({{topic.name, partition.partition_index},
                                partition.error_code,
                                partition.error_message.value_or("")});
        }
    }
    co_return outcomes;
}

io::Task<Result<std::vector<OngoingReassignment>>> Admin::list_reassignments(
    std::optional<std::vector<NamedPartition>> partitions, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::ListPartitionReassignmentsRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    if (partitions) {
        auto& topics = request.topics.emplace();
        for (auto& [topic, indexes] : by_topic(*partitions)) topics.push_back({topic, indexes});
    }
    auto response =
        co_await call<wire::ListPartitionReassignmentsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    const Status status = status_of(response->error_code, response->error_message);
    if (!status.ok()) co_return status.error();
    std::vector<OngoingReassignment> reassignments;
    for (auto& topic : response->topics) {
        for (auto& partition : topic.partitions) {
            reassignments.push_back({{topic.name, partition.partition_index},
                                     std::move(partition.replicas),
                                     std::move(partition.adding_replicas),
                                     std::move(partition.removing_replicas)});
        }
    }
    std::sort(reassignments.begin(), reassignments.end(),
              [](const auto& a, const auto& b) { return a.partition < b.partition; });
    co_return reassignments;
}

io::Task<Result<std::vector<LogDirDescription>>> Admin::describe_log_dirs(
    std::optional<std::vector<BrokerId>> brokers, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    auto cluster = co_await describe_cluster(false, timeout);
    if (!cluster.ok()) co_return cluster.error();
    std::vector<BrokerId> asked;
    for (auto& broker : cluster->brokers) {
        learn(broker.id, std::move(broker.host), broker.port);
        asked.push_back(broker.id);
    }
    if (brokers) asked = std::move(*brokers);
    std::vector<LogDirDescription> found;
    for (const BrokerId broker : asked) {
        wire::DescribeLogDirsRequest request;
        auto response =
            co_await call_at<wire::DescribeLogDirsResponse>(broker, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        const std::string place = "the log directories of broker " + std::to_string(broker.value());
        if (response->error_code != ErrorCode::none) co_return Error{response->error_code, place};
        for (auto& directory : response->results) {
            auto& told = found.emplace_back();
            told.broker = broker;
            told.path = std::move(directory.log_dir);
            told.code = directory.error_code;
            told.total_bytes = directory.total_bytes;
            told.usable_bytes = directory.usable_bytes;
            for (const auto& topic : directory.topics) {
                for (const auto& partition : topic.partitions) {
                    told.replicas.push_back({{topic.name, partition.partition_index},
                                             partition.partition_size,
                                             partition.offset_lag,
                                             partition.is_future_key});
                }
            }
        }
    }
    co_return found;
}

}  // namespace pabal::client
