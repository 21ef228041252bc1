#include "log/compaction.h"

#include <algorithm>

#include "base/big_endian.h"
#include "base/crc32c.h"
#include "base/probe.h"
#include "io/disk.h"
#include "log/file_name.h"
#include "log/offset_index.h"
#include "log/time_index.h"
#include "log/transaction_index.h"
#include "record/batch_builder.h"
#include "record/control_record.h"

namespace pabal::log {
namespace {

// Batches that stand here were validated with this bound or a smaller one.
constexpr std::size_t max_inflated_bytes = 1u << 30;
constexpr std::size_t write_bytes = 1 << 20;
// Of a group: their files are renamed by the shard, which has others to serve.
constexpr std::size_t most_sources = 64;

// A batch without records that still says whose it was and which offsets it covers.
std::vector<std::uint8_t> empty_batch(const record::RecordBatchView& batch) {
    const ByteView header = batch.bytes().first(record::header_size);
    std::vector<std::uint8_t> empty(header.begin(), header.end());
    std::uint8_t* at = empty.data();
    const auto attributes = static_cast<std::int16_t>(
        batch.attributes() & ~(record::compression_mask | record::delete_horizon_bit));
    store_big_endian(at + record::batch_length_position,
                     static_cast<std::int32_t>(record::header_size - record::log_overhead));
    store_big_endian(at + record::attributes_position, attributes);
    store_big_endian(at + record::base_timestamp_position, std::int64_t{-1});
    store_big_endian(at + record::record_count_position, std::int32_t{0});
    store_big_endian(at + record::crc_position,
                     crc32c(ByteView(empty).subspan(record::attributes_position)));
    return empty;
}

// The same batch with fewer records, and when its tombstones may go.
Bytes rebuilt(const record::RecordBatchView& batch, const std::vector<record::RecordView>& records,
              std::optional<WallTime> delete_horizon, record::Codecs& codecs) {
    record::BatchOptions options;
    options.base_offset = batch.base_offset();
    options.leader_epoch = batch.leader_epoch();
    options.compression = batch.compression().value_or(record::Compression::none);
    options.timestamp_type = batch.timestamp_type();
    options.append_time = batch.max_timestamp();
    options.producer_id = batch.producer_id();
    options.producer_epoch = batch.producer_epoch();
    options.base_sequence = batch.base_sequence();
    options.transactional = batch.is_transactional();
    options.control = batch.is_control();
    options.delete_horizon = delete_horizon;
    record::RecordBatchBuilder builder(options);
    std::vector<record::RecordHeader> headers;
    for (const auto& record : records) {
        headers.clear();
        record.for_each_header(
            [&](const record::RecordHeader& header) { headers.push_back(header); });
        builder.append_at(static_cast<std::int32_t>(record.offset - batch.base_offset()),
                          record.timestamp, record.key, record.value, headers);
    }
    builder.cover(batch.last_offset_delta());
    return builder.build(codecs);
}

}  // namespace

// --- transactions

bool Compaction::Transactions::may_discard(const record::RecordBatchView& whole,
                                           std::optional<AbortedTransactionEntry>* kept) {
    for (; next_ < aborted_->size(); ++next_) {
        const auto& entry = (*aborted_)[next_];
        if (entry.first_offset > whole.last_offset()) break;
        if (entry.last_offset < whole.base_offset()) continue;  // It ended before.
        ongoing_aborted_.try_emplace(entry.producer, Ongoing{entry, false});
    }
    if (whole.is_control()) return may_discard_marker(whole, kept);
    if (!whole.is_transactional()) return false;
    const auto found = ongoing_aborted_.find(whole.producer_id());
    if (found != ongoing_aborted_.end()) {
        found->second.has_batches = true;
        return true;
    }
    ongoing_committed_[whole.producer_id()] = true;
    return false;
}

bool Compaction::Transactions::may_discard_marker(const record::RecordBatchView& whole,
                                                  std::optional<AbortedTransactionEntry>* kept) {
    if (whole.record_count() == 0) return true;
    record::RecordReader reader(whole, whole.records());
    const auto first = reader.next();
    if (!first.ok() || !*first || !(*first)->key) return false;
    const auto type = record::control_record_type(*(*first)->key);
    if (type == record::ControlRecordType::abort) {
        const auto node = ongoing_aborted_.extract(whole.producer_id());
        if (!node || !node.mapped().has_batches) return true;
        if (kept) *kept = node.mapped().entry;
        return false;
    }
    if (type == record::ControlRecordType::commit)
        return ongoing_committed_.erase(whole.producer_id()) == 0;
    return false;
}

// --- what is written

struct Compaction::Output {
    Output(io::Disk& disk, const std::string& directory, Offset base)
        : paths{path(directory, base, log_suffix), path(directory, base, offset_index_suffix),
                path(directory, base, time_index_suffix),
                path(directory, base, transaction_index_suffix)},
          offsets(disk, paths[1], base, 0),
          times(disk, paths[2], base, 0),
          transactions(disk, paths[3], 0),
          largest{-1, base} {}

