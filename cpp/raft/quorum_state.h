// What a voter must remember across restarts: the file quorum-state, in Kafka's JSON. Version 0 of
// its data goes with static voters, version 1 with those that stand in the log (KIP-853). Pure.
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
    BrokerId voted = no_broker;    // In `epoch`. Invariant: one-leader-per-epoch.
    std::vector<BrokerId> voters;  // Of version 0 only.
    DirectoryId voted_directory;   // Of version 1 only.
    int data_version = 0;

    bool operator==(const QuorumState&) const = default;
    // Kafka's JSON.
    std::string text() const;
    // INVALID_CONFIG says what is wrong.
    static Result<QuorumState> parse(std::string_view text);
};

}  // namespace pabal::raft
