// FindCoordinator: which broker coordinates a group, a transactional id, or a share partition.
//
// 0-3   one key · 1 key types, error messages · 4 many keys (KIP-699) · 6 share partitions
// (KIP-932)
//
// A group's coordinator leads its partition of __consumer_offsets, that of a transactional id the
// one of __transaction_state; the topic is created when the first is asked for, and the answer
// waits a second for that.
#include "broker/cluster_view.h"
#include "broker/dispatch.h"
#include "broker/topic_creation.h"
#include "runtime/group_coordinator.h"
#include "runtime/transaction_coordinator.h"
#include "wire/find_coordinator.h"

namespace pabal::broker {
namespace {

using Coordinator = wire::FindCoordinatorResponse::Coordinator;

enum class KeyType : std::int8_t { group = 0, transaction = 1, share = 2 };

void refuse(Coordinator* coordinator, ErrorCode code, std::string message) {
    coordinator->node_id = no_broker;
    coordinator->port = -1;
    coordinator->error_code = code;
    coordinator->error_message = std::move(message);
}

std::string why_not_served(std::int8_t key_type) {
    if (static_cast<KeyType>(key_type) == KeyType::share)
        return "this broker does not serve share groups yet";
    return "there is no coordinator of type " + std::to_string(key_type);
}

// The leader of the partition of `topic_name` to which the key belongs.
void find(Coordinator* coordinator, std::string_view topic_name,
          const metadata::ClusterImage& image, const ClusterView& view) {
    auto topic = image.topic(topic_name);
    if (!topic) {
        refuse(coordinator, ErrorCode::coordinator_not_available,
               std::string(topic_name) + " does not exist yet");
        return;
    }
    const PartitionIndex index = runtime::coordinating_partition(
        coordinator->key, static_cast<std::int32_t>(topic->partitions.size()));
    const BrokerId leader = view.reachable_leader(*topic->partition(index));
    const metadata::Endpoint* endpoint = leader == no_broker ? nullptr : view.reachable(leader);
    if (!endpoint) {
        refuse(coordinator, ErrorCode::coordinator_not_available,
               "its partition of " + std::string(topic_name) + " has no leader");
        return;
    }
    coordinator->node_id = leader;
    coordinator->host = endpoint->host;
    coordinator->port = endpoint->port;
    coordinator->error_message = "";
}

}  // namespace

io::Task<wire::FindCoordinatorResponse> handle_find_coordinator(
    Context* context, RequestContext* request, wire::FindCoordinatorRequest message) {
    const KeyType type = static_cast<KeyType>(message.key_type);
    std::string topic;
    if (type == KeyType::group) topic = runtime::group_topic;
    if (type == KeyType::transaction) topic = runtime::transaction_topic;
    auto image = context->image();
    if (!topic.empty() && !image->topic(topic)) {
        std::vector<std::string> missing{topic};
        Instant deadline = context->clock.now() + Duration::seconds(1);
        co_await context->topic_creation.create(std::move(missing), deadline);
        image = context->image();
    }
    const ClusterView view(*image, request->peer->listener_name);
    const bool one = request->version < 4;
    if (one) message.coordinator_keys = {std::move(message.key)};
    wire::FindCoordinatorResponse response;
    for (std::string& key : message.coordinator_keys) {
        Coordinator coordinator;
        coordinator.key = std::move(key);
        if (!topic.empty()) {
            find(&coordinator, topic, *image, view);
        } else {
            refuse(&coordinator, ErrorCode::invalid_request, why_not_served(message.key_type));
        }
        request->failed(coordinator.error_code);
        if (one) {
            response.error_code = coordinator.error_code;
            response.error_message = std::move(coordinator.error_message);
            response.node_id = coordinator.node_id;
            response.host = std::move(coordinator.host);
            response.port = coordinator.port;
        } else {
            response.coordinators.push_back(std::move(coordinator));
        }
    }
    co_return response;
}

}  // namespace pabal::broker
