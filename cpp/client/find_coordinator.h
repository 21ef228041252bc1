// FindCoordinator for one group, as each version asks for it; for several from version 4 (KIP-699).
#pragma once

#include <string>

#include "wire/find_coordinator.h"

namespace pabal::client {

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

}  // namespace pabal::client
