#include "replication/leader.h"

#include <algorithm>

#include "base/assert.h"

namespace pabal::replication {

PartitionLeader::PartitionLeader(BrokerId self, Offset high_watermark, LogBounds log)
    : self_(self), high_watermark_(std::clamp(high_watermark, log.start, log.end)) {}

bool PartitionLeader::lead(Leadership leadership, LogBounds log) {
    if (leadership.epoch < leadership_.epoch) return false;
    const bool changed =
        leadership.leader != leadership_.leader || leadership.epoch != leadership_.epoch;
    leadership_ = leadership;
    if (leads()) appended(log.end);
    return changed;
}

ErrorCode PartitionLeader::prepare(RequiredAcks acks, std::int32_t min_in_sync_replicas) const {
    if (!leads()) return ErrorCode::not_leader_or_follower;
    if (acks == RequiredAcks::all && leadership_.in_sync_replica_count < min_in_sync_replicas)
        return ErrorCode::not_enough_replicas;
    return ErrorCode::none;
}

bool PartitionLeader::appended(Offset end) {
    ASSERT(leads(), "only the leader moves the high watermark");
    // The smallest end among the replicas in sync; the leader is the only one that is held to it
    // while it is alone in sync.
    if (leadership_.in_sync_replica_count > 1 || end <= high_watermark_) return false;
    high_watermark_ = end;
    return true;
}

void PartitionLeader::log_start_moved(Offset log_start) {
    high_watermark_ = std::max(high_watermark_, log_start);
}

ErrorCode PartitionLeader::check_leads(LeaderEpoch current) const {
    if (current >= LeaderEpoch(0)) {
        if (current < leadership_.epoch) return ErrorCode::fenced_leader_epoch;
        if (current > leadership_.epoch) return ErrorCode::unknown_leader_epoch;
    }
    return leads() ? ErrorCode::none : ErrorCode::not_leader_or_follower;
}

Readable PartitionLeader::readable(const ReadPlace& place, Isolation isolation, LogBounds log,
                                   Offset last_stable_offset,
                                   std::optional<EpochEnd> last_fetched) const {
    Readable answer;
    answer.error = check_leads(place.current_leader_epoch);
    if (answer.error != ErrorCode::none) return answer;

    answer.bound = high_watermark_;
    if (isolation == Isolation::read_committed)
        answer.bound = std::min(answer.bound, last_stable_offset);

    if (place.last_fetched_epoch >= LeaderEpoch(0)) {
        if (!last_fetched || place.offset < log.start) {
            answer.error = ErrorCode::offset_out_of_range;
            return answer;
        }
        if (last_fetched->epoch < place.last_fetched_epoch ||
            last_fetched->end_offset < place.offset) {
            answer.diverging = last_fetched;
            return answer;
        }
    }
    if (place.offset < log.start || place.offset > log.end)
        answer.error = ErrorCode::offset_out_of_range;
    return answer;
}

}  // namespace pabal::replication
