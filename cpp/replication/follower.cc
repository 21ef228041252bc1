#include "replication/follower.h"

#include <algorithm>

#include "base/probe.h"

namespace pabal::replication {

using Do = FollowerStep::Do;

FollowerPlace PartitionFollower::ask(LogBounds log, LeaderEpoch leader_epoch,
                                     std::optional<LeaderEpoch> latest) {
    FollowerPlace place;
    place.offset = log.end;
    place.leader_epoch = leader_epoch;
    place.log_start = log.start;
    // An empty log agrees with every other.
    if (latest && log.end > log.start) place.last_fetched_epoch = *latest;
    if (SABOTAGED("truncation-is-skipped")) place.last_fetched_epoch = no_leader_epoch;
    asked_ = place;
    return place;
}

bool PartitionFollower::is_current(const FollowerLog& log) const {
    return asked_ && asked_->leader_epoch == log.leader_epoch && asked_->offset == log.bounds.end;
}

FollowerStep PartitionFollower::answered(const LeaderAnswer& answer, const FollowerLog& log) const {
    if (!is_current(log)) return {};
    switch (answer.error) {
        case ErrorCode::none: break;
        case ErrorCode::offset_out_of_range: return {Do::ask_bounds};
        case ErrorCode::unknown_leader_epoch:
        case ErrorCode::not_leader_or_follower:
        case ErrorCode::unknown_topic_id:
        case ErrorCode::unknown_topic_or_partition: return {Do::await_leader};
        case ErrorCode::fenced_leader_epoch: return {Do::await_metadata};
        default: return {Do::back_off};
    }
    if (!answer.diverging) return {Do::take};

    REACHED("follower-truncates");
    // KIP-101: cut where both logs end the largest epoch that both know. If this follower does not
    // know the leader's, its own next smaller one has to be asked about in the next round.
    const auto& theirs = *answer.diverging;
    const auto& ours = log.diverging_here;
    Offset to = theirs.end_offset;
    if (ours && ours->epoch == theirs.epoch) {
        to = std::min(theirs.end_offset, ours->end_offset);
    } else if (ours) {
        to = ours->end_offset;
    }
    to = std::min(to, log.bounds.end);
    // Everything that this log holds is of another past.
    if (to <= log.bounds.start) return {Do::restart, std::max(to, Offset(0))};
    return {Do::truncate, to};
}

FollowerStep PartitionFollower::bounds_told(LogBounds leader, const FollowerLog& log) const {
    if (!is_current(log)) return {};
    // An unclean election may have chosen a leader with less than this follower holds.
    if (leader.end < log.bounds.end) {
        if (leader.end <= log.bounds.start) return {Do::restart, leader.start};
        return {Do::truncate, leader.end};
    }
    if (leader.start > log.bounds.end) return {Do::restart, leader.start};
    return {Do::take};
}

}  // namespace pabal::replication
