#include "log/partition_log.h"

#include <algorithm>
#include <array>

#include "base/probe.h"
#include "io/disk.h"
#include "io/disk_error.h"
#include "log/batch_scanner.h"
#include "log/file_name.h"
#include "log/partition_log_state.h"
#include "log/recovery.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"
#include "record/validation.h"

namespace pabal::log {

Error PartitionLog::State::storage_error(const IoError& error) const {
    if (io::is_disk_failure(error)) disk_failure = error.message;
    return Error{ErrorCode::kafka_storage_error, error.message};
}

ProducerBatch producer_batch_of(const record::RecordBatchView& whole) {
    ProducerBatch result;
    if (!whole.has_producer_id()) return result;
    result.epoch = whole.producer_epoch();
    result.base_sequence = whole.base_sequence();
    result.last_sequence = whole.last_sequence();
    result.base_offset = whole.base_offset();
    result.last_offset = whole.last_offset();
    result.max_timestamp = whole.max_timestamp().milliseconds;
    result.transactional = whole.is_transactional();
    if (whole.is_control()) {
        record::RecordReader reader(whole, whole.records());
        const auto first = reader.next();
        if (!first.ok() || !*first || !(*first)->key) return result;
        const auto type = record::control_record_type(*(*first)->key);
        if (type != record::ControlRecordType::abort && type != record::ControlRecordType::commit) {
            return result;
        }
        ProducerBatch::Marker marker;
        marker.abort = type == record::ControlRecordType::abort;
        if ((*first)->value) {
            marker.coordinator_epoch =
                record::marker_coordinator_epoch(*(*first)->value).value_or(-1);
        }
        result.marker = marker;
        result.max_timestamp = (*first)->timestamp.milliseconds;
    }
    result.producer = whole.producer_id();
    return result;
}

PartitionLog::PartitionLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
PartitionLog::~PartitionLog() = default;

IoResult<std::unique_ptr<PartitionLog>> PartitionLog::open(io::Disk& disk, std::string directory,
                                                           LogConfig config,
                                                           LogCheckpoint checkpoint, WallTime now) {
    auto state = std::make_unique<State>(disk, std::move(directory), std::move(config), now);
    PABAL_TRY(recover(*state, checkpoint, now));
    return std::unique_ptr<PartitionLog>(new PartitionLog(std::move(state)));
}

std::size_t PartitionLog::State::segment_of(Offset offset) const {
    const auto above = std::upper_bound(
        segments.begin(), segments.end(), offset,
        [](Offset at, const std::unique_ptr<Segment>& segment) { return at < segment->base(); });
    return above == segments.begin() ? 0 : static_cast<std::size_t>(above - segments.begin()) - 1;
}

std::unique_ptr<Segment> PartitionLog::State::make_segment(Offset base, SegmentFiles files,
                                                           WallTime created) {
    return std::make_unique<Segment>(disk, directory, base, files, config.index_interval_bytes,
                                     created);
}

IoStatus PartitionLog::State::roll(WallTime now) {
    REACHED("segment-rolls");
    // Indexes and snapshots that cannot be written now are derived again when they are needed.
    (void)active().close_for_appends();
    if (producers_dirty) (void)write_producer_snapshot();
    auto next = make_segment(log_end, SegmentFiles{}, now);
    PABAL_TRY(next->create_file());
    if (active().size() == 0 && active().base() != log_end) {
        // It never held anything, and its base is too far below what comes.
        PABAL_TRY(active().remove_files());
        segments.pop_back();
    }
    segments.push_back(std::move(next));
    new_names = true;
    return {};
}

IoStatus PartitionLog::State::account(const BatchPlace& place, LeaderEpoch epoch,
                                      const ProducerBatch& producer) {
    log_end = place.last_offset + (SABOTAGED("offset-is-repeated") ? 0 : 1);
    if (epoch >= LeaderEpoch(0) && epochs.assign(epoch, place.base_offset)) epochs_dirty = true;
    if (producer.producer == no_producer_id) return {};
    if (!producers) producers = std::make_unique<ProducerState>();
    producers_dirty = true;
    const auto completed = producers->appended(producer);
    if (!completed || !completed->aborted) return {};
    new_names = true;
    return active().transactions().append({completed->producer, completed->first_offset,
                                           completed->last_offset, completed->last_stable_offset});
}

Result<AppendedBatch> PartitionLog::append(const record::ValidatedBatch& batch, LeaderEpoch epoch,
                                           WallTime now, AppendOrigin origin,
                                           std::vector<WrittenBatches>* written) {
    State& log = *state_;
    if (!usable()) return Error{ErrorCode::kafka_storage_error, log.offline_reason};

    const record::RecordBatchView view = batch.view();
    const Offset base = log.log_end;
    const Offset last = base + batch.last_offset_delta;
    const WallTime append_time = batch.timestamp_type == record::TimestampType::log_append_time
                                     ? batch.max_timestamp
                                     : WallTime{};
    ProducerBatch producer;
    if (batch.producer_id != no_producer_id) {
        producer = producer_batch_of(view);
        producer.base_offset = base;
        producer.last_offset = last;
        if (log.producers && producer.producer != no_producer_id) {
            if (origin == AppendOrigin::client) {
                const auto known = log.producers->duplicate_of(producer);
                if (known && !SABOTAGED("duplicate-is-not-known")) {
                    REACHED("duplicate-is-answered");
                    return AppendedBatch{known->base_offset,
                                         known->last_offset,
                                         WallTime{known->timestamp},
                                         log.log_start,
                                         true,
                                         false};
                }
            }
            PABAL_TRY(log.producers->check(producer, origin));
        }
    }

    const std::int64_t size = static_cast<std::int64_t>(batch.bytes.size());
    bool rolled = false;
    {
        auto must =
            log.active().must_roll(size, last, batch.max_timestamp.milliseconds, log.config, now);
        if (!must.ok()) return log.storage_error(must.error());
        if (*must) {
            if (auto status = log.roll(now); !status.ok()) return log.storage_error(status.error());
            rolled = true;
        }
    }

    Segment& segment = log.active();
    const auto prefix = record::patched_prefix(view, base, epoch);
    const ByteView pieces[] = {prefix, batch.bytes.view().subspan(prefix.size())};
    if (auto status = segment.write(pieces, size); !status.ok()) {
        if (!segment.usable()) log.offline_reason = status.error().message;
        return log.storage_error(status.error());
    }
    const BatchPlace place{base, last, batch.max_timestamp.milliseconds, segment.size(), size};
    if (place.position == 0) log.new_names = true;
    segment.appended(place);
    log.unflushed_bytes += size;
    log.unflushed_records += batch.record_count;
    if (auto status = log.account(place, epoch, producer); !status.ok()) {
        log.offline_reason = status.error().message;
        return log.storage_error(status.error());
    }
    if (written) {
        written->push_back({segment.base(), place.position, base, last + 1, Bytes::copy_of(prefix),
                            batch.bytes.slice(prefix.size())});
    }
    return AppendedBatch{base,        last,
                         append_time, log.log_start,
                         false,       rolled || log.unflushed_records >= log.config.flush_messages};
}

Result<Offset> PartitionLog::append_as_follower(const Bytes& batches, WallTime now,
                                                std::vector<WrittenBatches>* written) {
    State& log = *state_;
    if (!usable()) return Error{ErrorCode::kafka_storage_error, log.offline_reason};

    // All is checked before anything is written.
    struct Piece {
        record::RecordBatchView batch;
        std::size_t position;
    };
    std::vector<Piece> pieces;
    record::BatchWalker walker(batches);
    Offset next = log.log_end;
    while (true) {
        const std::size_t position = walker.position();
        PABAL_TRY_ASSIGN(const auto batch, walker.next());
        if (!batch) break;
        if (!batch->crc_is_right()) {
            return Error{ErrorCode::corrupt_message,
                         "the batch at offset " + std::to_string(batch->base_offset().value()) +
                             " has a wrong checksum"};
        }
        if (batch->base_offset() < next || batch->last_offset_delta() < 0) {
            return Error{ErrorCode::offset_out_of_range,
                         "a batch that begins at offset " +
                             std::to_string(batch->base_offset().value()) +
                             " cannot follow a log that ends at " + std::to_string(next.value())};
        }
        next = batch->next_offset();
        pieces.push_back({*batch, position});
    }

    // One write for as many batches as go into one segment.
    for (std::size_t first = 0; first < pieces.size();) {
        const Offset from = log.log_end;
        const auto fits = [&](const Piece& piece, std::int64_t bytes) {
            return log.active().must_roll(bytes, piece.batch.last_offset(),
                                          piece.batch.max_timestamp().milliseconds, log.config,
                                          now);
        };
        std::int64_t bytes = static_cast<std::int64_t>(pieces[first].batch.size());
        auto must = fits(pieces[first], bytes);
        if (!must.ok()) return log.storage_error(must.error());
        if (*must) {
            // The new segment may begin above the log's end, where compaction left a gap.
            const Offset end = log.log_end;
            log.log_end = pieces[first].batch.base_offset();
            auto status = log.roll(now);
            if (!status.ok()) {
                log.log_end = end;
                return log.storage_error(status.error());
            }
        }
        std::size_t last = first + 1;
        for (; last < pieces.size(); ++last) {
            const std::int64_t more = static_cast<std::int64_t>(pieces[last].batch.size());
            if (log.active().size() + bytes + more > log.config.segment_bytes) break;
            must = fits(pieces[last], bytes + more);
            if (!must.ok()) return log.storage_error(must.error());
            if (*must) break;
            bytes += more;
        }

        Segment& segment = log.active();
        const ByteView piece =
            batches.view().subspan(pieces[first].position, static_cast<std::size_t>(bytes));
        if (auto status = segment.write({&piece, 1}, bytes); !status.ok()) {
            if (!segment.usable()) log.offline_reason = status.error().message;
            return log.storage_error(status.error());
        }
        if (segment.size() == 0) log.new_names = true;
        log.unflushed_bytes += bytes;
        if (written) {
            written->push_back({segment.base(), segment.size(), from,
                                pieces[last - 1].batch.next_offset(), Bytes(),
                                batches.slice(pieces[first].position, piece.size())});
        }
        for (; first < last; ++first) {
            const auto& batch = pieces[first].batch;
            const BatchPlace place{batch.base_offset(), batch.last_offset(),
                                   batch.max_timestamp().milliseconds, segment.size(),
                                   static_cast<std::int64_t>(batch.size())};
            segment.appended(place);
            log.unflushed_records += batch.record_count();
            const auto producer = producer_batch_of(batch);
            if (auto status = log.account(place, batch.leader_epoch(), producer); !status.ok()) {
                log.offline_reason = status.error().message;
                return log.storage_error(status.error());
            }
        }
    }
    return log.log_end;
}

Result<ReadResult> PartitionLog::read(Offset from, Offset bound, std::int32_t max_bytes,
                                      bool at_least_one) const {
    const State& log = *state_;
    if (from < log.log_start || from > log.log_end) {
        return Error{ErrorCode::offset_out_of_range,
                     "offset " + std::to_string(from.value()) + " is not in " +
                         std::to_string(log.log_start.value()) + " to " +
                         std::to_string(log.log_end.value())};
    }
    bound = std::min(bound, log.log_end);
    ReadResult result;
    for (std::size_t index = log.segment_of(from); from < bound && index < log.segments.size();
         ++index) {
        const Segment& segment = *log.segments[index];
        if (segment.base() >= bound) break;
        const auto found = segment.find(from);
        if (!found.ok()) return log.storage_error(found.error());
        if (!*found) continue;  // What this segment held there was compacted away.
        const BatchPlace& place = **found;

        std::int64_t end = segment.size();
        if (bound < log.end_of_segment(index)) {
            const auto position = segment.position_of(bound);
            if (!position.ok()) return log.storage_error(position.error());
            end = *position;
        }
        if (end <= place.position) break;
        const std::int64_t wanted = std::max<std::int32_t>(max_bytes, 0);
        if (end - place.position > wanted) {
            result.first_batch_larger_than_limit = place.size > wanted;
            if (!result.first_batch_larger_than_limit) {
                const auto boundary = segment.boundary_at_or_below(place.position + wanted);
                if (!boundary.ok()) return log.storage_error(boundary.error());
                end = *boundary;
            } else if (at_least_one) {
                end = place.position + place.size;
            } else {
                break;
            }
        }
        const auto file = segment.file();
        if (!file.ok()) return log.storage_error(file.error());
        result.records.append((*file)->range(static_cast<std::uint64_t>(place.position),
                                             static_cast<std::uint32_t>(end - place.position)));
        break;
    }
    return result;
}

Offset PartitionLog::last_stable_offset(Offset high_watermark) const {
    if (!state_->producers) return high_watermark;
    const auto unstable = state_->producers->first_unstable_offset(high_watermark);
    return unstable ? std::min(*unstable, high_watermark) : high_watermark;
}

Result<std::vector<AbortedTransaction>> PartitionLog::aborted_transactions(Offset from,
                                                                           Offset upper) const {
    std::vector<AbortedTransaction> aborted;
    for (std::size_t i = state_->segment_of(from); i < state_->segments.size(); ++i) {
        const Segment& segment = *state_->segments[i];
        if (!segment.has_transactions()) continue;
        const auto entries = segment.transactions().read_all();
        if (!entries.ok()) return state_->storage_error(entries.error());
        for (const auto& entry : *entries) {
            if (entry.last_offset >= from && entry.first_offset < upper) {
                aborted.push_back({entry.producer, entry.first_offset});
            }
            if (entry.last_stable_offset >= upper) return aborted;
        }
    }
    return aborted;
}

std::vector<ActiveProducer> PartitionLog::active_producers() const {
    if (!state_->producers) return {};
    return state_->producers->active_producers();
}

std::optional<ActiveProducer> PartitionLog::active_producer(ProducerId producer) const {
    if (!state_->producers) return std::nullopt;
    return state_->producers->active_producer(producer);
}

void PartitionLog::assign_epoch(LeaderEpoch epoch) {
    if (state_->epochs.assign(epoch, state_->log_end)) state_->epochs_dirty = true;
}

IoStatus PartitionLog::roll(WallTime now) {
    if (state_->active().size() == 0) return {};
    return state_->roll(now);
}

void PartitionLog::set_config(LogConfig config) {
    state_->config = std::move(config);
}
void PartitionLog::renamed(std::string directory) {
    state_->directory = std::move(directory);
}

std::string PartitionLog::file_of(Offset offset) const {
    const auto base = state_->segments[state_->segment_of(offset)]->base();
    return file_path(state_->directory, base, log_suffix);
}

const std::optional<LogRepair>& PartitionLog::repair() const {
    return state_->repair;
}
const std::string& PartitionLog::disk_failure() const {
    return state_->disk_failure;
}

bool PartitionLog::usable() const {
    return state_->offline_reason.empty();
}
const LogConfig& PartitionLog::config() const {
    return state_->config;
}
const std::string& PartitionLog::directory() const {
    return state_->directory;
}
Offset PartitionLog::log_start_offset() const {
    return state_->log_start;
}
Offset PartitionLog::log_end_offset() const {
    return state_->log_end;
}
Offset PartitionLog::recovery_point() const {
    return state_->recovery_point;
}
std::int64_t PartitionLog::unflushed_bytes() const {
    return state_->unflushed_bytes;
}
std::size_t PartitionLog::segment_count() const {
    return state_->segments.size();
}

std::int64_t PartitionLog::size_bytes() const {
    std::int64_t bytes = 0;
    for (const auto& segment : state_->segments) bytes += segment->size();
    return bytes;
}

std::optional<LeaderEpoch> PartitionLog::latest_epoch() const {
    return state_->epochs.latest();
}

std::optional<PartitionLog::EpochEnd> PartitionLog::end_of_epoch(LeaderEpoch epoch) const {
    const auto end = state_->epochs.end_of(epoch, state_->log_end);
    if (!end) return std::nullopt;
    return EpochEnd{end->epoch, end->start_offset};
}

std::optional<LeaderEpoch> PartitionLog::epoch_of(Offset offset) const {
    return state_->epochs.epoch_of(offset);
}

}  // namespace pabal::log
