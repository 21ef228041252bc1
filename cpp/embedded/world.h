// What the brokers of one cluster in this process have in common: one policy time, which their user
// may move, and the wires between them. Shared by the brokers; every member may be used from any
// thread that is no shard.
#pragma once

#include <memory>

#include "embedded/wires.h"
#include "os/policy_time.h"

namespace pabal::embedded {

struct World {
    const std::shared_ptr<os::PolicyTime> policy_time = std::make_shared<os::PolicyTime>();
    const std::shared_ptr<Wires> wires = std::make_shared<Wires>();
};

}  // namespace pabal::embedded
