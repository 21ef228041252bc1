// Retention: old segments go by time, by size, and once they lie below the log start offset. A
// segment goes as a whole, oldest first, and only below the high watermark.
#include <algorithm>

#include "io/disk.h"
#include "log/file_name.h"
#include "log/partition_log_state.h"

namespace pabal::log {

void PartitionLog::State::schedule_removal(std::vector<std::string> paths, WallTime now) {
    const std::int64_t due = now.milliseconds + config.file_delete_delay.to_milliseconds();
    for (auto& path : paths) deleted.push_back({std::move(path), due});
}

IoStatus PartitionLog::State::delete_segments(std::size_t count, WallTime now) {
    for (; count > 0; --count) {
        std::vector<std::string> paths;
        auto renamed = segments.front()->add_suffix(deleted_suffix, paths);
        schedule_removal(std::move(paths), now);
        PABAL_TRY(renamed);
        segments.erase(segments.begin());
        log_start = std::max(log_start, segments.front()->base());
        new_names = true;
    }
    if (epochs.truncate_from_start(log_start)) epochs_dirty = true;
    return remove_snapshots_below(segments.front()->base());
}

IoStatus PartitionLog::raise_log_start_offset(Offset offset) {
    State& log = *state_;
    ASSERT(offset <= log.log_end, "a log starts within itself");
    if (offset <= log.log_start) return {};
    log.log_start = offset;
    if (log.epochs.truncate_from_start(offset)) log.epochs_dirty = true;
    return {};
}

IoResult<bool> PartitionLog::apply_retention(Offset high_watermark, WallTime now) {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    if (log.producers) {
        log.producers->forget_expired(now, log.config.producer_id_expiration);
        log.producers->forget_completed_below(high_watermark);
        if (log.producers->empty()) log.producers_dirty = true;
    }

    const std::int64_t size = size_bytes();
    std::int64_t gone_bytes = 0;
    std::size_t count = 0;
    for (; count < log.segments.size(); ++count) {
        const Segment& segment = *log.segments[count];
        const Offset end = log.end_of_segment(count);
        const bool is_active = count + 1 == log.segments.size();
        // A closed segment may be empty, once compaction took all of it.
        if ((is_active && segment.size() == 0) || end > high_watermark) break;

        bool expired = !is_active && end <= log.log_start;
        if (!expired && log.config.retention_deletes && log.config.retention_milliseconds >= 0) {
            PABAL_TRY_ASSIGN(const auto largest, segment.max_timestamp());
            // Without timestamps the age is that of our knowledge of the segment.
            const std::int64_t from =
                largest.timestamp >= 0 ? largest.timestamp : log.opened.milliseconds;
            expired = now.milliseconds - from > log.config.retention_milliseconds;
        }
        if (!expired && log.config.retention_deletes && log.config.retention_bytes >= 0) {
            expired = size - gone_bytes - segment.size() >= log.config.retention_bytes;
        }
        if (!expired) break;
        gone_bytes += segment.size();
    }
    if (count == 0) return false;
    // The log keeps a segment to write to.
    if (count == log.segments.size()) PABAL_TRY(log.roll(now));
    const Offset start = log.log_start;
    PABAL_TRY(log.delete_segments(count, now));
    return log.log_start != start;
}

std::vector<std::string> PartitionLog::take_deleted_files(WallTime now) {
    std::vector<std::string> due;
    std::erase_if(state_->deleted, [&](State::DeletedFile& file) {
        if (file.due_milliseconds > now.milliseconds) return false;
        due.push_back(std::move(file.path));
        return true;
    });
    return due;
}

}  // namespace pabal::log
