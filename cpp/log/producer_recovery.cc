// The files of producer snapshots, and producers found again from them and the batches that follow.
#include <algorithm>

#include "base/probe.h"
#include "io/disk.h"
#include "log/batch_scanner.h"
#include "log/file_name.h"
#include "log/partition_log_state.h"
#include "record/record_batch.h"

namespace pabal::log {
namespace {

constexpr std::uint64_t max_snapshot_bytes = 256 << 20;

}  // namespace

IoStatus PartitionLog::State::write_producer_snapshot() {
    producers_dirty = false;
    if (!producers || (!snapshots.empty() && snapshots.back() == log_end)) return {};
    if (auto status = io::replace_file_unsynced(
            disk, file_path(directory, log_end, producer_snapshot_suffix), producers->snapshot());
        !status.ok()) {
        producers_dirty = true;
        return status;
    }
    snapshots.push_back(log_end);
    new_names = true;
    return {};
}

IoStatus PartitionLog::State::remove_snapshots_above(Offset offset) {
    while (!snapshots.empty() && snapshots.back() > offset) {
        PABAL_TRY(disk.remove(file_path(directory, snapshots.back(), producer_snapshot_suffix)));
        snapshots.pop_back();
    }
    return {};
}

IoStatus PartitionLog::State::remove_snapshots_below(Offset offset) {
    while (!snapshots.empty() && snapshots.front() < offset) {
        PABAL_TRY(disk.remove(file_path(directory, snapshots.front(), producer_snapshot_suffix)));
        snapshots.erase(snapshots.begin());
    }
    return {};
}

IoStatus PartitionLog::State::reload_producers(WallTime now, Offset limit) {
    producers.reset();
    PABAL_TRY(remove_snapshots_above(limit));
    Offset from = log_start;
    while (!snapshots.empty() && snapshots.back() > log_start) {
        const std::string path = file_path(directory, snapshots.back(), producer_snapshot_suffix);
        PABAL_TRY_ASSIGN(const auto content, io::read_file(disk, path, max_snapshot_bytes));
        auto loaded = std::make_unique<ProducerState>();
        if (loaded->load_snapshot(as_bytes(content), now, config.producer_id_expiration).ok()) {
            REACHED("producers-from-a-snapshot");
            from = snapshots.back();
            if (!loaded->empty()) producers = std::move(loaded);
            break;
        }
        REACHED("producer-snapshot-is-damaged");
        // Damaged, most likely never synced: an older one and more batches say the same.
        PABAL_TRY(disk.remove(path));
        snapshots.pop_back();
    }
    return replay_producers(from, limit);
}

IoStatus PartitionLog::State::replay_producers(Offset from, Offset index_from) {
    for (std::size_t index = segment_of(from); index < segments.size() && from < log_end; ++index) {
        Segment& segment = *segments[index];
        if (segment.size() == 0) continue;
        PABAL_TRY_ASSIGN(const std::int64_t position, segment.position_of(from));
        PABAL_TRY_ASSIGN(const auto file, segment.file());
        BatchScanner scanner(*file, position, segment.size(), BatchScanner::lookup_window * 16);
        while (true) {
            PABAL_TRY_ASSIGN(const bool found, scanner.next());
            if (!found) break;
            if (!scanner.batch().has_producer_id()) continue;
            if (scanner.batch().is_control()) PABAL_TRY(scanner.whole());
            const auto batch = producer_batch_of(scanner.batch());
            if (batch.producer == no_producer_id) continue;
            if (!producers) producers = std::make_unique<ProducerState>();
            producers_dirty = true;
            const auto completed = producers->appended(batch);
            if (completed && completed->aborted && completed->last_offset >= index_from) {
                PABAL_TRY(segment.transactions().append(
                    {completed->producer, completed->first_offset, completed->last_offset,
                     completed->last_stable_offset}));
            }
        }
        if (scanner.stop() != BatchScanner::Stop::end) {
            return IoError{0, file->path() + " holds no record batch at position " +
                                  std::to_string(scanner.position()) + ": " + scanner.reason()};
        }
    }
    return {};
}

}  // namespace pabal::log
