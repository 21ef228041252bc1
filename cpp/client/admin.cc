#include "client/admin.h"

#include <algorithm>
#include <charconv>

#include "client/admin_call.h"
#include "io/gate.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_records.h"
#include "wire/delete_topics.h"
#include "wire/describe_configs.h"
#include "wire/incremental_alter_configs.h"
#include "wire/list_offsets.h"
#include "wire/metadata.h"

namespace pabal::client {
namespace {

TopicDescription described(wire::MetadataResponse::MetadataResponseTopic&& topic) {
    TopicDescription description;
    description.id = topic.topic_id;
    description.name = topic.name.value_or("");
    description.internal = topic.is_internal;
    for (auto& partition : topic.partitions) {
        description.partitions.push_back(
            {partition.partition_index, partition.leader_id, partition.leader_epoch,
             std::move(partition.replica_nodes), std::move(partition.isr_nodes)});
    }
    std::sort(description.partitions.begin(), description.partitions.end(),
              [](const auto& a, const auto& b) { return a.partition < b.partition; });
    return description;
}

bool has_leaders(const TopicDescription& topic) {
    return !topic.partitions.empty() &&
           std::all_of(topic.partitions.begin(), topic.partitions.end(),
                       [](const auto& partition) { return partition.leader != no_broker; });
}

std::map<BrokerId, std::vector<PartitionIndex>> by_leader(const TopicDescription& topic) {
    std::map<BrokerId, std::vector<PartitionIndex>> leaders;
    for (const auto& partition : topic.partitions) {
        leaders[partition.leader].push_back(partition.partition);
    }
    return leaders;
}

Error leaderless(const std::string& topic, PartitionIndex partition) {
    return {ErrorCode::leader_not_available,
            "partition " + std::to_string(partition.value()) + " of " + topic + " has no leader"};
}

Status of_partition(const std::string& topic, PartitionIndex partition, ErrorCode code) {
    if (code == ErrorCode::none) return {};
    return Error{code, "partition " + std::to_string(partition.value()) + " of " + topic};
}

void sort_by_partition(std::vector<PartitionOffset>* offsets) {
    std::sort(offsets->begin(), offsets->end(),
              [](const auto& a, const auto& b) { return a.partition < b.partition; });
}

// The leader is another one than Metadata said.
bool has_moved(ErrorCode code) {
    return code == ErrorCode::not_leader_or_follower || code == ErrorCode::fenced_leader_epoch ||
           code == ErrorCode::unknown_leader_epoch;
}

// The broker that alone can answer for its settings.
std::optional<BrokerId> broker_of(ConfigResource resource, const std::string& name) {
    if (resource != ConfigResource::broker) return std::nullopt;
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
    return BrokerId(id);
}

}  // namespace

Admin::Admin(io::Clock* clock, io::Network* network, std::vector<io::Address> bootstrap,
             Options options)
    : clock_(clock),
      network_(network),
      bootstrap_(std::move(bootstrap)),
      options_(std::move(options)) {}

Admin::~Admin() = default;

void Admin::close() {
    connection_.reset();
    nodes_.clear();
}

Instant Admin::end_of_try(Instant deadline) const {
    return std::min(deadline, clock_->now() + options_.request_timeout);
}

io::Task<Status> Admin::connect(Instant deadline) {
    std::string tried;
    for (std::size_t count = 0; count < bootstrap_.size(); ++count) {
        const std::size_t index = (first_to_try_ + count) % bootstrap_.size();
        io::Address address = bootstrap_[index];
        std::string client_id = options_.client_id;
        const Instant limit = end_of_try(deadline);
        auto opened = co_await rpc::Connection::open(network_, std::move(address),
                                                     std::move(client_id), limit);
        if (opened.ok()) {
            connection_ = std::move(*opened);
            first_to_try_ = index;
            co_return Status();
        }
        tried += (tried.empty() ? "" : "; ") + opened.error().message;
    }
    co_return Error{ErrorCode::broker_not_available, "no broker answers: " + tried};
}

io::Task<Status> Admin::connect_to(Node* node, Instant deadline) {
    io::Address address = node->address;
    std::string client_id = options_.client_id;
    const Instant limit = end_of_try(deadline);
    auto opened =
        co_await rpc::Connection::open(network_, std::move(address), std::move(client_id), limit);
    if (!opened.ok()) co_return opened.error();
    node->connection = std::move(*opened);
    co_return Status();
}

void Admin::learn(BrokerId broker, std::string host, std::int32_t port) {
    io::Address address{std::move(host), static_cast<std::uint16_t>(port)};
    Node& node = nodes_[broker];
    if (node.address == address) return;
    node.address = std::move(address);
    node.connection.reset();
}

io::Task<Result<TopicId>> Admin::create_topic(NewTopic topic, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    const std::string name = topic.name;
    wire::CreateTopicsRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    auto& creatable = request.topics.emplace_back();
    creatable.name = std::move(topic.name);
    creatable.num_partitions = topic.partitions;
    creatable.replication_factor = topic.replication_factor;
    for (auto& [key, value] : topic.configs) {
        creatable.configs.push_back({std::move(key), std::move(value)});
    }
    for (std::size_t index = 0; index < topic.replicas.size(); ++index) {
        creatable.assignments.push_back(
            {PartitionIndex(static_cast<std::int32_t>(index)), std::move(topic.replicas[index])});
    }
    request.validate_only = topic.validate_only;
    auto response = co_await call<wire::CreateTopicsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->topics.size() != 1) {
        co_return Error{ErrorCode::invalid_request, "the broker answered for another topic"};
    }
    auto& result = response->topics.front();
    if (result.error_code != ErrorCode::none) {
        co_return Error{result.error_code, result.error_message.value_or("")};
    }
    if (topic.validate_only) co_return result.topic_id;
    for (;;) {
        std::string wanted = name;
        const Duration left = deadline - clock_->now();
        auto description = co_await describe_topic(std::move(wanted), left);
        if (description.ok() && has_leaders(*description)) co_return description->id;
        if (!description.ok() && !is_retriable(description.error().code)) {
            co_return description.error();
        }
        if (clock_->now() >= deadline) {
            co_return Error{ErrorCode::request_timed_out,
                            name + " was created, but not all of its partitions have a leader"};
        }
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Status> Admin::delete_topic(std::string name, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::DeleteTopicsRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    request.topics.emplace_back().name = name;
    auto response = co_await call<wire::DeleteTopicsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    for (const auto& result : response->responses) {
        if (result.error_code != ErrorCode::none) {
            co_return Error{result.error_code, result.error_message.value_or("")};
        }
    }
    co_return Status();
}

io::Task<Result<TopicDescription>> Admin::describe_topic(std::string name, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::MetadataRequest request;
    request.topics.emplace().emplace_back().name = name;
    request.allow_auto_topic_creation = false;
    auto response = co_await call<wire::MetadataResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    for (auto& broker : response->brokers) {
        learn(broker.node_id, std::move(broker.host), broker.port);
    }
    for (auto& topic : response->topics) {
        if (topic.name != name) continue;
        if (topic.error_code != ErrorCode::none) {
            co_return Error{topic.error_code, "there is no topic " + name};
        }
        co_return described(std::move(topic));
    }
    co_return Error{ErrorCode::unknown_topic_or_partition, "there is no topic " + name};
}

io::Task<Result<std::vector<TopicDescription>>> Admin::list_topics(Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::MetadataRequest request;
    request.allow_auto_topic_creation = false;
    auto response = co_await call<wire::MetadataResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    for (auto& broker : response->brokers) {
        learn(broker.node_id, std::move(broker.host), broker.port);
    }
    std::vector<TopicDescription> topics;
    for (auto& topic : response->topics) {
        if (topic.error_code == ErrorCode::none) topics.push_back(described(std::move(topic)));
    }
    co_return topics;
}

io::Task<Status> Admin::create_partitions(std::string topic, std::int32_t count,
                                          std::vector<std::vector<BrokerId>> replicas,
                                          Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::CreatePartitionsRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    auto& asked = request.topics.emplace_back();
    asked.name = topic;
    asked.count = count;
    if (!replicas.empty()) {
        auto& assignments = asked.assignments.emplace();
        for (auto& brokers : replicas) assignments.push_back({std::move(brokers)});
    }
    auto response = co_await call<wire::CreatePartitionsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->results.size() != 1) co_return answered_for_another(topic);
    const auto& result = response->results.front();
    if (result.error_code != ErrorCode::none) {
        co_return status_of(result.error_code, result.error_message);
    }
    for (;;) {
        std::string wanted = topic;
        const Duration left = deadline - clock_->now();
        auto description = co_await describe_topic(std::move(wanted), left);
        if (!description.ok() && !is_retriable(description.error().code)) {
            co_return description.error();
        }
        if (description.ok() && has_leaders(*description) &&
            description->partitions.size() >= static_cast<std::size_t>(count)) {
            co_return Status();
        }
        if (clock_->now() >= deadline) {
            co_return Error{ErrorCode::request_timed_out,
                            "the new partitions of " + topic + " do not all have a leader yet"};
        }
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call_for_configs(ConfigResource resource, std::string name,
                                                   Request request, Instant deadline) {
    const auto broker = broker_of(resource, name);
    if (!broker) {
        auto response = co_await call<Response>(std::move(request), deadline);
        co_return response;
    }
    const Duration left = deadline - clock_->now();
    auto listed = co_await list_topics(left);  // Tells the brokers' addresses.
    if (!listed.ok()) co_return listed.error();
    const BrokerId node = *broker;
    auto response = co_await call_at<Response>(node, std::move(request), deadline);
    co_return response;
}

io::Task<Result<std::vector<Config>>> Admin::describe_configs(ConfigResource resource,
                                                              std::string name, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::DescribeConfigsRequest request;
    request.include_synonyms = true;
    auto& asked = request.resources.emplace_back();
    asked.resource_type = static_cast<std::int8_t>(resource);
    asked.resource_name = name;
    std::string place = name;
    auto response = co_await call_for_configs<wire::DescribeConfigsResponse>(
        resource, std::move(place), std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->results.size() != 1) co_return answered_for_another(name);
    auto& result = response->results.front();
    const Status status = status_of(result.error_code, result.error_message);
    if (!status.ok()) co_return status.error();
    std::vector<Config> configs;
    for (auto& config : result.configs) {
        Config& told = configs.emplace_back();
        told.name = std::move(config.name);
        told.value = std::move(config.value);
        told.source = config.config_source;
        told.read_only = config.read_only;
        told.sensitive = config.is_sensitive;
        for (auto& synonym : config.synonyms)
            told.synonyms.push_back(
                {std::move(synonym.name), std::move(synonym.value), synonym.source});
    }
    co_return configs;
}

io::Task<Status> Admin::alter_configs(ConfigResource resource, std::string name,
                                      std::vector<ConfigChange> changes, bool validate_only,
                                      Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::IncrementalAlterConfigsRequest request;
    request.validate_only = validate_only;
    auto& asked = request.resources.emplace_back();
    asked.resource_type = static_cast<std::int8_t>(resource);
    asked.resource_name = name;
    for (auto& change : changes) {
        asked.configs.push_back({std::move(change.name), static_cast<std::int8_t>(change.operation),
                                 std::move(change.value)});
    }
    std::string place = name;
    auto response = co_await call_for_configs<wire::IncrementalAlterConfigsResponse>(
        resource, std::move(place), std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->responses.size() != 1) co_return answered_for_another(name);
    const auto& result = response->responses.front();
    co_return status_of(result.error_code, result.error_message);
}

io::Task<Result<std::vector<PartitionOffset>>> Admin::list_offsets(std::string topic,
                                                                   std::int64_t timestamp,
                                                                   Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    for (;;) {
        std::string wanted = topic;
        auto offsets = co_await ask_leaders(std::move(wanted), timestamp, deadline);
        if (offsets.ok() || !has_moved(offsets.error().code)) co_return offsets;
        if (clock_->now() >= deadline) co_return offsets;
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Result<std::vector<PartitionOffset>>> Admin::ask_leaders(std::string topic,
                                                                  std::int64_t timestamp,
                                                                  Instant deadline) {
    std::string wanted = topic;
    const Duration left = deadline - clock_->now();
    auto description = co_await describe_topic(std::move(wanted), left);
    if (!description.ok()) co_return description.error();
    std::vector<PartitionOffset> offsets;
    for (const auto& [leader, partitions] : by_leader(*description)) {
        if (leader == no_broker) co_return leaderless(topic, partitions.front());
        wire::ListOffsetsRequest request;
        request.replica_id = no_broker;
        auto& asked = request.topics.emplace_back();
        asked.name = topic;
        for (const PartitionIndex partition : partitions) {
            auto& one = asked.partitions.emplace_back();
            one.partition_index = partition;
            one.timestamp = timestamp;
        }
        auto response =
            co_await call_at<wire::ListOffsetsResponse>(leader, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        if (response->topics.size() != 1) co_return answered_for_another(topic);
        for (const auto& partition : response->topics.front().partitions) {
            // Who does not know it yet is not its leader yet.
            const ErrorCode code = partition.error_code == ErrorCode::unknown_topic_or_partition
                                       ? ErrorCode::not_leader_or_follower
                                       : partition.error_code;
            const Status status = of_partition(topic, partition.partition_index, code);
            if (!status.ok()) co_return status.error();
            offsets.push_back({partition.partition_index, partition.offset});
        }
    }
    sort_by_partition(&offsets);
    co_return offsets;
}

io::Task<Result<std::vector<PartitionOffset>>> Admin::delete_records(
    std::string topic, std::vector<PartitionOffset> before, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    std::string wanted = topic;
    auto description = co_await describe_topic(std::move(wanted), timeout);
    if (!description.ok()) co_return description.error();
    std::vector<PartitionOffset> starts;
    for (const PartitionOffset& one : before) {
        const auto found = std::find_if(
            description->partitions.begin(), description->partitions.end(),
            [&](const auto& partition) { return partition.partition == one.partition; });
        if (found == description->partitions.end()) {
            co_return Error{ErrorCode::unknown_topic_or_partition,
                            topic + " has no partition " + std::to_string(one.partition.value())};
        }
        if (found->leader == no_broker) co_return leaderless(topic, one.partition);
        wire::DeleteRecordsRequest request;
        request.timeout_ms = milliseconds_left(clock_->now(), deadline);
        auto& asked = request.topics.emplace_back();
        asked.name = topic;
        asked.partitions.push_back({one.partition, one.offset});
        const BrokerId leader = found->leader;
        auto response =
            co_await call_at<wire::DeleteRecordsResponse>(leader, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        if (response->topics.size() != 1 || response->topics.front().partitions.size() != 1) {
            co_return answered_for_another(topic);
        }
        const auto& partition = response->topics.front().partitions.front();
        const Status status = of_partition(topic, partition.partition_index, partition.error_code);
        if (!status.ok()) co_return status.error();
        starts.push_back({partition.partition_index, partition.low_watermark});
    }
    co_return starts;
}

}  // namespace pabal::client
