#include "replication/leader.h"

#include <algorithm>

#include "base/assert.h"
#include "base/probe.h"

namespace pabal::replication {
namespace {

bool holds(const std::vector<BrokerId>& brokers, BrokerId id) {
    return std::find(brokers.begin(), brokers.end(), id) != brokers.end();
}

}  // namespace

PartitionLeader::PartitionLeader(BrokerId self, Offset high_watermark, LogBounds log,
                                 Duration lag_max)
    : self_(self),
      lag_max_(lag_max),
      high_watermark_(std::clamp(high_watermark, log.start, log.end)),
      log_end_(log.end),
      committable_(log.end) {}

bool PartitionLeader::lead(const Leadership& leadership, LogBounds log, Offset committable,
                           Instant now) {
    if (leadership.epoch < leadership_.epoch) return false;
    const bool same_epoch = leadership.epoch == leadership_.epoch;
    if (same_epoch && leadership.partition_epoch < leadership_.partition_epoch) return false;
    const bool changed = !same_epoch || leadership.leader != leadership_.leader;
    if (changed || leadership.partition_epoch > leadership_.partition_epoch) pending_.reset();
    leadership_ = leadership;
    log_end_ = log.end;
    committable_ = committable;
    if (!leads()) {
        followers_.clear();
        return changed;
    }
    if (changed) {
        epoch_start_ = log.end;
        followers_.clear();
    }
    std::erase_if(followers_,
                  [&](const Follower& each) { return !holds(leadership_.replicas, each.id); });
    for (const auto id : leadership_.replicas) {
        if (id == self_ || find(id)) continue;
        Follower follower;
        follower.id = id;
        // Who is in sync gets the time to say so.
        if (holds(leadership_.in_sync, id)) follower.caught_up = now;
        followers_.push_back(follower);
    }
    std::sort(followers_.begin(), followers_.end(),
              [](const Follower& a, const Follower& b) { return a.id < b.id; });
    mark_members();
    advance(now);
    return changed;
}

void PartitionLeader::resign() {
    leadership_.leader = no_broker;
    followers_.clear();
    pending_.reset();
}

std::int32_t PartitionLeader::effective_min_in_sync() const {
    return std::min(min_in_sync_replicas_, static_cast<std::int32_t>(leadership_.replicas.size()));
}

ErrorCode PartitionLeader::prepare(RequiredAcks acks) const {
    if (!leads()) return ErrorCode::not_leader_or_follower;
    if (acks == RequiredAcks::all &&
        static_cast<std::int32_t>(leadership_.in_sync.size()) < effective_min_in_sync())
        return ErrorCode::not_enough_replicas;
    return ErrorCode::none;
}

ErrorCode PartitionLeader::enough_replicas() const {
    std::int32_t count = 1;
    for (const auto& follower : followers_) count += follower.counts ? 1 : 0;
    return count < effective_min_in_sync() ? ErrorCode::not_enough_replicas_after_append
                                           : ErrorCode::none;
}

bool PartitionLeader::appended(Offset end, Offset committable, Instant now) {
    ASSERT(leads(), "only the leader moves the high watermark");
    if (end > log_end_) {
        // A follower that had everything until now is not behind since its last fetch, but since
        // this moment: an idle partition is not fetched again and again.
        for (auto& follower : followers_) {
            if (follower.log_end == log_end_) follower.caught_up = now;
        }
        log_end_ = end;
    }
    committable_ = committable;
    return advance(now);
}

bool PartitionLeader::is_caught_up(const Follower& follower, Offset log_end, Instant now) const {
    if (follower.log_end == log_end) return true;
    return follower.caught_up && now - *follower.caught_up <= lag_max_;
}

bool PartitionLeader::may_join(const Follower& follower) const {
    // Below the epoch's start it could miss what an earlier leader committed.
    return !follower.in_sync && follower.eligible && follower.log_end >= high_watermark_ &&
           follower.log_end >= epoch_start_;
}

bool PartitionLeader::advance(Instant now) {
    // Fewer replicas than min.insync.replicas commit nothing: what they hold could be lost with
    // them, and eligible leader replicas (KIP-966) count on that.
    if (static_cast<std::int32_t>(leadership_.in_sync.size()) < effective_min_in_sync())
        return false;
    Offset end = committable_;
    for (const auto& follower : followers_) {
        if (follower.log_end >= end) continue;
        // One that is about to join is waited for, else it would never reach the high watermark.
        const bool joins = follower.eligible && follower.log_end >= Offset(0) &&
                           is_caught_up(follower, log_end_, now);
        if (follower.counts || joins) end = follower.log_end;
        if (SABOTAGED("high-watermark-ignores-followers")) end = committable_;
    }
    if (end <= high_watermark_) return false;
    high_watermark_ = end;
    return true;
}

void PartitionLeader::log_start_moved(Offset log_start) {
    high_watermark_ = std::max(high_watermark_, log_start);
}

bool PartitionLeader::is_in_sync(BrokerId replica) const {
    return holds(leadership_.in_sync, replica);
}

Follower* PartitionLeader::find(BrokerId id) {
    for (auto& follower : followers_) {
        if (follower.id == id) return &follower;
    }
    return nullptr;
}

void PartitionLeader::mark_members() {
    for (auto& follower : followers_) {
        follower.in_sync = holds(leadership_.in_sync, follower.id);
        follower.counts =
            follower.in_sync ||
            (pending_ && std::any_of(pending_->in_sync.begin(), pending_->in_sync.end(),
                                     [&](const auto& each) { return each.id == follower.id; }));
    }
}

Fetched PartitionLeader::fetched(const FollowerFetch& fetch, LogBounds log, Instant now) {
    Fetched result;
    auto* follower = leads() ? find(fetch.follower) : nullptr;
    // An incarnation of the past knows less than the one after it has promised (KIP-903).
    const bool stale = follower && fetch.broker_epoch >= BrokerEpoch(0) &&
                       fetch.broker_epoch < follower->broker_epoch;
    if (!follower || stale) {
        result.error = ErrorCode::not_leader_or_follower;
        return result;
    }
    if (fetch.offset >= log.end) {
        follower->caught_up = now;
    } else if (follower->leader_end_then >= Offset(0) &&
               fetch.offset >= follower->leader_end_then) {
        // It had all that there was when it asked before.
        follower->caught_up =
            std::max(follower->caught_up.value_or(follower->last_fetch), follower->last_fetch);
    }
    const bool moved = follower->log_end != fetch.offset;
    result.log_start_moved = follower->log_start != fetch.log_start;
    follower->broker_epoch = fetch.broker_epoch;
    follower->eligible = fetch.eligible;
    follower->log_end = fetch.offset;
    follower->log_start = fetch.log_start;
    follower->leader_end_then = log.end;
    follower->last_fetch = now;
    log_end_ = log.end;
    result.may_join = !pending_ && may_join(*follower);
    if (moved) result.high_watermark_moved = advance(now);
    return result;
}

IsrChange PartitionLeader::ask_for(const std::vector<BrokerId>& members) {
    IsrChange change;
    change.leader_epoch = leadership_.epoch;
    change.partition_epoch = leadership_.partition_epoch;
    for (const auto id : members) {
        const auto* follower = find(id);
        change.in_sync.push_back({id, follower ? follower->broker_epoch : BrokerEpoch(-1)});
    }
    pending_ = change;
    mark_members();
    return change;
}

bool PartitionLeader::judge(const std::function<bool(const Follower&)>& eligible, Instant now) {
    for (auto& follower : followers_) follower.eligible = eligible(follower);
    return leads() && advance(now);
}

std::optional<IsrChange> PartitionLeader::expand() {
    if (!leads() || pending_) return std::nullopt;
    auto members = leadership_.in_sync;
    for (const auto& follower : followers_) {
        if (may_join(follower)) members.push_back(follower.id);
    }
    if (members.size() == leadership_.in_sync.size()) return std::nullopt;
    REACHED("isr-grows");
    return ask_for(members);
}

std::optional<IsrChange> PartitionLeader::shrink(LogBounds log, Instant now) {
    if (!leads() || pending_) return std::nullopt;
    auto members = leadership_.in_sync;
    const auto lags = [&](BrokerId id) {
        const auto* follower = find(id);
        return follower && !is_caught_up(*follower, log.end, now);
    };
    if (std::erase_if(members, lags) == 0) return std::nullopt;
    REACHED("isr-shrinks");
    return ask_for(members);
}

std::optional<IsrChange> PartitionLeader::recovered() {
    if (!leads() || pending_ || !leadership_.recovering) return std::nullopt;
    return ask_for(leadership_.in_sync);
}

bool PartitionLeader::answered(const IsrChange& change, const IsrAnswer& answer, Instant now) {
    // The metadata was faster.
    if (!leads() || pending_ != change) return false;
    switch (answer.error) {
        case ErrorCode::none:
            if (answer.state.epoch != leadership_.epoch || answer.state.leader != self_)
                return false;
            if (answer.state.partition_epoch < leadership_.partition_epoch) return false;
            leadership_.partition_epoch = answer.state.partition_epoch;
            leadership_.in_sync = answer.state.in_sync;
            leadership_.recovering = answer.state.recovering;
            break;
        // The members that were committed stay; another change may be asked for.
        case ErrorCode::operation_not_attempted:
        case ErrorCode::ineligible_replica: break;
        // The controller knows better, and what it knows is on its way.
        default: return false;
    }
    pending_.reset();
    mark_members();
    return advance(now);
}

Offset PartitionLeader::low_watermark(Offset own_log_start,
                                      const std::function<bool(BrokerId)>& lives) const {
    Offset low = own_log_start;
    for (const auto& follower : followers_) {
        if (lives(follower.id)) low = std::min(low, follower.log_start);
    }
    return low;
}

bool PartitionLeader::committed(Offset leader_high_watermark, LogBounds log) {
    // What was committed stays so: a new leader may know less of it than this follower does.
    const Offset known = std::clamp(leader_high_watermark, log.start, log.end);
    if (known <= high_watermark_) return false;
    high_watermark_ = known;
    return true;
}

void PartitionLeader::truncated(LogBounds log) {
    high_watermark_ = std::clamp(high_watermark_, log.start, log.end);
    log_end_ = log.end;
    committable_ = std::min(committable_, log.end);
}

ErrorCode PartitionLeader::check_epoch(LeaderEpoch current) const {
    if (current < LeaderEpoch(0) || SABOTAGED("fenced-epochs-are-served")) return ErrorCode::none;
    if (current < leadership_.epoch) return ErrorCode::fenced_leader_epoch;
    if (current > leadership_.epoch) return ErrorCode::unknown_leader_epoch;
    return ErrorCode::none;
}

ErrorCode PartitionLeader::check_leads(LeaderEpoch current) const {
    const auto error = check_epoch(current);
    if (error != ErrorCode::none) return error;
    return leads() ? ErrorCode::none : ErrorCode::not_leader_or_follower;
}

Readable PartitionLeader::readable(const ReadPlace& place, Isolation isolation, LogBounds log,
                                   Offset last_stable_offset, std::optional<EpochEnd> last_fetched,
                                   Reader reader) const {
    Readable answer;
    // One that follows nobody knows nothing of what is committed.
    const bool from_follower =
        reader == Reader::any_replica && !leads() && leadership_.leader != no_broker;
    answer.error = from_follower ? check_epoch(place.current_leader_epoch)
                                 : check_leads(place.current_leader_epoch);
    if (answer.error != ErrorCode::none) return answer;

    answer.bound = reader == Reader::follower ? log.end : high_watermark_;
    if (isolation == Isolation::read_committed)
        answer.bound = std::min(answer.bound, last_stable_offset);

    if (place.last_fetched_epoch >= LeaderEpoch(0)) {
        if (!last_fetched || place.offset < log.start) {
            answer.error = ErrorCode::offset_out_of_range;
            return answer;
        }
        if (last_fetched->epoch < place.last_fetched_epoch ||
            last_fetched->end_offset < place.offset) {
            REACHED("follower-diverges");
            answer.diverging = last_fetched;
            return answer;
        }
    }
    if (place.offset < log.start || place.offset > log.end) {
        answer.error = ErrorCode::offset_out_of_range;
    } else if (from_follower && place.offset > high_watermark_) {
        answer.error = ErrorCode::offset_not_available;
    }
    return answer;
}

}  // namespace pabal::replication
