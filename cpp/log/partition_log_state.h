// What a PartitionLog consists of; shared by the files that implement it (appends and reads,
// recovery, retention and truncation, look-ups by time). Nobody else includes it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/leader_epoch_history.h"
#include "log/partition_log.h"
#include "log/producer_state.h"
#include "log/segment.h"

namespace pabal::record {
class RecordBatchView;
}

namespace pabal::log {

inline constexpr std::string_view leader_epoch_file = "leader-epoch-checkpoint";

struct PartitionLog::State {
    State(io::Disk& disk_port, std::string path, LogConfig rules, WallTime time)
        : disk(disk_port), directory(std::move(path)), config(std::move(rules)), opened(time) {}

    struct DeletedFile {
        std::string path;
        std::int64_t due_milliseconds = 0;
    };

    io::Disk& disk;
    std::string directory;
    LogConfig config;
    WallTime opened;

    std::vector<std::unique_ptr<Segment>> segments;  // Ascending, never empty; the last is active.
    Offset log_start;
    Offset log_end;
    Offset recovery_point;
    std::optional<LogStanding> standing;  // At the last flush.
    std::int64_t unflushed_bytes = 0;
    std::int64_t unflushed_records = 0;
    std::uint32_t truncations = 0;
    bool new_names = false;     // The directory changed since the last flush.
    bool epochs_dirty = false;  // The file does not say what `epochs` does.
    bool producers_dirty = false;
    bool was_compacted = false;  // There may be gaps.
    LeaderEpochHistory epochs;
    std::unique_ptr<ProducerState> producers;  // Made by the first batch with a producer id.
    std::vector<Offset> snapshots;             // Producer snapshots on disk, ascending.
    std::vector<DeletedFile> deleted;
    std::string offline_reason;        // Not empty: nothing is served any more.
    mutable std::string disk_failure;  // Reads learn of it, too.
    std::optional<LogRepair> repair;

    Segment& active() { return *segments.back(); }
    const Segment& active() const { return *segments.back(); }
    // The segment that holds `offset`, or would: the last one that begins at or below it.
    std::size_t segment_of(Offset offset) const;
    // Where the segment's offsets end: the next one's base.
    Offset end_of_segment(std::size_t index) const {
        return index + 1 < segments.size() ? segments[index + 1]->base() : log_end;
    }
    std::unique_ptr<Segment> make_segment(Offset base, SegmentFiles files, WallTime created);

    // The active segment ends at the log's end and a new one begins. Its file
    // stands at once, because its name says where the log begins.
    IoStatus roll(WallTime now);
    // Takes the batch into everything but the bytes of the segment.
    IoStatus account(const BatchPlace& place, LeaderEpoch epoch, const ProducerBatch& producer);

    IoStatus write_epochs();
    IoStatus write_producer_snapshot();
    IoStatus remove_snapshots_above(Offset offset);
    IoStatus remove_snapshots_below(Offset offset);
    // Producers as the newest usable snapshot at or below `limit` and the batches after it say.
    // Aborted transactions that end at or after `limit` go into the indexes again.
    IoStatus reload_producers(WallTime now, Offset limit);
    // Takes the producers' part of the batches in [from, log end).
    IoStatus replay_producers(Offset from, Offset index_from);

    // The disk's refusal as the client reads it; a failure of the disk is remembered.
    Error storage_error(const IoError& error) const;

    LogStanding current_standing() const;
    // Deletes the oldest segments; their files stay as `.deleted` for a while.
    IoStatus delete_segments(std::size_t count, WallTime now);
    void schedule_removal(std::vector<std::string> paths, WallTime now);
};

// The producer's part of a whole batch; its `producer` is none if the batch has none, and only
// commit and abort markers count among control batches.
ProducerBatch producer_batch_of(const record::RecordBatchView& whole);

}  // namespace pabal::log
