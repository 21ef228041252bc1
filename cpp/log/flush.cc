// What makes a log durable: syncs, the small files beside the segments, and the standing that
// spares the next start a scan.
#include <algorithm>

#include "base/probe.h"
#include "io/disk.h"
#include "log/file_name.h"
#include "log/partition_log_state.h"

namespace pabal::log {

IoStatus LogFlush::run() {
    if (SABOTAGED("flush-does-nothing")) return {};
    for (const auto& file : files_) PABAL_TRY(file->sync());
    if (new_names_) PABAL_TRY(disk_->sync_directory(directory_));
    return {};
}

IoStatus PartitionLog::State::write_epochs() {
    PABAL_TRY(io::replace_file_unsynced(disk, directory + "/" + std::string(leader_epoch_file),
                                        epochs.text()));
    epochs_dirty = false;
    new_names = true;
    return {};
}

LogStanding PartitionLog::State::current_standing() const {
    LogStanding now;
    now.end_offset = log_end;
    now.segment_base = active().base();
    now.segment_size = active().size();
    if (const auto& known = active().known_max_timestamp()) {
        now.max_timestamp = known->timestamp;
        now.max_timestamp_offset = known->offset;
    }
    now.has_producers = producers && !producers->empty();
    return now;
}

IoResult<LogFlush> PartitionLog::prepare_flush() {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    LogFlush flush;
    flush.disk_ = &log.disk;
    flush.directory_ = log.directory;
    for (std::size_t i = log.segment_of(log.recovery_point); i < log.segments.size(); ++i) {
        // What cannot be written of an index now is made again from the batches.
        (void)log.segments[i]->write_indexes();
        log.segments[i]->collect_files(flush.files_);
    }
    const auto add = [&](const std::string& path) -> IoStatus {
        PABAL_TRY_ASSIGN(auto file, log.disk.open(path, io::OpenMode::read_write));
        flush.files_.push_back(std::move(file));
        return {};
    };
    if (log.epochs_dirty) {
        PABAL_TRY(log.write_epochs());
        PABAL_TRY(add(log.directory + "/" + std::string(leader_epoch_file)));
    }
    if (log.producers_dirty) {
        PABAL_TRY(log.write_producer_snapshot());
        if (log.producers) {
            PABAL_TRY(add(file_path(log.directory, log.log_end, producer_snapshot_suffix)));
        }
    }
    flush.standing_ = log.current_standing();
    flush.new_names_ = log.new_names;
    flush.truncations_ = log.truncations;
    log.new_names = false;
    log.unflushed_bytes = 0;
    log.unflushed_records = 0;
    return flush;
}

void PartitionLog::flushed(const LogFlush& flush) {
    State& log = *state_;
    if (flush.truncations_ != log.truncations) return;  // It synced what is no longer there.
    log.recovery_point = std::max(log.recovery_point, flush.standing_.end_offset);
    log.standing = flush.standing_;
    // Snapshots between segments only serve until there is a newer one.
    const auto is_base = [&](Offset offset) {
        return log.segments[log.segment_of(offset)]->base() == offset;
    };
    std::erase_if(log.snapshots, [&](Offset offset) {
        if (offset >= flush.standing_.end_offset || is_base(offset)) return false;
        return log.disk.remove(file_path(log.directory, offset, producer_snapshot_suffix)).ok();
    });
}

IoResult<Offset> PartitionLog::flush() {
    PABAL_TRY_ASSIGN(auto flush, prepare_flush());
    PABAL_TRY(flush.run());
    flushed(flush);
    return state_->recovery_point;
}

IoResult<LogFlush> PartitionLog::prepare_close() {
    State& log = *state_;
    if (!usable()) return IoError{0, log.offline_reason};
    if (log.active().known_max_timestamp() && log.active().has_index_entries()) {
        (void)log.active().close_for_appends();
    }
    return prepare_flush();
}

IoStatus PartitionLog::close(WallTime, bool sync) {
    PABAL_TRY_ASSIGN(auto flush, prepare_close());
    if (sync) {
        PABAL_TRY(flush.run());
        flushed(flush);
    } else {
        state_->standing = flush.standing_;
    }
    return {};
}

LogCheckpoint PartitionLog::checkpoint() const {
    LogCheckpoint checkpoint;
    checkpoint.log_start_offset = state_->log_start;
    checkpoint.recovery_point = state_->recovery_point;
    checkpoint.was_compacted = state_->was_compacted;
    checkpoint.standing = state_->standing;
    return checkpoint;
}

}  // namespace pabal::log
