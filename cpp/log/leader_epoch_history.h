// Which leader epoch wrote from which offset on (KIP-101): how a follower finds where its log
// parted from the leader's. Owned by the partition's log; pure but for its text form, which is
// Kafka's `leader-epoch-checkpoint`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace pabal::log {

class LeaderEpochHistory {
public:
    struct Entry {
        LeaderEpoch epoch;
        Offset start_offset;

        bool operator==(const Entry&) const = default;
    };

    // Epoch `epoch` begins at `start`. Entries that disagree with it go; returns false if it was
    // known already.
    bool assign(LeaderEpoch epoch, Offset start);
    // Entries that begin at or after `end` go; returns true if there were any.
    bool truncate_from_end(Offset end);
    // The oldest entry that still counts begins at `start`; returns true if something changed.
    bool truncate_from_start(Offset start);
    void clear() { entries_.clear(); }

    std::optional<LeaderEpoch> latest() const;
    // The largest known epoch at or below `epoch` and where it ends; for the latest one that is
    // `log_end`. Below all known epochs: `epoch` itself, ending where the first known one begins.
    // Nothing above them.
    std::optional<Entry> end_of(LeaderEpoch epoch, Offset log_end) const;
    std::optional<LeaderEpoch> epoch_of(Offset offset) const;
    const std::vector<Entry>& entries() const { return entries_; }

    std::string text() const;
    static Result<LeaderEpochHistory> parse(std::string_view text);

private:
    std::vector<Entry> entries_;  // Epochs and offsets both ascend.
};

}  // namespace pabal::log
