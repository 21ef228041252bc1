#include "log/recovery.h"

#include <algorithm>
#include <map>

#include "base/probe.h"
#include "io/disk.h"
#include "log/batch_scanner.h"
#include "log/big_endian.h"
#include "log/file_name.h"

namespace pabal::log {
namespace {

constexpr std::uint64_t max_epoch_file_bytes = 16 << 20;
constexpr char way_out[] = ". Restore the file, or move the directory away to give up its records";

bool ends_with(std::string_view name, std::string_view suffix) {
    return name.size() >= suffix.size() && name.substr(name.size() - suffix.size()) == suffix;
}

class Recovery {
public:
    Recovery(PartitionLog::State& log, const LogCheckpoint& checkpoint, WallTime now)
        : log_(log),
          checkpoint_(checkpoint),
          now_(now),
          gaps_(log.config.compacted || checkpoint.was_compacted) {
        log.was_compacted = checkpoint.was_compacted;
    }

    IoStatus run();

private:
    IoStatus read_directory();
    IoStatus take_file(const io::DirectoryEntry& entry);
    IoStatus clear_leftovers();
    IoStatus finish_swap(Offset base);
    IoStatus make_segments();
    IoStatus read_epochs();
    IoStatus learn_epochs();

    bool standing_is(std::size_t index) const;
    IoResult<bool> end_without_scan();
    IoStatus scan();
    // Leaves `expected_` behind the last valid batch; true if the segment ended in order.
    IoResult<bool> scan_segment(std::size_t index, std::int64_t position);
    IoStatus damaged(std::size_t index, std::int64_t position, std::int64_t file_size,
                     const std::string& reason);
    IoStatus damaged_between(std::size_t index);
    IoResult<std::int64_t> valid_batch_after(const io::File& file, std::int64_t position,
                                             std::int64_t end) const;
    IoStatus drop_segments_after(std::size_t index);
    IoStatus recover_producers();
    IoStatus sync_transaction_indexes();

    std::string path(Offset base) const { return file_path(log_.directory, base, log_suffix); }

