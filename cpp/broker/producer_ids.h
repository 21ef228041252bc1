// Hands out producer ids that no broker of the cluster has handed out before: from a block that the
// controller has given to this broker (KIP-730). Lives on the broker's shard.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/clock.h"
#include "io/task.h"

namespace pabal::io {
class Gate;
}
namespace pabal::runtime {
class ControllerLink;
}

namespace pabal::broker {

class ProducerIds {
public:
    // All outlive this object.
    ProducerIds(io::Clock* clock, runtime::ControllerLink* link, BrokerId broker_id,
                std::function<BrokerEpoch()> epoch)
        : clock_(clock), link_(link), broker_id_(broker_id), epoch_(std::move(epoch)) {}

    // Errors: what the controller answers, REQUEST_TIMED_OUT at the deadline.
    io::Task<Result<ProducerId>> next(Instant deadline);

private:
    io::Task<ErrorCode> fetch_block(Instant deadline);

    io::Clock* clock_;
    runtime::ControllerLink* link_;
    BrokerId broker_id_;
    std::function<BrokerEpoch()> epoch_;
    ProducerId next_{0};
    std::int32_t left_ = 0;
    bool fetching_ = false;
    std::vector<io::Gate*> waiting_;
};

}  // namespace pabal::broker
