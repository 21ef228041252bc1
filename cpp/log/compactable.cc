// The log's side of compaction: what may be cleaned, and segments that take the place of others.
#include <algorithm>

#include "base/probe.h"
#include "io/disk.h"
#include "log/compaction.h"
#include "log/file_name.h"
#include "log/partition_log_state.h"

namespace pabal::log {

IoResult<Cleanable> PartitionLog::cleanable(std::optional<Offset> cleaned_up_to,
                                            Offset last_stable_offset, WallTime now) const {
    const State& log = *state_;
    Cleanable range;
    range.first_dirty = cleaned_up_to.value_or(log.log_start);
    if (range.first_dirty < log.log_start || range.first_dirty > log.log_end)
        range.first_dirty = log.log_start;
    range.end = log.segments.front()->base();

    std::int64_t oldest = INT64_MAX;
    bool ended = false;
    for (std::size_t i = 0; i + 1 < log.segments.size(); ++i) {
        const Segment& segment = *log.segments[i];
        const Offset end = log.end_of_segment(i);
        const bool dirty = end > range.first_dirty;
        if (end > last_stable_offset) ended = true;
        if (dirty && !ended && log.config.min_compaction_lag_milliseconds > 0) {
            PABAL_TRY_ASSIGN(const auto largest, segment.max_timestamp());
            if (largest.timestamp > now.milliseconds - log.config.min_compaction_lag_milliseconds)
                ended = true;
        }
        if (dirty && log.config.max_compaction_lag_milliseconds != INT64_MAX) {
            PABAL_TRY_ASSIGN(const auto first, segment.first_timestamp());
            if (first && *first > 0) oldest = std::min(oldest, *first);
        }
        if (ended) continue;
        range.end = end;
        (dirty ? range.dirty_bytes : range.clean_bytes) += segment.size();
    }
    range.overdue = oldest != INT64_MAX &&
                    oldest < now.milliseconds - log.config.max_compaction_lag_milliseconds;
    return range;
}

IoResult<std::unique_ptr<Compaction>> PartitionLog::prepare_compaction(const Cleanable& range,
                                                                       const CompactionMeans& means,
                                                                       WallTime now) {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    ASSERT(range.end <= log.recovery_point, "only what is safe on disk is compacted");
    CompactionPlan plan;
    plan.disk = &log.disk;
    plan.directory = log.directory;
    plan.config = log.config;
    plan.means = means;
    plan.now = now;
    plan.first_dirty = range.first_dirty;
    plan.end = range.end;
    plan.truncations = log.truncations;
    for (std::size_t i = 0; i + 1 < log.segments.size(); ++i) {
        const Segment& segment = *log.segments[i];
        const Offset end = log.end_of_segment(i);
        if (end > range.end) break;
        PABAL_TRY_ASSIGN(auto file, segment.file());
        plan.sources.push_back(
            {segment.base(), end, segment.size(), segment.index_bytes(), std::move(file)});
    }
    // Whoever was aborted may have its marker far behind its records.
    for (const auto& segment : log.segments) {
        if (!segment->has_transactions()) continue;
        PABAL_TRY_ASSIGN(const auto entries, segment->transactions().read_all());
        for (const auto& entry : entries) {
            if (entry.first_offset < range.end) plan.aborted.push_back(entry);
        }
    }
    std::sort(plan.aborted.begin(), plan.aborted.end(),
              [](const auto& a, const auto& b) { return a.first_offset < b.first_offset; });
    for (const auto& producer : active_producers())
        plan.producers.emplace(producer.producer, producer);
    return std::make_unique<Compaction>(std::move(plan));
}

// The order of the renames is what recovery reads: the `.log.swap` stands last and goes last, and
// as long as it stands, a `.log` of the same name is the old one.
IoResult<bool> PartitionLog::replace_segments(const Compaction& compaction, WallTime now) {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    const CleanedSegment& cleaned = compaction.cleaned();
    if (compaction.plan().truncations != log.truncations) return false;
    const std::size_t first = log.segment_of(cleaned.base);
    const std::size_t count = cleaned.replaces.size();
    if (first + count >= log.segments.size()) return false;
    for (std::size_t i = 0; i < count; ++i) {
        if (log.segments[first + i]->base() != cleaned.replaces[i]) return false;
    }

    // The log itself comes last.
    const auto rename_all = [&](Offset base, std::string_view from, std::string_view to,
                                std::vector<std::string>* renamed = nullptr) -> IoStatus {
        for (std::size_t i = std::size(segment_suffixes); i-- > 0;) {
            const std::string path = file_path(log.directory, base, segment_suffixes[i]);
            const std::string old_path = path + std::string(from);
            PABAL_TRY_ASSIGN(const bool exists, log.disk.exists(old_path));
            if (!exists) continue;
            PABAL_TRY(log.disk.rename(old_path, path + std::string(to)));
            if (renamed) renamed->push_back(path + std::string(to));
        }
        return {};
    };
    const auto swap = [&]() -> IoStatus {
        PABAL_TRY(rename_all(cleaned.base, cleaned_suffix, swap_suffix));
        for (const Offset base : cleaned.replaces) {
            std::vector<std::string> paths;
            auto renamed = rename_all(base, {}, deleted_suffix, &paths);
            log.schedule_removal(std::move(paths), now);
            PABAL_TRY(renamed);
        }
        return rename_all(cleaned.base, swap_suffix, {});
    };
    if (auto swapped = swap(); !swapped.ok()) {
        // Half of it may have happened: recovery brings it to its end.
        log.offline_reason = swapped.error().message;
        return swapped.error();
    }
    REACHED("segments-are-replaced");
    auto segment = log.make_segment(cleaned.base, cleaned.files, now);
    segment->know_max_timestamp(cleaned.max_timestamp);
    log.segments[first] = std::move(segment);
    log.segments.erase(log.segments.begin() + static_cast<std::ptrdiff_t>(first + 1),
                       log.segments.begin() + static_cast<std::ptrdiff_t>(first + count));
    // As Kafka's, these stand only where a segment begins.
    std::erase_if(log.snapshots, [&](Offset offset) {
        const bool gone = offset > cleaned.base && offset <= cleaned.replaces.back();
        return gone &&
               log.disk.remove(file_path(log.directory, offset, producer_snapshot_suffix)).ok();
    });
    log.new_names = true;
    log.was_compacted = true;
    return true;
}

}  // namespace pabal::log
