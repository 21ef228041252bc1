// FindCoordinator: which broker coordinates a group, a transactional id, or a share partition.
//
// 0-3   one key · 1 key types, error messages · 4 many keys (KIP-699) · 6 share partitions
// (KIP-932)
//
// Neither groups nor transactions are coordinated yet. A group's consumer is told
// COORDINATOR_NOT_AVAILABLE, on which clients wait and try again; a transactional producer could
// not be helped by waiting and is told INVALID_REQUEST with the reason.
#include "broker/dispatch.h"
#include "wire/find_coordinator.h"

namespace pabal::broker {
namespace {

enum class KeyType : std::int8_t { group = 0, transaction = 1, share = 2 };

Error refusal(std::int8_t key_type) {
    switch (static_cast<KeyType>(key_type)) {
        case KeyType::group:
            return Error{ErrorCode::coordinator_not_available,
                         "this broker does not coordinate consumer groups yet; assign partitions "
                         "to the consumer by hand"};
        case KeyType::transaction:
            return Error{ErrorCode::invalid_request,
                         "this broker does not serve transactions yet; an idempotent producer "
                         "needs no transactional.id"};
        case KeyType::share:
            return Error{ErrorCode::invalid_request, "this broker does not serve share groups yet"};
    }
    return Error{ErrorCode::invalid_request,
                 "there is no coordinator of type " + std::to_string(key_type)};
}

}  // namespace

io::Task<wire::FindCoordinatorResponse> handle_find_coordinator(
    Context*, RequestContext* request, wire::FindCoordinatorRequest message) {
    Error error = refusal(message.key_type);
    request->failed(error.code);
    wire::FindCoordinatorResponse response;
    if (request->version < 4) {
        response.error_code = error.code;
        response.error_message = error.message;
        response.node_id = no_broker;
        response.port = -1;
        co_return response;
    }
    for (std::string& key : message.coordinator_keys) {
        wire::FindCoordinatorResponse::Coordinator coordinator;
        coordinator.key = std::move(key);
        coordinator.node_id = no_broker;
        coordinator.port = -1;
        coordinator.error_code = error.code;
        coordinator.error_message = error.message;
        response.coordinators.push_back(std::move(coordinator));
    }
    co_return response;
}

}  // namespace pabal::broker
