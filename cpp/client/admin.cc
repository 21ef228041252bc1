#include "client/admin.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "io/gate.h"
#include "wire/consumer_group_describe.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_groups.h"
#include "wire/delete_records.h"
#include "wire/delete_topics.h"
#include "wire/describe_configs.h"
#include "wire/describe_groups.h"
#include "wire/find_coordinator.h"
#include "wire/incremental_alter_configs.h"
#include "wire/list_groups.h"
#include "wire/list_offsets.h"
#include "wire/metadata.h"
#include "wire/offset_fetch.h"
#include "wire/records/consumer_protocol_assignment.h"

namespace pabal::client {
namespace {

// A topic that was just created is known everywhere within this time; asked again meanwhile.
constexpr Duration retry_pause = Duration::milliseconds(5);

std::int32_t milliseconds_left(Instant now, Instant deadline) {
    const std::int64_t left = (deadline - now).to_milliseconds();
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(left, 1, INT32_MAX));
}

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

// The error that a response carries, with its code's own sentence left to the reader's table when
// the broker gave none.
Status status_of(ErrorCode code, const std::optional<std::string>& message) {
    if (code == ErrorCode::none) return {};
    return Error{code, message.value_or("")};
}

Error answered_for_another(const std::string& name) {
    return {ErrorCode::invalid_request, "the broker did not answer for " + name};
}

// A coordinator that moves or has just been asked for the first time.
bool is_on_the_move(ErrorCode code) {
    return code == ErrorCode::coordinator_not_available ||
           code == ErrorCode::coordinator_load_in_progress || code == ErrorCode::not_coordinator;
}

std::string refusal_of(ErrorCode code, const std::string& group) {
    if (code == ErrorCode::group_id_not_found) return "there is no group " + group;
    if (code == ErrorCode::non_empty_group) return "group " + group + " still has members";
    return "group " + group + " cannot be deleted";
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

// What a leader assigned to a member. These bytes are a client's, and any client may send any.
std::vector<std::pair<std::string, PartitionIndex>> assigned(Bytes bytes) {
    std::vector<std::pair<std::string, PartitionIndex>> partitions;
    wire::Reader reader(std::move(bytes));
    const int version = reader.int16("version");
    wire::ConsumerProtocolAssignment assignment;
    // A later version may only append.
    const Status status = decode(
        reader, assignment, std::clamp(version, 0, wire::ConsumerProtocolAssignment::max_version));
    if (!status.ok()) return partitions;
    for (const auto& topic : assignment.assigned_partitions) {
        for (const PartitionIndex partition : topic.partitions) {
            partitions.emplace_back(topic.topic, partition);
        }
    }
    std::sort(partitions.begin(), partitions.end());
    return partitions;
}

// One group, as each version asks for it; several from version 4 (KIP-699).
struct FindCoordinator : wire::FindCoordinatorRequest {
    std::string group;

    void fill(int version) {
        constexpr int first_with_several = 4;
        if (version < first_with_several) {
            key = group;
        } else {
            coordinator_keys = {group};
        }
    }
};

// All offsets of one group, as each version asks for them; of several from version 8 (KIP-709).
struct OffsetFetch : wire::OffsetFetchRequest {
    std::string group;

    void fill(int version) {
        constexpr int first_with_several = 8;
        if (version < first_with_several) {
            group_id = group;
        } else {
            groups.clear();
            groups.emplace_back().group_id = group;
        }
    }
};

// The broker that alone can answer for its settings.
std::optional<BrokerId> broker_of(ConfigResource resource, const std::string& name) {
    if (resource != ConfigResource::broker) return std::nullopt;
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
    return BrokerId(id);
}

}  // namespace

Admin::Admin(io::Clock* clock, io::Network* network, std::vector<io::Address> bootstrap)
    : clock_(clock), network_(network), bootstrap_(std::move(bootstrap)) {}

Admin::~Admin() = default;

void Admin::close() {
    connection_.reset();
    nodes_.clear();
}

io::Task<Status> Admin::connect(Instant deadline) {
    std::string tried;
    for (std::size_t index = 0; index < bootstrap_.size(); ++index) {
        io::Address address = bootstrap_[index];
        std::string client_id = "pabal-admin";
        auto opened = co_await rpc::Connection::open(network_, std::move(address),
                                                     std::move(client_id), deadline);
        if (opened.ok()) {
            connection_ = std::move(*opened);
            co_return Status();
        }
        tried += (tried.empty() ? "" : "; ") + opened.error().message;
    }
    co_return Error{ErrorCode::broker_not_available, "no broker answers: " + tried};
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call(Request request, Instant deadline) {
    if (connection_) {
        Request first = request;
        auto response = co_await connection_->call<Response>(std::move(first), deadline);
        if (response.ok() || response.error().code == ErrorCode::unsupported_version) {
            co_return response;
        }
        connection_.reset();
        if (response.error().code != ErrorCode::network_exception) co_return response;
    }
    auto connected = co_await connect(deadline);
    if (!connected.ok()) co_return connected.error();
    auto response = co_await connection_->call<Response>(std::move(request), deadline);
    if (!response.ok() && response.error().code != ErrorCode::unsupported_version) {
        connection_.reset();
    }
    co_return response;
}

void Admin::learn(BrokerId broker, std::string host, std::int32_t port) {
    io::Address address{std::move(host), static_cast<std::uint16_t>(port)};
    Node& node = nodes_[broker];
    if (node.address == address) return;
    node.address = std::move(address);
    node.connection.reset();
}

template <class Response, class Request>
io::Task<Result<Response>> Admin::call_at(BrokerId broker, Request request, Instant deadline) {
    const auto found = nodes_.find(broker);
    if (found == nodes_.end()) {
        co_return Error{ErrorCode::broker_not_available,
                        "broker " + std::to_string(broker.value()) + " is not alive"};
    }
    Node& node = found->second;
    if (node.connection) {
        Request first = request;
        auto response = co_await node.connection->call<Response>(std::move(first), deadline);
        if (response.ok() || response.error().code == ErrorCode::unsupported_version) {
            co_return response;
        }
        node.connection.reset();
        if (response.error().code != ErrorCode::network_exception) co_return response;
    }
    io::Address address = node.address;
    std::string client_id = "pabal-admin";
    auto opened = co_await rpc::Connection::open(network_, std::move(address), std::move(client_id),
                                                 deadline);
    if (!opened.ok()) co_return opened.error();
    node.connection = std::move(*opened);
    auto response = co_await node.connection->call<Response>(std::move(request), deadline);
    if (!response.ok() && response.error().code != ErrorCode::unsupported_version) {
        node.connection.reset();
    }
    co_return response;
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
    auto response = co_await call<wire::CreateTopicsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->topics.size() != 1) {
        co_return Error{ErrorCode::invalid_request, "the broker answered for another topic"};
    }
    auto& result = response->topics.front();
    if (result.error_code != ErrorCode::none) {
        co_return Error{result.error_code, result.error_message.value_or("")};
    }
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

io::Task<Status> Admin::create_partitions(std::string topic, std::int32_t count, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::CreatePartitionsRequest request;
    request.timeout_ms = milliseconds_left(clock_->now(), deadline);
    auto& asked = request.topics.emplace_back();
    asked.name = topic;
    asked.count = count;
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

io::Task<Result<std::vector<Config>>> Admin::describe_configs(ConfigResource resource,
                                                              std::string name, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    wire::DescribeConfigsRequest request;
    auto& asked = request.resources.emplace_back();
    asked.resource_type = static_cast<std::int8_t>(resource);
    asked.resource_name = name;
    const auto broker = broker_of(resource, name);
    Result<wire::DescribeConfigsResponse> response = Error{};
    if (broker) {
        auto listed = co_await list_topics(timeout);  // Tells the brokers' addresses.
        if (!listed.ok()) co_return listed.error();
        const BrokerId node = *broker;
        auto answered =
            co_await call_at<wire::DescribeConfigsResponse>(node, std::move(request), deadline);
        response = std::move(answered);
    } else {
        auto answered = co_await call<wire::DescribeConfigsResponse>(std::move(request), deadline);
        response = std::move(answered);
    }
    if (!response.ok()) co_return response.error();
    if (response->results.size() != 1) co_return answered_for_another(name);
    auto& result = response->results.front();
    const Status status = status_of(result.error_code, result.error_message);
    if (!status.ok()) co_return status.error();
    std::vector<Config> configs;
    for (auto& config : result.configs) {
        configs.push_back({std::move(config.name), std::move(config.value), config.config_source,
                           config.read_only, config.is_sensitive});
    }
    co_return configs;
}

io::Task<Status> Admin::alter_configs(
    ConfigResource resource, std::string name,
    std::vector<std::pair<std::string, std::optional<std::string>>> changes, Duration timeout) {
    constexpr std::int8_t set = 0;
    constexpr std::int8_t take_back = 1;
    const Instant deadline = clock_->now() + timeout;
    wire::IncrementalAlterConfigsRequest request;
    auto& asked = request.resources.emplace_back();
    asked.resource_type = static_cast<std::int8_t>(resource);
    asked.resource_name = name;
    for (auto& [key, value] : changes) {
        const std::int8_t operation = value ? set : take_back;
        asked.configs.push_back({std::move(key), operation, std::move(value)});
    }
    const auto broker = broker_of(resource, name);
    Result<wire::IncrementalAlterConfigsResponse> response = Error{};
    if (broker) {
        auto listed = co_await list_topics(timeout);
        if (!listed.ok()) co_return listed.error();
        const BrokerId node = *broker;
        auto answered = co_await call_at<wire::IncrementalAlterConfigsResponse>(
            node, std::move(request), deadline);
        response = std::move(answered);
    } else {
        auto answered =
            co_await call<wire::IncrementalAlterConfigsResponse>(std::move(request), deadline);
        response = std::move(answered);
    }
    if (!response.ok()) co_return response.error();
    if (response->responses.size() != 1) co_return answered_for_another(name);
    const auto& result = response->responses.front();
    co_return status_of(result.error_code, result.error_message);
}

io::Task<Result<std::vector<PartitionOffset>>> Admin::list_offsets(std::string topic,
                                                                   std::int64_t timestamp,
                                                                   Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    std::string wanted = topic;
    auto description = co_await describe_topic(std::move(wanted), timeout);
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
            const Status status =
                of_partition(topic, partition.partition_index, partition.error_code);
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

io::Task<Result<std::vector<GroupListing>>> Admin::list_groups(Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    auto listed = co_await list_topics(timeout);
    if (!listed.ok()) co_return listed.error();
    std::vector<BrokerId> brokers;
    for (const auto& [broker, node] : nodes_) brokers.push_back(broker);
    std::vector<GroupListing> groups;
    for (const BrokerId broker : brokers) {
        wire::ListGroupsRequest request;
        auto response =
            co_await call_at<wire::ListGroupsResponse>(broker, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        if (response->error_code != ErrorCode::none) {
            co_return Error{response->error_code,
                            "broker " + std::to_string(broker.value()) + " lists no groups"};
        }
        for (auto& group : response->groups) {
            groups.push_back({std::move(group.group_id), std::move(group.group_type),
                              std::move(group.protocol_type), std::move(group.group_state)});
        }
    }
    std::sort(groups.begin(), groups.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
    co_return groups;
}

io::Task<Result<BrokerId>> Admin::find_coordinator(std::string group, Instant deadline) {
    for (;;) {
        FindCoordinator request;
        request.group = group;
        auto response = co_await call<wire::FindCoordinatorResponse>(std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        wire::FindCoordinatorResponse::Coordinator found{
            group,          response->node_id,    std::move(response->host),
            response->port, response->error_code, std::move(response->error_message)};
        if (!response->coordinators.empty()) found = std::move(response->coordinators.front());
        if (found.error_code == ErrorCode::none) {
            learn(found.node_id, std::move(found.host), found.port);
            co_return found.node_id;
        }
        if (!is_on_the_move(found.error_code) || clock_->now() >= deadline) {
            co_return Error{found.error_code, found.error_message.value_or("")};
        }
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Result<GroupDescription>> Admin::describe_group(std::string id, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    for (;;) {
        std::string group = id;
        auto coordinator = co_await find_coordinator(std::move(group), deadline);
        if (!coordinator.ok()) co_return coordinator.error();
        const BrokerId broker = *coordinator;
        group = id;
        auto classic = co_await describe_classic_group(std::move(group), broker, deadline);
        if (classic.ok()) co_return classic;
        ErrorCode code = classic.error().code;
        if (code == ErrorCode::group_id_not_found) {
            group = id;
            auto consumer = co_await describe_consumer_group(std::move(group), broker, deadline);
            if (consumer.ok()) co_return consumer;
            code = consumer.error().code;
            if (code == ErrorCode::unsupported_version) code = ErrorCode::group_id_not_found;
            classic = std::move(consumer);
        }
        if (code == ErrorCode::group_id_not_found) {
            co_return Error{code, "there is no group " + id};
        }
        if (!is_on_the_move(code) || clock_->now() >= deadline) co_return classic;
        io::Sleep pause(*clock_, clock_->now() + retry_pause);
        co_await pause;
    }
}

io::Task<Result<GroupDescription>> Admin::describe_classic_group(std::string id,
                                                                 BrokerId coordinator,
                                                                 Instant deadline) {
    wire::DescribeGroupsRequest request;
    request.groups.push_back(id);
    auto response =
        co_await call_at<wire::DescribeGroupsResponse>(coordinator, std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->groups.size() != 1) co_return answered_for_another(id);
    auto& described = response->groups.front();
    const Status status = status_of(described.error_code, described.error_message);
    if (!status.ok()) co_return status.error();
    // Before version 6 a group that nobody knows is one that is dead.
    if (described.group_state == "Dead" && described.members.empty()) {
        co_return Error{ErrorCode::group_id_not_found, ""};
    }
    GroupDescription out;
    out.id = std::move(described.group_id);
    out.type = "classic";
    out.state = std::move(described.group_state);
    out.protocol_type = std::move(described.protocol_type);
    out.assignor = std::move(described.protocol_data);
    out.coordinator = coordinator;
    for (auto& member : described.members) {
        auto& one = out.members.emplace_back();
        one.id = std::move(member.member_id);
        one.instance_id = std::move(member.group_instance_id);
        one.client_id = std::move(member.client_id);
        one.host = std::move(member.client_host);
        if (out.protocol_type == "consumer") {
            one.assignment = assigned(std::move(member.member_assignment));
        }
    }
    co_return out;
}

io::Task<Result<GroupDescription>> Admin::describe_consumer_group(std::string id,
                                                                  BrokerId coordinator,
                                                                  Instant deadline) {
    wire::ConsumerGroupDescribeRequest request;
    request.group_ids.push_back(id);
    auto response = co_await call_at<wire::ConsumerGroupDescribeResponse>(
        coordinator, std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    if (response->groups.size() != 1) co_return answered_for_another(id);
    auto& described = response->groups.front();
    const Status status = status_of(described.error_code, described.error_message);
    if (!status.ok()) co_return status.error();
    GroupDescription out;
    out.id = std::move(described.group_id);
    out.type = "consumer";
    out.state = std::move(described.group_state);
    out.protocol_type = "consumer";
    out.assignor = std::move(described.assignor_name);
    out.epoch = described.group_epoch;
    out.coordinator = coordinator;
    for (auto& member : described.members) {
        auto& one = out.members.emplace_back();
        one.id = std::move(member.member_id);
        one.instance_id = std::move(member.instance_id);
        one.client_id = std::move(member.client_id);
        one.host = std::move(member.client_host);
        for (const auto& topic : member.assignment.topic_partitions) {
            for (const PartitionIndex partition : topic.partitions) {
                one.assignment.emplace_back(topic.topic_name, partition);
            }
        }
        std::sort(one.assignment.begin(), one.assignment.end());
    }
    co_return out;
}

io::Task<Result<std::vector<CommittedOffset>>> Admin::committed_offsets(std::string group,
                                                                        Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    // From version 10 topics come as ids (KIP-848).
    auto listed = co_await list_topics(timeout);
    if (!listed.ok()) co_return listed.error();
    std::map<TopicId, std::string> names;
    for (auto& topic : *listed) names.emplace(topic.id, std::move(topic.name));
    for (;;) {
        std::string wanted = group;
        auto coordinator = co_await find_coordinator(std::move(wanted), deadline);
        if (!coordinator.ok()) co_return coordinator.error();
        OffsetFetch request;
        request.group = group;
        const BrokerId broker = *coordinator;
        auto response =
            co_await call_at<wire::OffsetFetchResponse>(broker, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        ErrorCode code = response->error_code;
        if (!response->groups.empty()) code = response->groups.front().error_code;
        if (is_on_the_move(code) && clock_->now() < deadline) {
            io::Sleep pause(*clock_, clock_->now() + retry_pause);
            co_await pause;
            continue;
        }
        if (code != ErrorCode::none) co_return Error{code, "the offsets of group " + group};
        std::vector<CommittedOffset> offsets;
        for (const auto& topic : response->topics) {
            for (const auto& partition : topic.partitions) {
                if (partition.error_code != ErrorCode::none) continue;
                offsets.push_back(
                    {topic.name, partition.partition_index, partition.committed_offset});
            }
        }
        if (!response->groups.empty()) {
            for (const auto& topic : response->groups.front().topics) {
                const auto name = names.find(topic.topic_id);
                if (topic.name.empty() && name == names.end()) continue;
                for (const auto& partition : topic.partitions) {
                    if (partition.error_code != ErrorCode::none) continue;
                    offsets.push_back({topic.name.empty() ? name->second : topic.name,
                                       partition.partition_index, partition.committed_offset});
                }
            }
        }
        std::sort(offsets.begin(), offsets.end(), [](const auto& a, const auto& b) {
            return std::tie(a.topic, a.partition) < std::tie(b.topic, b.partition);
        });
        co_return offsets;
    }
}

io::Task<Status> Admin::delete_group(std::string id, Duration timeout) {
    const Instant deadline = clock_->now() + timeout;
    for (;;) {
        std::string group = id;
        auto coordinator = co_await find_coordinator(std::move(group), deadline);
        if (!coordinator.ok()) co_return coordinator.error();
        wire::DeleteGroupsRequest request;
        request.groups_names.push_back(id);
        const BrokerId broker = *coordinator;
        auto response =
            co_await call_at<wire::DeleteGroupsResponse>(broker, std::move(request), deadline);
        if (!response.ok()) co_return response.error();
        if (response->results.size() != 1) co_return answered_for_another(id);
        const ErrorCode code = response->results.front().error_code;
        if (is_on_the_move(code) && clock_->now() < deadline) {
            io::Sleep pause(*clock_, clock_->now() + retry_pause);
            co_await pause;
            continue;
        }
        if (code != ErrorCode::none) co_return Error{code, refusal_of(code, id)};
        co_return Status();
    }
}

}  // namespace pabal::client
