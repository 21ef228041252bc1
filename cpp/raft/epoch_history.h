// Where each epoch begins in the metadata log: finds where two logs part (KIP-101, KIP-595). Pure.
#pragma once

#include <vector>

#include "base/ids.h"
#include "raft/message.h"

namespace pabal::raft {

struct EpochStart {
    LeaderEpoch epoch;
    Offset start;

    bool operator==(const EpochStart&) const = default;
};

class EpochHistory {
public:
    EpochHistory() = default;
    // In ascending order.
    explicit EpochHistory(std::vector<EpochStart> starts) : starts_(std::move(starts)) {}

    // A batch of `epoch` was appended at `start`.
    void append(LeaderEpoch epoch, Offset start);
    // The log ends at `end` now.
    void truncate(Offset end);
    // Everything below is in a snapshot whose last record has the epoch of `snapshot`.
    void begin_at(OffsetAndEpoch snapshot);
    // The last epoch in the log; 0 if there is none.
    LeaderEpoch last() const { return starts_.empty() ? LeaderEpoch(0) : starts_.back().epoch; }
    // The largest epoch at or below `epoch`, and where it ends in a log that ends at `log_end`.
    OffsetAndEpoch end_of(LeaderEpoch epoch, Offset log_end) const;

private:
    std::vector<EpochStart> starts_;
};

}  // namespace pabal::raft
