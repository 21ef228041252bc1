// Look-ups by time (ListOffsets): the time index leads to the batch, the batch's records to the
// offset.
#include <algorithm>

#include "io/disk.h"
#include "log/batch_scanner.h"
#include "log/partition_log_state.h"
#include "record/compression.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::log {
namespace {

// Batches that stand here were validated with this bound or a smaller one.
constexpr std::size_t max_inflated_bytes = 1u << 30;

struct Search {
    std::int64_t timestamp;  // At or after this.
    Offset first;            // Records below do not count.
    Offset bound;            // Nor at or above.
    record::Codecs codecs;
    const PartitionLog::State& log;
};

using Found = std::optional<TimestampAndOffset>;

// Calls `visit` for the records in [first, bound) until it returns false.
template <class Visit>
Status for_each_record(const record::RecordBatchView& batch, Search& search, Visit visit) {
    Bytes inflated;
    ByteView records = batch.records();
    if (batch.compression() != record::Compression::none) {
        const Bytes whole = Bytes::copy_of(batch.bytes());
        PABAL_TRY_ASSIGN(const auto view, record::RecordBatchView::parse(whole));
        PABAL_TRY_ASSIGN(inflated,
                         record::inflate_records(whole, view, search.codecs, max_inflated_bytes));
        records = inflated;
    }
    record::RecordReader reader(batch, records);
    while (true) {
        PABAL_TRY_ASSIGN(const auto record, reader.next());
        if (!record || record->offset >= search.bound) return {};
        if (record->offset >= search.first && !visit(*record)) return {};
    }
}

// The first record of the batch that counts.
Result<Found> search_batch(const record::RecordBatchView& batch, Search& search) {
    Found found;
    PABAL_TRY(for_each_record(batch, search, [&](const record::RecordView& record) {
        if (record.timestamp.milliseconds < search.timestamp) return true;
        found = TimestampAndOffset{record.timestamp, record.offset, batch.leader_epoch()};
        return false;
    }));
    return found;
}

Error no_batch(const io::File& file, const BatchScanner& scanner) {
    return Error{ErrorCode::kafka_storage_error,
                 file.path() + " holds no record batch at position " +
                     std::to_string(scanner.position()) + ": " + scanner.reason()};
}

// The first record of the segment that counts, among the batches from `position` on.
Result<Found> search_segment(const Segment& segment, std::int64_t position, Search& search) {
    const auto file = segment.file();
    if (!file.ok()) return search.log.storage_error(file.error());
    BatchScanner scanner(**file, position, segment.size());
    while (true) {
        const auto found = scanner.next();
        if (!found.ok()) return search.log.storage_error(found.error());
        if (!*found) break;
        const auto& batch = scanner.batch();
        if (batch.base_offset() >= search.bound) return Found();
        if (batch.max_timestamp().milliseconds < search.timestamp ||
            batch.last_offset() < search.first) {
            continue;
        }
        const auto whole = scanner.whole();
        if (!whole.ok()) return search.log.storage_error(whole.error());
        PABAL_TRY_ASSIGN(const auto record, search_batch(*whole, search));
        if (record) return record;
    }
    if (scanner.stop() == BatchScanner::Stop::end) return Found();
    return no_batch(**file, scanner);
}

// Raises `best` to the segment's first record of the largest timestamp that counts, if that is
// larger. Reads all batches, and the records of those that may hold it.
Status search_largest(const Segment& segment, Search& search, Found& best) {
    const auto file = segment.file();
    if (!file.ok()) return search.log.storage_error(file.error());
    BatchScanner scanner(**file, 0, segment.size());
    while (true) {
        const auto found = scanner.next();
        if (!found.ok()) return search.log.storage_error(found.error());
        if (!*found) break;
        const std::int64_t known = best ? best->timestamp.milliseconds : -1;
        if (scanner.batch().base_offset() >= search.bound) return {};
        if (scanner.batch().max_timestamp().milliseconds <= known ||
            scanner.batch().last_offset() < search.first) {
            continue;
        }
        const auto whole = scanner.whole();
        if (!whole.ok()) return search.log.storage_error(whole.error());
        PABAL_TRY(for_each_record(*whole, search, [&](const record::RecordView& record) {
            if (record.timestamp.milliseconds > (best ? best->timestamp.milliseconds : -1)) {
                best = TimestampAndOffset{record.timestamp, record.offset, whole->leader_epoch()};
            }
            return true;
        }));
    }
    if (scanner.stop() == BatchScanner::Stop::end) return {};
    return no_batch(**file, scanner);
}

}  // namespace

Result<std::optional<TimestampAndOffset>> PartitionLog::find_timestamp(WallTime timestamp,
                                                                       Offset bound) const {
    const State& log = *state_;
    Search search{timestamp.milliseconds, log.log_start, std::min(bound, log.log_end), {}, log};
    for (std::size_t i = log.segment_of(log.log_start); i < log.segments.size(); ++i) {
        const Segment& segment = *log.segments[i];
        if (segment.base() >= search.bound) break;
        const auto largest = segment.max_timestamp();
        if (!largest.ok()) return log.storage_error(largest.error());
        if (largest->timestamp < search.timestamp) continue;
        const auto position = segment.position_before_timestamp(search.timestamp);
        if (!position.ok()) return log.storage_error(position.error());
        PABAL_TRY_ASSIGN(const auto found, search_segment(segment, *position, search));
        if (found) return found;
    }
    return Found();
}

Result<std::optional<TimestampAndOffset>> PartitionLog::find_max_timestamp(Offset bound) const {
    const State& log = *state_;
    bound = std::min(bound, log.log_end);
    Found best;
    for (std::size_t i = log.segment_of(log.log_start); i < log.segments.size(); ++i) {
        const Segment& segment = *log.segments[i];
        if (segment.base() >= bound) break;
        const auto largest = segment.max_timestamp();
        if (!largest.ok()) return log.storage_error(largest.error());
        if (largest->timestamp <= (best ? best->timestamp.milliseconds : -1)) continue;
        const auto position = segment.position_before_timestamp(largest->timestamp);
        if (!position.ok()) return log.storage_error(position.error());
        Search search{largest->timestamp, log.log_start, bound, {}, log};
        PABAL_TRY_ASSIGN(const auto found, search_segment(segment, *position, search));
        if (found) {
            best = found;
        } else {
            // The record that has it lies outside of [log start, bound).
            PABAL_TRY(search_largest(segment, search, best));
        }
    }
    return best;
}

}  // namespace pabal::log
