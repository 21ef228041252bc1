// What a voter must remember across restarts: the file quorum-state, in Kafka's JSON (version 0 of
// its data, which goes with kraft.version 0: static voters). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace pabal::raft {

struct QuorumState {
    LeaderEpoch epoch{0};
    BrokerId leader = no_broker;
    BrokerId voted = no_broker;  // In `epoch`. Invariant: one-leader-per-epoch.
    std::vector<BrokerId> voters;

    bool operator==(const QuorumState&) const = default;
    // Kafka's JSON.
    std::string text() const;
    // INVALID_CONFIG says what is wrong. Version 1 of the data (kraft.version 1) is read too.
    static Result<QuorumState> parse(std::string_view text);
};

}  // namespace pabal::raft