    PartitionLog::State& log_;
    const LogCheckpoint& checkpoint_;
    WallTime now_;
    bool gaps_;                                           // Compaction may have taken batches.
    std::vector<std::pair<Offset, SegmentFiles>> files_;  // Ascending.
    // What an interrupted compaction left: names, `.log.cleaned` and `.log.swap` also by base.
    std::vector<std::string> cleaned_;
    std::vector<std::string> swapped_;
    std::vector<Offset> cleaned_logs_;
    std::vector<Offset> swaps_;
    bool has_epochs_ = false;
    bool clean_ = false;           // What is there needs no scan.
    bool standing_holds_ = false;  // The checkpoint's standing fits the files.
    bool saw_producers_ = false;
    Offset scan_start_;  // Everything from here on was read batch by batch.
    Offset expected_;    // Of the next batch.
};

IoStatus Recovery::run() {
    PABAL_TRY(read_directory());
    if (!cleaned_.empty() || !swapped_.empty()) {
        PABAL_TRY(clear_leftovers());
        PABAL_TRY(read_directory());
    }
    PABAL_TRY(make_segments());
    PABAL_TRY(read_epochs());

    PABAL_TRY_ASSIGN(clean_, end_without_scan());
    if (!clean_) PABAL_TRY(scan());
    if (log_.log_end < checkpoint_.log_start_offset) {
        REACHED("recovery-begins-at-the-deleted");
        // All that is here was deleted before: the log goes on where its start was set.
        for (auto& segment : log_.segments) PABAL_TRY(segment->remove_files());
        log_.segments.clear();
        log_.log_end = checkpoint_.log_start_offset;
        log_.segments.push_back(log_.make_segment(log_.log_end, SegmentFiles{}, now_));
        PABAL_TRY(log_.active().create_file());
        log_.epochs.clear();
        standing_holds_ = false;
        scan_start_ = log_.log_end;
    }
    log_.log_start = std::max(checkpoint_.log_start_offset, log_.segments.front()->base());
    log_.recovery_point = std::min(checkpoint_.recovery_point, log_.log_end);
    if (clean_) log_.recovery_point = log_.log_end;
    if (standing_holds_) log_.standing = checkpoint_.standing;

    if (log_.epochs.truncate_from_end(log_.log_end)) log_.epochs_dirty = true;
    if (log_.epochs.truncate_from_start(log_.log_start)) log_.epochs_dirty = true;
    PABAL_TRY(recover_producers());
    return sync_transaction_indexes();
}

IoStatus Recovery::read_directory() {
    files_.clear();
    cleaned_.clear();
    swapped_.clear();
    cleaned_logs_.clear();
    swaps_.clear();
    log_.snapshots.clear();
    auto listed = log_.disk.list(log_.directory);
    if (!listed.ok()) {
        PABAL_TRY_ASSIGN(const bool exists, log_.disk.exists(log_.directory));
        if (exists) return listed.error();
        PABAL_TRY(log_.disk.make_directories(log_.directory));
        log_.new_names = true;
        return {};
    }
    for (const auto& entry : *listed) {
        if (!entry.is_directory) PABAL_TRY(take_file(entry));
    }
    return {};
}

IoStatus Recovery::take_file(const io::DirectoryEntry& entry) {
    const std::string& name = entry.name;
    if (name == leader_epoch_file) {
        has_epochs_ = true;
        return {};
    }
    const bool of_quorum = name.find(".checkpoint") != std::string::npos;  // Its own snapshots.
    if (ends_with(name, deleted_suffix) || ends_with(name, ".tmp"))
        return of_quorum ? IoStatus() : log_.disk.remove(log_.directory + "/" + name);
    for (const bool swap : {false, true}) {
        const auto suffix = swap ? swap_suffix : cleaned_suffix;
        if (!ends_with(name, suffix)) continue;
        (swap ? swapped_ : cleaned_).push_back(name);
        const auto stem = std::string_view(name).substr(0, name.size() - suffix.size());
        if (const auto base = base_offset_of(stem, log_suffix))
            (swap ? swaps_ : cleaned_logs_).push_back(*base);
        return {};
    }
    if (const auto offset = base_offset_of(name, producer_snapshot_suffix)) {
        log_.snapshots.push_back(*offset);
        return {};
    }
    for (const auto suffix : segment_suffixes) {
        const auto base = base_offset_of(name, suffix);
        if (!base) continue;
        if (files_.empty() || files_.back().first != *base) files_.push_back({*base, {}});
        SegmentFiles& files = files_.back().second;
        const auto size = static_cast<std::int64_t>(entry.size);
        if (suffix == log_suffix) {
            files.log = size;
            if (size > INT32_MAX) {
                return IoError{0, log_.directory + "/" + name + " has " + std::to_string(size) +
                                      " bytes, more than the 2147483647 that a segment may have"};
            }
        }
        if (suffix == offset_index_suffix) files.offset_index = size;
        if (suffix == time_index_suffix) files.time_index = size;
        if (suffix == transaction_index_suffix) files.transaction_index = size;
    }
    return {};
}

// Compaction was interrupted. What was being written goes; segments that were taking the place of
// others do so now. We rename the log last (PartitionLog::replace_segments), Kafka renames it
// first, so an index that waits for its place has a `.log.cleaned`, a `.log.swap`, or its log in
// place already. Every step can be interrupted again.
IoStatus Recovery::clear_leftovers() {
    REACHED("recovery-clears-a-compaction");
    const auto is_one_of = [](const std::vector<Offset>& bases, std::string_view stem) {
        return std::any_of(bases.begin(), bases.end(),
                           [&](Offset base) { return stem.starts_with(file_name(base, {})); });
    };
    for (const auto& name : swapped_) {
        const std::string path = log_.directory + "/" + name;
        const auto stem = std::string_view(name).substr(0, name.size() - swap_suffix.size());
        if (is_one_of(swaps_, stem)) continue;
        if (is_one_of(cleaned_logs_, stem)) {
            PABAL_TRY(log_.disk.remove(path));
        } else {
            PABAL_TRY(log_.disk.rename(path, log_.directory + "/" + std::string(stem)));
        }
    }
    for (const auto& name : cleaned_) {
        const std::string path = log_.directory + "/" + name;
        const auto stem = std::string_view(name).substr(0, name.size() - cleaned_suffix.size());
        if (!ends_with(stem, log_suffix)) PABAL_TRY(log_.disk.remove(path));
    }
    for (const Offset base : cleaned_logs_)
        PABAL_TRY(log_.disk.remove(path(base) + std::string(cleaned_suffix)));
    for (const Offset base : swaps_) PABAL_TRY(finish_swap(base));
    return log_.disk.sync_directory(log_.directory);
}

IoStatus Recovery::finish_swap(Offset base) {
    const std::string swap = path(base) + std::string(swap_suffix);
    PABAL_TRY_ASSIGN(const auto file, log_.disk.open(swap, io::OpenMode::read_write));
    PABAL_TRY_ASSIGN(const auto size, file->size());
    Offset end = base;
    BatchScanner scanner(*file, 0, static_cast<std::int64_t>(size));
    while (true) {
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) break;
        end = scanner.batch().next_offset();
    }
    for (const auto& [old_base, files] : files_) {
        if (old_base < base || (old_base >= end && old_base != base)) continue;
        // Without its log the old segment of that name is gone, and what is there is the new one's.
        if (old_base == base && files.log < 0) continue;
        for (std::size_t i = std::size(segment_suffixes); i-- > 0;)
            PABAL_TRY(log_.disk.remove(file_path(log_.directory, old_base, segment_suffixes[i])));
    }
    for (std::size_t i = std::size(segment_suffixes); i-- > 0;) {
        const std::string target = file_path(log_.directory, base, segment_suffixes[i]);
        PABAL_TRY_ASSIGN(const bool exists, log_.disk.exists(target + std::string(swap_suffix)));
        if (exists) PABAL_TRY(log_.disk.rename(target + std::string(swap_suffix), target));
    }
    return {};
}

IoStatus Recovery::make_segments() {
    for (const auto& [base, files] : files_) {
        if (files.log < 0) {
            // Indexes whose log is gone mean nothing.
            for (const auto suffix : segment_suffixes) {
                PABAL_TRY(log_.disk.remove(file_path(log_.directory, base, suffix)));
            }
            continue;
        }
        log_.segments.push_back(log_.make_segment(base, files, now_));
    }
    if (log_.segments.empty()) {
        const Offset base = checkpoint_.log_start_offset;
        log_.segments.push_back(log_.make_segment(base, SegmentFiles{}, now_));
        // The first name says where the log begins; without one it begins at 0.
        if (base > Offset(0)) PABAL_TRY(log_.active().create_file());
    }
    return {};
}

// From all batches, also those below the recovery point: nobody reads these otherwise.
IoStatus Recovery::learn_epochs() {
    for (const auto& segment : log_.segments) {
        if (segment->size() == 0) continue;
        PABAL_TRY_ASSIGN(const auto file, segment->file());
        BatchScanner scanner(*file, 0, segment->size());
        while (true) {
            PABAL_TRY_ASSIGN(const bool found, scanner.next());
            if (!found) break;
            const auto epoch = scanner.batch().leader_epoch();
            if (epoch <= log_.epochs.latest().value_or(no_leader_epoch)) continue;
            log_.epochs.assign(epoch, scanner.batch().base_offset());
            log_.epochs_dirty = true;
        }
    }
    return {};
}

IoStatus Recovery::read_epochs() {
    if (!has_epochs_) return learn_epochs();
    const std::string file = log_.directory + "/" + std::string(leader_epoch_file);
    PABAL_TRY_ASSIGN(const std::string text, io::read_file(log_.disk, file, max_epoch_file_bytes));
    auto parsed = LeaderEpochHistory::parse(text);
    if (parsed.ok()) {
        log_.epochs = std::move(*parsed);
    } else if (text.find_first_not_of('\0') == std::string::npos) {
        // It was replaced but never reached the disk; the batches tell the epochs again.
        REACHED("epochs-are-learnt-again");
        log_.epochs_dirty = true;
        return learn_epochs();
    } else {
        return IoError{0, file + " is damaged: " + parsed.error().message};
    }
    return {};
}

bool Recovery::standing_is(std::size_t index) const {
    const auto& standing = checkpoint_.standing;
    if (!standing) return false;
    const Segment& segment = *log_.segments[index];
    return segment.base() == standing->segment_base && segment.size() >= standing->segment_size &&
           standing->end_offset >= segment.base() &&
           (standing->segment_size > 0) == (standing->end_offset > segment.base());
}

IoResult<bool> Recovery::end_without_scan() {
    Segment& last = log_.active();
    const auto know_end = [&] {
        const auto& standing = *checkpoint_.standing;
        REACHED("recovery-needs-no-scan");
        standing_holds_ = true;
        log_.log_end = standing.end_offset;
        scan_start_ = log_.log_end;
        if (standing.max_timestamp_offset >= Offset(0)) {
            last.know_max_timestamp({standing.max_timestamp, standing.max_timestamp_offset});
        }
        return true;
    };
    if (last.size() == 0 && log_.segments.size() == 1) {
        log_.log_end = scan_start_ = last.base();
        return checkpoint_.recovery_point <= last.base();
    }
    if (standing_is(log_.segments.size() - 1) &&
        last.size() == checkpoint_.standing->segment_size &&
        (checkpoint_.clean_shutdown ||
         checkpoint_.standing->end_offset <= checkpoint_.recovery_point)) {
        return know_end();
    }
    if (!checkpoint_.clean_shutdown || checkpoint_.standing) return false;

    // Kafka stopped in order: only what follows the last index entry is looked at.
    if (last.size() == 0) {
        log_.log_end = scan_start_ = last.base();
        return true;
    }
    const auto position = last.last_indexed_position();
    if (!position.ok()) return false;
    PABAL_TRY_ASSIGN(const auto file, last.file());
    Offset end = last.base();
    BatchScanner scanner(*file, *position, last.size());
    while (true) {
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) break;
        end = scanner.batch().next_offset();
    }
    log_.log_end = scan_start_ = end;
    return scanner.stop() == BatchScanner::Stop::end;
}

