// How one follower copies its leader's log: where it asks to begin, and what each answer tells it
// to do. One per partition that a fetcher follows. Pure: the caller sends, appends and cuts. Every
// answer is judged against the place that was asked for, so that one to a question of the past, or
// of another leader epoch, changes nothing (KIP-320).
#pragma once

#include <optional>

#include "base/error_code.h"
#include "base/ids.h"
#include "replication/leader.h"

namespace pabal::replication {

// What a fetch says of the follower.
struct FollowerPlace {
    Offset offset;
    LeaderEpoch leader_epoch;
    LeaderEpoch last_fetched_epoch = no_leader_epoch;  // Of the last batch below `offset`.
    Offset log_start;

    bool operator==(const FollowerPlace&) const = default;
};

// What the leader says of its log.
struct LeaderAnswer {
    ErrorCode error = ErrorCode::none;
    Offset high_watermark{-1};
    Offset log_start{-1};
    std::optional<EpochEnd> diverging;
};

// What the follower knows of its own.
struct FollowerLog {
    LogBounds bounds;
    LeaderEpoch leader_epoch;                // That it follows now.
    std::optional<EpochEnd> diverging_here;  // Its own end of LeaderAnswer::diverging's epoch.
};

struct FollowerStep {
    enum class Do : std::uint8_t {
        nothing,       // The answer is to a question of the past.
        take,          // Append the records; then the high watermark and log start count.
        truncate,      // Cut the log at `offset`, and ask again.
        restart,       // Drop the log, begin anew at `offset`.
        ask_bounds,    // Neither log holds the place: where does the leader's begin and end?
        await_leader,  // It does not know yet that it leads, or not in this epoch: ask again soon.
        await_metadata,  // This follower is behind: the metadata will tell whom to ask.
        back_off,        // The leader cannot serve it for now.
    };
    Do what = Do::nothing;
    Offset offset{0};

    bool operator==(const FollowerStep&) const = default;
};

class PartitionFollower {
public:
    // Where to go on. `latest` is the epoch of the last batch, as far as the log knows.
    FollowerPlace ask(LogBounds log, LeaderEpoch leader_epoch, std::optional<LeaderEpoch> latest);
    const std::optional<FollowerPlace>& asked() const { return asked_; }
    void forget() { asked_.reset(); }

    FollowerStep answered(const LeaderAnswer& answer, const FollowerLog& log) const;
    // The answer to ask_bounds (KIP-392's consumers never need it): where the leader's log stands.
    FollowerStep bounds_told(LogBounds leader, const FollowerLog& log) const;

private:
    bool is_current(const FollowerLog& log) const;

    std::optional<FollowerPlace> asked_;
};

}  // namespace pabal::replication
