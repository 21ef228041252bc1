// What the members of the quorum say to each other, without the frame that the wire gives it: Vote
// (KIP-595, KIP-996), BeginQuorumEpoch, EndQuorumEpoch and Fetch (KIP-595, KIP-630). Values.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/error_code.h"
#include "base/ids.h"

namespace pabal::raft {

// An offset and the epoch that goes with it: where a log ends and the epoch of its last record,
// where an epoch ends, or what a snapshot stands for.
struct OffsetAndEpoch {
    Offset offset{0};
    LeaderEpoch epoch{0};

    bool operator==(const OffsetAndEpoch&) const = default;
};

struct VoteAsk {
    BrokerId candidate = no_broker;
    DirectoryId directory;  // Of the candidate; all zero where the voters are static.
    LeaderEpoch epoch{0};
    OffsetAndEpoch log_end;
    bool pre_vote = false;  // Asks only whether the vote would be given.
};

// Also the reply to BeginQuorumEpoch and EndQuorumEpoch, which grant nothing.
struct Reply {
    ErrorCode error = ErrorCode::none;
    BrokerId leader = no_broker;  // Of `epoch`, as far as the replying node knows.
    LeaderEpoch epoch{0};
    bool granted = false;
};

struct FetchAsk {
    BrokerId replica = no_broker;  // Negative: a reader that is no member.
    DirectoryId directory;
    LeaderEpoch epoch{-1};  // That the replica is in.
    OffsetAndEpoch from;    // The end of its log.
    // That the replica knows (KIP-1166); -1: none. The answer waits for news of either.
    Offset high_watermark{-1};
};

struct FetchReply {
    ErrorCode error = ErrorCode::none;
    BrokerId leader = no_broker;
    LeaderEpoch epoch{0};
    Offset high_watermark{-1};  // -1 while the leader does not know it.
    Offset log_start{0};
    // One of these, or `records`.
    std::optional<OffsetAndEpoch> diverging;  // Where the leader's epoch at or below ours ends.
    std::optional<OffsetAndEpoch> snapshot;   // To be fetched, as the log begins later.
    Bytes records;                            // Whole batches from `from` on; may be empty.
};

// A request that the machine wants sent. The caller reports the reply, or that there was none.
struct Message {
    enum class Kind { vote, begin_epoch, end_epoch };
    Kind kind = Kind::vote;
    BrokerId to = no_broker;
    DirectoryId to_directory;  // All zero where any directory of that node is meant.
    LeaderEpoch epoch{0};
    VoteAsk vote;                     // Of kind vote.
    std::vector<BrokerId> preferred;  // Of kind end_epoch: who should follow, the best first.
};

}  // namespace pabal::raft