IoStatus Recovery::scan() {
    const std::size_t first = log_.segment_of(checkpoint_.recovery_point);
    std::int64_t position = 0;
    scan_start_ = log_.segments[first]->base();
    if (standing_is(first) && checkpoint_.standing->end_offset <= checkpoint_.recovery_point) {
        standing_holds_ = true;
        position = checkpoint_.standing->segment_size;
        scan_start_ = checkpoint_.standing->end_offset;
    }
    if (log_.epochs.truncate_from_end(scan_start_)) log_.epochs_dirty = true;
    expected_ = scan_start_;
    for (std::size_t index = first; index < log_.segments.size(); ++index) {
        Segment& segment = *log_.segments[index];
        if (index > first) {
            position = 0;
            // Compaction leaves gaps; ours only below the recovery point and in what a follower
            // took over. Above, a loss of power may also have taken the end of a segment.
            const bool may_be_gap = gaps_ && (expected_ < checkpoint_.recovery_point ||
                                              checkpoint_.writes_survived || !checkpoint_.standing);
            if (segment.base() != expected_ && !may_be_gap) {
                PABAL_TRY(damaged_between(index));
                break;
            }
            expected_ = std::max(expected_, segment.base());
        }
        PABAL_TRY_ASSIGN(const bool whole, scan_segment(index, position));
        if (!whole) break;
        if (index + 1 < log_.segments.size()) PABAL_TRY(segment.close_for_appends());
    }
    log_.log_end = expected_;
    if (log_.log_end < checkpoint_.recovery_point) {
        // Lawful only if it was truncated and the checkpoint not yet written again.
        const Segment& last = log_.active();
        log_.repair = LogRepair{path(last.base()), last.size(), log_.log_end, 0,
                                "it ends at offset " + std::to_string(log_.log_end.value()) +
                                    ", below the recovery point " +
                                    std::to_string(checkpoint_.recovery_point.value())};
    }
    return {};
}

