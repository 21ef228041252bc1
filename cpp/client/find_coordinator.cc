#include "client/find_coordinator.h"

namespace pabal::client {

wire::FindCoordinatorResponse::Coordinator coordinator_in(wire::FindCoordinatorResponse response) {
    if (!response.coordinators.empty()) return std::move(response.coordinators.front());
    wire::FindCoordinatorResponse::Coordinator only;
    only.error_code = response.error_code;
    only.error_message = std::move(response.error_message);
    only.node_id = response.node_id;
    only.host = std::move(response.host);
    only.port = response.port;
    return only;
}

io::Task<Result<BrokerId>> find_coordinator(Brokers* brokers, CoordinatorKind kind, std::string key,
                                            Duration timeout) {
    FindCoordinator request(kind, std::move(key));
    auto response =
        co_await brokers->call_any<wire::FindCoordinatorResponse>(std::move(request), timeout);
    if (!response.ok()) co_return response.error();
    auto found = coordinator_in(std::move(*response));
    if (found.error_code != ErrorCode::none) {
        co_return Error{found.error_code,
                        found.error_message.value_or(std::string(error_message(found.error_code)))};
    }
    brokers->learn(found.node_id, std::move(found.host), found.port);
    co_return found.node_id;
}

}  // namespace pabal::client
