// KRaft (KIP-595): the quorum that decides what stands in the metadata log. A pure machine: calls
// say what happened and when, `take_ready` says what to do: make `state` durable, append `batches`,
// make them durable, then act on `high_watermark`. The caller reports back with `durable`.
//
// Serves a quorum of one voter: itself. The roles and what leads from one to the other:
//
//   unattached  knows an epoch and no leader        start
//     -> candidate  the election timeout passed, or the node is the only voter
//   candidate   votes for itself in the next epoch
//     -> leader     a majority of the voters granted: with one voter, at once
//   leader      appends in its epoch; the high watermark follows what is durable
//     -> resigned   the node shuts down
//   resigned    does nothing until the process ends
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace pabal::raft {

enum class Role { unattached, candidate, leader, resigned };
std::string_view name(Role role);

// What a node must remember across restarts: the file quorum-state (version 0 of its data, which
// goes with kraft.version 0: static voters).
struct QuorumState {
    LeaderEpoch epoch{0};
    BrokerId leader = no_broker;
    BrokerId voted = no_broker;
    std::vector<BrokerId> voters;

    bool operator==(const QuorumState&) const = default;
    // Kafka's JSON.
    std::string text() const;
    // INVALID_CONFIG says what is wrong. Version 1 of the data (kraft.version 1) is read too.
    static Result<QuorumState> parse(std::string_view text);
};

struct AppendedRecords {
    Offset base_offset;
    Offset last_offset;
    Bytes batch;  // Record batch v2 with its offsets and epoch.
};

struct Ready {
    // Durable before anything else of this Ready takes effect.
    std::optional<QuorumState> state;
    // To be appended, in order, then made durable, then reported with `durable`.
    std::vector<AppendedRecords> batches;
    // The first offset that is not committed; never goes back.
    Offset high_watermark{0};
};

class Quorum {
public:
    explicit Quorum(BrokerId self) : self_(self) {}

    // As the node found its disk: the saved state (none on a fresh one), the end of its log, and
    // the last epoch in it. INCONSISTENT_VOTER_SET if this node is not the only voter.
    Status start(std::optional<QuorumState> saved, Offset log_end, LeaderEpoch last_epoch);
    // Stands for election in the next epoch. The first batch of the epoch is its LeaderChange.
    Status stand(WallTime now);
    // The leader appends `records` as one batch; its last offset. NOT_LEADER_OR_FOLLOWER elsewhere.
    Result<Offset> propose(const std::vector<Bytes>& records, WallTime now);
    // The state handed out by take_ready, and the log below `log_end`, survive a loss of power.
    void durable(LeaderEpoch epoch, Offset log_end);
    // The last batches handed out could not be written and do not stand: the log ends at `log_end`.
    void refused(Offset log_end);
    void resign();

    Ready take_ready();

    Role role() const { return role_; }
    LeaderEpoch epoch() const { return state_.epoch; }
    BrokerId leader() const { return role_ == Role::leader ? self_ : no_broker; }
    Offset log_end() const { return log_end_; }
    Offset high_watermark() const { return high_watermark_; }
    const QuorumState& state() const { return state_; }

private:
    BrokerId self_;
    Role role_ = Role::unattached;
    QuorumState state_;
    bool state_unsaved_ = false;
    Offset log_end_{0};
    Offset epoch_start_{0};     // Where this leader's epoch begins in the log.
    Offset high_watermark_{0};  // Invariant: high-watermark-monotonic.
    std::vector<AppendedRecords> batches_;
};

}  // namespace pabal::raft