IoResult<bool> Recovery::scan_segment(std::size_t index, std::int64_t position) {
    Segment& segment = *log_.segments[index];
    const std::int64_t file_size = segment.size();
    PABAL_TRY(segment.forget_indexes_from(position, expected_));
    if (segment.has_transactions()) PABAL_TRY(segment.transactions().truncate_to_offset(expected_));
    if (position >= file_size) return true;

    PABAL_TRY_ASSIGN(const auto file, segment.file());
    BatchScanner scanner(*file, position, file_size, BatchScanner::recovery_window);
    std::string reason;
    while (true) {
        PABAL_TRY_ASSIGN(const bool found, scanner.next());
        if (!found) break;
        const auto& batch = scanner.batch();
        if (batch.last_offset_delta() < 0 || !segment.can_hold(batch.last_offset()) ||
            batch.base_offset() < expected_ || (batch.base_offset() != expected_ && !gaps_)) {
            reason = "its batch has the offsets " + std::to_string(batch.base_offset().value()) +
                     " to " + std::to_string(batch.last_offset().value()) + " where " +
                     std::to_string(expected_.value()) + " comes next";
            break;
        }
        PABAL_TRY_ASSIGN(const bool right, scanner.crc_is_right());
        if (!right && !SABOTAGED("recovery-skips-the-checksum")) {
            reason = "the checksum of its batch is wrong";
            break;
        }
        const auto epoch = scanner.batch().leader_epoch();
        if (epoch > log_.epochs.latest().value_or(no_leader_epoch)) {
            log_.epochs.assign(epoch, scanner.batch().base_offset());
            log_.epochs_dirty = true;
        }
        if (scanner.batch().has_producer_id()) saw_producers_ = true;
        expected_ = scanner.batch().next_offset();
        segment.appended({scanner.batch().base_offset(), scanner.batch().last_offset(),
                          scanner.batch().max_timestamp().milliseconds, scanner.position(),
                          static_cast<std::int64_t>(scanner.batch().size())});
    }
    log_.unflushed_bytes += segment.size() - position;
    if (scanner.stop() == BatchScanner::Stop::end) return true;

    if (reason.empty()) reason = scanner.reason();
    PABAL_TRY(damaged(index, scanner.position(), file_size, reason));
    return false;
}

