// Truncation: what a follower takes back because its leader never had it. Segments, indexes,
// epochs, producers and checkpoints go back together.
#include <algorithm>

#include "io/disk.h"
#include "log/partition_log_state.h"

namespace pabal::log {

IoStatus PartitionLog::truncate_to(Offset offset) {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    if (offset >= log.log_end) return {};
    if (offset < log.segments.front()->base()) return truncate_fully_and_start_at(offset);
    ++log.truncations;

    // From the end, so that a crash in the midst leaves no hole.
    while (log.segments.size() > 1 && log.active().base() > offset) {
        PABAL_TRY(log.active().remove_files());
        log.segments.pop_back();
        log.new_names = true;
    }
    Segment& active = log.active();
    PABAL_TRY_ASSIGN(const auto found, active.find(offset));
    const Offset end = found ? std::min(offset, found->base_offset) : offset;
    auto cut = active.truncate(found ? found->position : active.size(), end);
    if (!active.usable()) log.offline_reason = cut.error().message;
    if (!cut.ok()) return cut;

    log.log_end = end;
    log.log_start = std::min(log.log_start, end);
    // That the file is shorter is known to the disk with the next flush only, which therefore
    // begins at this segment, even if what comes now goes to another: else what was cut could be
    // back after a loss of power, below what was promised since.
    log.recovery_point = std::min({log.recovery_point, end, active.base()});
    log.standing.reset();
    if (log.epochs.truncate_from_end(end)) PABAL_TRY(log.write_epochs());
    if (!log.producers) return log.remove_snapshots_above(end);
    log.producers_dirty = true;
    return log.reload_producers(log.opened, end);
}

IoStatus PartitionLog::truncate_fully_and_start_at(Offset offset) {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    ++log.truncations;
    while (!log.segments.empty()) {
        if (auto removed = log.active().remove_files(); !removed.ok()) {
            log.offline_reason = removed.error().message;
            return removed;
        }
        log.segments.pop_back();
    }
    log.segments.push_back(log.make_segment(offset, SegmentFiles{}, log.opened));
    log.log_start = log.log_end = log.recovery_point = offset;
    log.standing.reset();
    log.unflushed_bytes = 0;
    log.unflushed_records = 0;
    log.new_names = true;
    log.producers.reset();
    log.producers_dirty = false;
    log.epochs.clear();
    PABAL_TRY(log.active().create_file());
    PABAL_TRY(log.remove_snapshots_above(Offset(-1)));
    return log.write_epochs();
}

}  // namespace pabal::log
