#include "client/admin.h"

#include <algorithm>

#include "io/gate.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/metadata.h"

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

bool has_leaders(const TopicDescription& topic) {
    return !topic.partitions.empty() &&
           std::all_of(topic.partitions.begin(), topic.partitions.end(),
                       [](const auto& partition) { return partition.leader != no_broker; });
}

}  // namespace

Admin::Admin(io::Clock* clock, io::Network* network, std::vector<io::Address> bootstrap)
    : clock_(clock), network_(network), bootstrap_(std::move(bootstrap)) {}

Admin::~Admin() = default;

void Admin::close() {
    connection_.reset();
}

io::Task<Status> Admin::connect(Instant deadline) {
    std::string tried;
    for (std::size_t index = 0; index < bootstrap_.size(); ++index) {
        io::Address address = bootstrap_[index];
        std::string client_id = "pabal-admin";
        auto opened =
            co_await Connection::open(network_, std::move(address), std::move(client_id), deadline);
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
    std::vector<TopicDescription> topics;
    for (auto& topic : response->topics) {
        if (topic.error_code == ErrorCode::none) topics.push_back(described(std::move(topic)));
    }
    co_return topics;
}

}  // namespace pabal::client