// Decides between the trace of a crash, which is cut, and lost data, which is an error.
IoStatus Recovery::damaged(std::size_t index, std::int64_t position, std::int64_t file_size,
                           const std::string& reason) {
    Segment& segment = *log_.segments[index];
    const std::string place = path(segment.base()) + " is damaged at position " +
                              std::to_string(position) + " (offset " +
                              std::to_string(expected_.value()) + "): " + reason;
    if (expected_ < checkpoint_.recovery_point) {
        return IoError{0, place + "; this is below the recovery point " +
                              std::to_string(checkpoint_.recovery_point.value()) +
                              ", so records that were safely on disk are lost" + way_out};
    }
    if (checkpoint_.writes_survived) {
        PABAL_TRY_ASSIGN(const auto file, segment.file());
        PABAL_TRY_ASSIGN(const std::int64_t valid,
                         valid_batch_after(*file, position + 1, file_size));
        if (valid >= 0 || index + 1 < log_.segments.size()) {
            return IoError{
                0, place + "; " +
                       (valid >= 0 ? "valid batches follow at position " + std::to_string(valid)
                                   : std::string("later segments follow")) +
                       " and the machine did not go down, so no crash did this" + way_out};
        }
    }
    log_.repair =
        LogRepair{path(segment.base()), position, expected_, file_size - position, reason};
    REACHED("recovery-cuts-damage");
    if (SABOTAGED("recovery-leaves-the-damage")) return {};
    PABAL_TRY(segment.truncate(position, expected_));
    PABAL_TRY(drop_segments_after(index));
    PABAL_TRY_ASSIGN(const auto file, segment.file());
    return file->sync();
}

// The segment before `index` ends early, with a whole batch: its last writes are missing.
IoStatus Recovery::damaged_between(std::size_t index) {
    const Segment& before = *log_.segments[index - 1];
    const std::string reason = "it ends at offset " + std::to_string(expected_.value()) +
                               ", but the next segment begins at " +
                               std::to_string(log_.segments[index]->base().value());
    if (expected_ < checkpoint_.recovery_point) {
        return IoError{0, path(before.base()) + ": " + reason +
                              "; this is below the recovery point " +
                              std::to_string(checkpoint_.recovery_point.value()) +
                              ", so records that were safely on disk are lost" + way_out};
    }
    if (checkpoint_.writes_survived) {
        return IoError{0, path(before.base()) + ": " + reason +
                              "; the machine did not go down, so no crash did this" + way_out};
    }
    log_.repair = LogRepair{path(before.base()), before.size(), expected_, 0, reason};
    return drop_segments_after(index - 1);
}