    static std::string path(const std::string& directory, Offset base, std::string_view suffix) {
        return file_path(directory, base, suffix) + std::string(cleaned_suffix);
    }

    IoStatus add(ByteView batch, Offset last_offset, std::int64_t max_timestamp,
                 std::int32_t index_interval_bytes) {
        if (max_timestamp > largest.timestamp) largest = {max_timestamp, last_offset};
        if (bytes_since_entry > index_interval_bytes) {
            offsets.append(last_offset, size());
            times.append_if_larger(largest);
            bytes_since_entry = 0;
        }
        bytes_since_entry += static_cast<std::int64_t>(batch.size());
        pending.insert(pending.end(), batch.begin(), batch.end());
        return pending.size() >= write_bytes ? write() : IoStatus();
    }
    IoStatus write() {
        if (pending.empty()) return {};
        const ByteView piece = pending;
        PABAL_TRY(log->write(static_cast<std::uint64_t>(written), {&piece, 1}));
        written += static_cast<std::int64_t>(pending.size());
        pending.clear();
        return {};
    }
    std::int64_t size() const { return written + static_cast<std::int64_t>(pending.size()); }

    std::string paths[std::size(segment_suffixes)];
    std::shared_ptr<io::File> log;
    OffsetIndex offsets;
    TimeIndex times;
    TransactionIndex transactions;
    std::int64_t transaction_bytes = 0;
    TimestampOffset largest;
    std::vector<std::uint8_t> pending;
    std::int64_t written = 0;
    std::int64_t bytes_since_entry = 0;
};

// --- the cleaning

Compaction::Compaction(CompactionPlan plan)
    : plan_(std::move(plan)),
      keys_(plan_.means.key_map_bytes, plan_.means.key_map_load_factor, plan_.means.secret),
      latest_(plan_.first_dirty - 1),
      mapped_transactions_(&plan_.aborted),
      cleaned_transactions_(&plan_.aborted) {
    // The key map begins where the dirty part does.
    while (source_ < plan_.sources.size() && plan_.sources[source_].end <= plan_.first_dirty)
        ++source_;
}

Compaction::~Compaction() = default;

IoResult<Compaction::Progress> Compaction::step(std::int64_t bytes) {
    budget_ = bytes;
    switch (phase_) {
        case Phase::mapping: PABAL_TRY(map_some()); break;
        case Phase::cleaning: PABAL_TRY(clean_some()); break;
        case Phase::closing:
            PABAL_TRY(close_group());
            phase_ = Phase::handing_over;
            return Progress::segment_ready;
        case Phase::handing_over:
            output_.reset();
            source_ = 0;
            phase_ = ++group_ < groups_.size() ? Phase::cleaning : Phase::finished;
            break;
        case Phase::finished: break;
    }
    return phase_ == Phase::finished ? Progress::finished : Progress::working;
}

void Compaction::discard() {
    if (!output_) return;
    for (const auto& path : output_->paths) (void)plan_.disk->remove(path);
    output_.reset();
}

IoError Compaction::damaged(const CompactionSource& source, const std::string& what) const {
    return IoError{0, source.file->path() + " cannot be compacted at position " +
                          std::to_string(scanner_->position()) + ": " + what};
}

IoResult<bool> Compaction::next_batch(const CompactionSource& source) {
    if (!scanner_) scanner_.emplace(*source.file, 0, source.size, BatchScanner::recovery_window);
    PABAL_TRY_ASSIGN(const bool found, scanner_->next());
    if (!found) {
        if (scanner_->stop() != BatchScanner::Stop::end) return damaged(source, scanner_->reason());
        scanner_.reset();
        return false;
    }
    PABAL_TRY_ASSIGN(const auto batch, scanner_->whole());
    if (!batch.crc_is_right()) return damaged(source, "the checksum of its batch is wrong");
    const auto size = static_cast<std::int64_t>(batch.size());
    budget_ -= size;
    io_bytes_ += size;
    return true;
}

IoResult<ByteView> Compaction::records_of(const record::RecordBatchView& batch) {
    if (batch.record_count() == 0) return ByteView();
    const auto codec = batch.compression();
    if (codec == record::Compression::none) return batch.records();
    if (!codec) return IoError{0, "its batch has an unknown codec"};
    auto inflated = codecs_.decompress(*codec, batch.records(), max_inflated_bytes);
    if (!inflated.ok()) return IoError{0, inflated.error().message};
    inflated_ = std::move(*inflated);
    return inflated_.view();
}

IoStatus Compaction::map_some() {
    while (source_ < plan_.sources.size() && budget_ > 0) {
        const auto& source = plan_.sources[source_];
        PABAL_TRY_ASSIGN(const bool found, next_batch(source));
        if (!found) {
            latest_ = source.end - 1;
            ++source_;
            continue;
        }
        PABAL_TRY_ASSIGN(const bool mapped, map_batch(source));
        if (mapped) continue;
        REACHED("compaction-needs-several-passes");
        source_ = plan_.sources.size();
    }
    if (source_ < plan_.sources.size()) return {};
    scanner_.reset();
    make_groups();
    source_ = 0;
    phase_ = groups_.empty() ? Phase::finished : Phase::cleaning;
    return {};
}

IoResult<bool> Compaction::map_batch(const CompactionSource& source) {
    const auto& batch = scanner_->batch();
    const bool aborted = mapped_transactions_.may_discard(batch);
    if (!batch.is_control() && !aborted) {
        const auto records = records_of(batch);
        if (!records.ok()) return damaged(source, records.error().message);
        record::RecordReader reader(batch, *records);
        while (true) {
            const auto record = reader.next();
            if (!record.ok()) return damaged(source, record.error().message);
            if (!*record) break;
            if (!(*record)->key || (*record)->offset < plan_.first_dirty) continue;
            if (keys_.full()) return false;
            keys_.put(*(*record)->key, (*record)->offset);
            latest_ = (*record)->offset;
        }
    }
    latest_ = std::max(latest_, batch.last_offset());
    return true;
}

// Neighbours become one segment while that keeps within the bounds of a segment.
void Compaction::make_groups() {
    std::int64_t bytes = 0;
    std::int64_t index_bytes = 0;
    for (std::size_t i = 0; i < plan_.sources.size(); ++i) {
        const auto& source = plan_.sources[i];
        if (source.base > latest_) break;
        bytes_before_ += source.size;
        bytes += source.size;
        index_bytes += source.index_bytes;
        const bool fits = !groups_.empty() && groups_.back().size() < most_sources &&
                          bytes <= plan_.config.segment_bytes &&
                          index_bytes <= plan_.config.segment_index_bytes &&
                          source.end - 1 - plan_.sources[groups_.back().front()].base <= INT32_MAX;
        if (!fits) {
            groups_.emplace_back();
            bytes = source.size;
            index_bytes = source.index_bytes;
        }
        groups_.back().push_back(i);
    }
}

IoStatus Compaction::clean_some() {
    const auto& group = groups_[group_];
    if (!output_) {
        output_ = std::make_unique<Output>(*plan_.disk, plan_.directory,
                                           plan_.sources[group.front()].base);
        // Of a cleaning that failed.
        for (const auto& path : output_->paths) PABAL_TRY(plan_.disk->remove(path));
        PABAL_TRY_ASSIGN(output_->log,
                         plan_.disk->open(output_->paths[0], io::OpenMode::create_new));
        PABAL_TRY(output_->times.load());
    }
    while (source_ < group.size() && budget_ > 0) {
        const auto& source = plan_.sources[group[source_]];
        PABAL_TRY_ASSIGN(const bool found, next_batch(source));
        if (!found) {
            ++source_;
            continue;
        }
        PABAL_TRY(clean_batch(source));
    }
    if (source_ == group.size()) phase_ = Phase::closing;
    return {};
}

bool Compaction::is_last_of_producer(const record::RecordBatchView& batch) const {
    if (!batch.has_producer_id()) return false;
    const auto found = plan_.producers.find(batch.producer_id());
    if (found == plan_.producers.end()) return false;
    const auto& producer = found->second;
    if (producer.last_data_offset) return *producer.last_data_offset == batch.last_offset();
    return batch.is_control() && producer.epoch == batch.producer_epoch();
}

bool Compaction::survives(const record::RecordBatchView& batch,
                          const record::RecordView& record) const {
    if (record.offset > latest_) return true;
    if (!record.key) return false;
    const auto newest = keys_.find(*record.key);
    if (newest && (record.offset < *newest || SABOTAGED("compaction-drops-the-newest")))
        return false;
    if (record.value) return true;
    const auto horizon = batch.delete_horizon();
    return !horizon || plan_.now < *horizon;
}

IoStatus Compaction::clean_batch(const CompactionSource& source) {
    const auto& batch = scanner_->batch();
    std::optional<AbortedTransactionEntry> kept_abort;
    const bool discardable = cleaned_transactions_.may_discard(batch, &kept_abort);
    if (kept_abort) {
        PABAL_TRY(output_->transactions.append(*kept_abort));
        output_->transaction_bytes += static_cast<std::int64_t>(TransactionIndex::entry_size);
    }
    const auto horizon = batch.delete_horizon();
    // A marker without a transaction waits like a tombstone, for readers who began before.
    const bool discarded =
        discardable && (!batch.is_control() || (horizon && *horizon <= plan_.now));

    std::vector<record::RecordView> retained;
    bool has_tombstones = false;
    if (!discarded) {
        const auto records = records_of(batch);
        if (!records.ok()) return damaged(source, records.error().message);
        record::RecordReader reader(batch, *records);
        while (true) {
            const auto record = reader.next();
            if (!record.ok()) return damaged(source, record.error().message);
            if (!*record) break;
            if (!batch.is_control() && !survives(batch, **record)) continue;
            if (!(*record)->value) has_tombstones = true;
            retained.push_back(**record);
        }
    }

    const Offset last = batch.last_offset();
    const auto add = [&](ByteView bytes, std::int64_t max_timestamp) {
        io_bytes_ += static_cast<std::int64_t>(bytes.size());
        return output_->add(bytes, last, max_timestamp, plan_.config.index_interval_bytes);
    };
    if (retained.empty()) {
        // Where the cleaning ends the offset must not be lost, or a reader would wait there.
        if (!is_last_of_producer(batch) && batch.next_offset() != plan_.end) return {};
        REACHED("compaction-keeps-an-empty-batch");
        return add(empty_batch(batch), batch.max_timestamp().milliseconds);
    }
    const bool begins_to_wait = !horizon && (has_tombstones || (discardable && batch.is_control()));
    if (retained.size() == static_cast<std::size_t>(batch.record_count()) && !begins_to_wait)
        return add(batch.bytes(), batch.max_timestamp().milliseconds);
    auto waits_until = horizon;
    if (begins_to_wait) {
        const std::int64_t wait = plan_.config.delete_retention_milliseconds;
        const std::int64_t now = plan_.now.milliseconds;
        waits_until = WallTime{wait > INT64_MAX - now ? INT64_MAX : now + wait};
    }
    const Bytes bytes = rebuilt(batch, retained, waits_until, codecs_);
    const auto view = record::RecordBatchView::parse(bytes);
    ASSERT(view.ok(), "what was built can be read");
    return add(bytes, view->max_timestamp().milliseconds);
}

IoStatus Compaction::close_group() {
    auto& output = *output_;
    PABAL_TRY(output.write());
    if (output.largest.timestamp >= 0) output.times.append_if_larger(output.largest);
    PABAL_TRY(output.offsets.file().write());
    PABAL_TRY(output.times.file().write());
    if (!SABOTAGED("cleaned-segment-is-not-synced")) PABAL_TRY(output.log->sync());
    for (const auto& file :
         {output.offsets.file().file(), output.times.file().file(), output.transactions.file()}) {
        if (file) PABAL_TRY(file->sync());
    }
    bytes_after_ += output.written;

    cleaned_ = CleanedSegment();
    for (const auto index : groups_[group_]) cleaned_.replaces.push_back(plan_.sources[index].base);
    cleaned_.base = cleaned_.replaces.front();
    cleaned_.files.log = output.written;
    cleaned_.files.offset_index =
        static_cast<std::int64_t>(output.offsets.count() * OffsetIndex::entry_size);
    cleaned_.files.time_index =
        static_cast<std::int64_t>(output.times.count() * TimeIndex::entry_size);
    cleaned_.files.transaction_index = output.transaction_bytes;
    cleaned_.max_timestamp = output.largest;
    return {};
}

}  // namespace pabal::log
