#include "raft/epoch_history.h"

namespace pabal::raft {

void EpochHistory::append(LeaderEpoch epoch, Offset start) {
    if (starts_.empty() || starts_.back().epoch < epoch) starts_.push_back({epoch, start});
}

void EpochHistory::truncate(Offset end) {
    while (!starts_.empty() && starts_.back().start >= end) {
        // The first one may stand for a snapshot that ends here.
        if (starts_.size() == 1 && starts_.back().start == end && end > Offset(0)) return;
        starts_.pop_back();
    }
}

void EpochHistory::begin_at(OffsetAndEpoch snapshot) {
    std::vector<EpochStart> kept{{snapshot.epoch, snapshot.offset}};
    for (const EpochStart& each : starts_)
        if (each.epoch > snapshot.epoch) kept.push_back(each);
    starts_ = std::move(kept);
}

OffsetAndEpoch EpochHistory::end_of(LeaderEpoch epoch, Offset log_end) const {
    OffsetAndEpoch found{starts_.empty() ? Offset(0) : starts_.front().start, LeaderEpoch(0)};
    for (std::size_t i = 0; i < starts_.size() && starts_[i].epoch <= epoch; ++i)
        found = {i + 1 < starts_.size() ? starts_[i + 1].start : log_end, starts_[i].epoch};
    return found;
}

}  // namespace pabal::raft
