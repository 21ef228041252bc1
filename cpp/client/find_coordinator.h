// Which broker coordinates a group or the transactions of an id: FindCoordinator as each version
// asks and answers it; for several keys from version 4 (KIP-699).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "client/brokers.h"
#include "io/task.h"
#include "wire/find_coordinator.h"

namespace pabal::client {

enum class CoordinatorKind : std::int8_t { group = 0, transaction = 1 };

struct FindCoordinator : wire::FindCoordinatorRequest {
    std::string wanted;

    FindCoordinator(CoordinatorKind kind, std::string id) : wanted(std::move(id)) {
        key_type = static_cast<std::int8_t>(kind);
    }

    void fill(int version) {
        constexpr int first_with_several = 4;
        if (version < first_with_several) {
            key = wanted;
        } else {
            coordinator_keys = {wanted};
        }
    }
};

// The answer to the only key, wherever the version puts it.
wire::FindCoordinatorResponse::Coordinator coordinator_in(wire::FindCoordinatorResponse response);

// Asks any broker, once, and learns the address. Errors: what the broker answers, e.g.
// coordinator_not_available; broker_not_available, request_timed_out.
io::Task<Result<BrokerId>> find_coordinator(Brokers* brokers, CoordinatorKind kind, std::string key,
                                            Duration timeout);

}  // namespace pabal::client