// The first position from which a whole batch of a later offset can be read, or -1.
IoResult<std::int64_t> Recovery::valid_batch_after(const io::File& file, std::int64_t position,
                                                   std::int64_t end) const {
    std::vector<std::uint8_t> window(static_cast<std::size_t>(
        std::min<std::int64_t>(end - position, BatchScanner::recovery_window)));
    while (end - position >= static_cast<std::int64_t>(record::header_size)) {
        const auto wanted = static_cast<std::size_t>(
            std::min<std::int64_t>(end - position, static_cast<std::int64_t>(window.size())));
        PABAL_TRY_ASSIGN(const std::size_t read,
                         file.read(static_cast<std::uint64_t>(position), {window.data(), wanted}));
        if (read < record::header_size) break;
        const std::size_t last = read - record::header_size;
        for (std::size_t i = 0; i <= last; ++i) {
            const std::uint8_t* at = window.data() + i;
            if (at[record::magic_position] != record::magic_v2) continue;
            const Offset base(get_big_endian<std::int64_t>(at));
            if (base <= expected_ || base - expected_ > INT32_MAX) continue;
            BatchScanner candidate(file, position + static_cast<std::int64_t>(i), end);
            PABAL_TRY_ASSIGN(const bool found, candidate.next());
            if (!found) continue;
            PABAL_TRY_ASSIGN(const bool right, candidate.crc_is_right());
            if (right) return candidate.position();
        }
        position += static_cast<std::int64_t>(last) + 1;
    }
    return std::int64_t{-1};
}

// What was cut must not come back: another loss of power could put it behind the records that
// take its place, as if it had been appended there. So a repair is synced.
IoStatus Recovery::drop_segments_after(std::size_t index) {
    if (log_.segments.size() == index + 1) return {};
    REACHED("recovery-drops-segments");
    // From the end, so that another crash leaves no hole.
    while (log_.segments.size() > index + 1) {
        log_.repair->dropped_bytes += log_.active().size();
        PABAL_TRY(log_.active().remove_files());
        log_.segments.pop_back();
    }
    return log_.disk.sync_directory(log_.directory);
}

IoStatus Recovery::recover_producers() {
    if (SABOTAGED("recovery-forgets-producers")) return {};
    // Newer snapshots may hold what did not survive.
    PABAL_TRY(log_.remove_snapshots_above(scan_start_));
    if (standing_holds_ && !checkpoint_.standing->has_producers &&
        checkpoint_.standing->end_offset == scan_start_) {
        return saw_producers_ ? log_.replay_producers(scan_start_, scan_start_) : IoStatus();
    }
    // Their snapshot may not have survived; then the batches tell.
    const bool lost = standing_holds_ && checkpoint_.standing->has_producers;
    if (clean_ && log_.snapshots.empty() && !lost) return {};
    const bool nothing_before = log_.snapshots.empty() && scan_start_ <= log_.log_start;
    if (nothing_before && !saw_producers_) return {};
    return log_.reload_producers(now_, scan_start_);
}

// The scan of a segment makes its index of aborted transactions anew, also what was synced before.
// A flush does not come back below the recovery point, and a start after a clean shutdown believes
// what it finds.
IoStatus Recovery::sync_transaction_indexes() {
    bool any = false;
    for (std::size_t i = log_.segment_of(scan_start_); i < log_.segments.size(); ++i) {
        const Segment& segment = *log_.segments[i];
        if (segment.base() >= checkpoint_.recovery_point) break;
        if (!segment.has_transactions()) continue;
        const auto& file = segment.transactions().file();
        if (!file) continue;
        PABAL_TRY(file->sync());
        any = true;
    }
    if (!any) return {};
    REACHED("recovery-syncs-aborted-transactions");
    return log_.disk.sync_directory(log_.directory);
}

}  // namespace

IoStatus recover(PartitionLog::State& log, const LogCheckpoint& checkpoint, WallTime now) {
    return Recovery(log, checkpoint, now).run();
}

}  // namespace pabal::log
