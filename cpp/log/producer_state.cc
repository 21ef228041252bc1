#include "log/producer_state.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/probe.h"
#include "log/big_endian.h"
#include "log/partition_log.h"

namespace pabal::log {
namespace {

constexpr std::int32_t no_sequence = -1;

std::int32_t first_sequence(std::int32_t last_sequence, std::int32_t offset_delta) {
    return static_cast<std::int32_t>((std::int64_t{last_sequence} - offset_delta) & INT32_MAX);
}

bool in_sequence(std::int32_t last, std::int32_t next) {
    return next == std::int64_t{last} + 1 || (next == 0 && last == INT32_MAX);
}

Error refusal(ErrorCode code, const ProducerBatch& batch, const char* what, std::int64_t asked,
              std::int64_t known) {
    return Error{code, "producer " + std::to_string(batch.producer.value()) + " at offset " +
                           std::to_string(batch.base_offset.value()) + ": " + what + " " +
                           std::to_string(asked) + ", but the log holds " + std::to_string(known)};
}

}  // namespace

void ProducerState::Producer::take_epoch(ProducerEpoch next) {
    if (epoch == next) return;
    epoch = next;
    batch_count = 0;
}

void ProducerState::Producer::remember(const Batch& batch) {
    if (batch_count == remembered_batches) {
        std::move(batches.begin() + 1, batches.end(), batches.begin());
        --batch_count;
    }
    batches[batch_count++] = batch;
}

std::optional<ProducerState::Written> ProducerState::duplicate_of(
    const ProducerBatch& batch) const {
    const auto found = producers_.find(batch.producer);
    if (found == producers_.end() || found->second.epoch != batch.epoch) return std::nullopt;
    const Producer& producer = found->second;
    for (int i = 0; i < producer.batch_count; ++i) {
        const Batch& known = producer.batches[i];
        if (known.last_sequence == batch.last_sequence &&
            first_sequence(known.last_sequence, known.offset_delta) == batch.base_sequence) {
            return Written{known.last_offset - known.offset_delta, known.last_offset,
                           known.timestamp};
        }
    }
    return std::nullopt;
}

Status ProducerState::check(const ProducerBatch& batch, AppendOrigin origin) const {
    const auto found = producers_.find(batch.producer);
    if (found == producers_.end()) return {};  // Any sequence may begin a producer's history here.
    const Producer& producer = found->second;
    if (batch.epoch < producer.epoch && !SABOTAGED("producer-epoch-is-not-checked")) {
        return refusal(ErrorCode::invalid_producer_epoch, batch, "epoch", batch.epoch.value(),
                       producer.epoch.value());
    }
    if (batch.marker) {
        if (batch.marker->coordinator_epoch < producer.coordinator_epoch) {
            return refusal(ErrorCode::transaction_coordinator_fenced, batch, "coordinator epoch",
                           batch.marker->coordinator_epoch, producer.coordinator_epoch);
        }
        return {};
    }
    if (origin == AppendOrigin::client) {
        if (batch.epoch != producer.epoch) {
            if (batch.base_sequence != 0 && producer.epoch != no_producer_epoch) {
                return refusal(ErrorCode::out_of_order_sequence_number, batch,
                               "a new epoch begins with sequence number", batch.base_sequence,
                               producer.last_sequence());
            }
        } else if (producer.epoch != no_producer_epoch &&
                   !in_sequence(producer.last_sequence(), batch.base_sequence)) {
            return refusal(ErrorCode::out_of_order_sequence_number, batch, "sequence number",
                           batch.base_sequence, producer.last_sequence());
        }
    }
    if (producer.transaction_start && !batch.transactional) {
        return refusal(ErrorCode::invalid_txn_state, batch,
                       "a batch outside of the open transaction, sequence number",
                       batch.base_sequence, producer.last_sequence());
    }
    return {};
}

std::optional<CompletedTransaction> ProducerState::appended(const ProducerBatch& batch) {
    Producer& producer = producers_[batch.producer];
    if (!batch.marker) {
        producer.take_epoch(batch.epoch);
        producer.remember({batch.last_sequence,
                           static_cast<std::int32_t>(batch.last_offset - batch.base_offset),
                           batch.last_offset, batch.max_timestamp});
        producer.last_timestamp = batch.max_timestamp;
        if (batch.transactional && !producer.transaction_start) {
            producer.transaction_start = batch.base_offset;
            open_transactions_[batch.base_offset] = {batch.producer, Offset(-1)};
        }
        return std::nullopt;
    }

    const std::optional<Offset> start = producer.transaction_start;
    producer.take_epoch(batch.epoch);
    producer.coordinator_epoch = batch.marker->coordinator_epoch;
    producer.transaction_start.reset();
    producer.last_timestamp = batch.max_timestamp;
    if (!start) return std::nullopt;  // A marker without data moves nothing.

    open_transactions_.erase(*start);
    completed_transactions_[*start] = {batch.producer, batch.last_offset};
    const Offset stable =
        open_transactions_.empty() ? batch.last_offset + 1 : open_transactions_.begin()->first;
    return CompletedTransaction{batch.producer, *start, batch.last_offset, stable,
                                batch.marker->abort};
}

std::vector<ActiveProducer> ProducerState::active_producers() const {
    std::vector<ActiveProducer> all;
    all.reserve(producers_.size());
    for (const auto& [id, producer] : producers_) all.push_back(describe(id, producer));
    return all;
}

std::optional<ActiveProducer> ProducerState::active_producer(ProducerId producer) const {
    const auto found = producers_.find(producer);
    if (found == producers_.end()) return std::nullopt;
    return describe(producer, found->second);
}

ActiveProducer ProducerState::describe(ProducerId id, const Producer& producer) {
    std::optional<Offset> last_data_offset;
    if (producer.batch_count > 0)
        last_data_offset = producer.batches[producer.batch_count - 1].last_offset;
    return {id,
            producer.epoch,
            producer.last_sequence(),
            producer.last_timestamp,
            producer.coordinator_epoch,
            producer.transaction_start,
            last_data_offset};
}

std::optional<Offset> ProducerState::first_unstable_offset(Offset high_watermark) const {
    std::optional<Offset> first;
    if (!open_transactions_.empty()) first = open_transactions_.begin()->first;
    for (const auto& [start, transaction] : completed_transactions_) {
        if (first && *first <= start) break;
        if (transaction.last_offset < high_watermark) continue;
        first = start;
        break;
    }
    return first;
}

void ProducerState::forget_completed_below(Offset high_watermark) {
    std::erase_if(completed_transactions_,
                  [&](const auto& entry) { return entry.second.last_offset < high_watermark; });
}

void ProducerState::forget_expired(WallTime now, Duration expiration) {
    const std::int64_t limit = expiration.to_milliseconds();
    std::erase_if(producers_, [&](const auto& entry) {
        return !entry.second.transaction_start &&
               now.milliseconds - entry.second.last_timestamp >= limit;
    });
}

namespace {

constexpr std::int16_t snapshot_version = 1;
constexpr std::size_t snapshot_crc_position = 2;
constexpr std::size_t snapshot_entries_position = 6;  // The CRC covers all from here on.
constexpr std::size_t snapshot_header_size = 10;
constexpr std::size_t snapshot_entry_size = 46;

}  // namespace

std::string ProducerState::snapshot() const {
    std::string content(snapshot_header_size + producers_.size() * snapshot_entry_size, '\0');
    auto* at = reinterpret_cast<std::uint8_t*>(content.data());
    put_big_endian(at, snapshot_version);
    put_big_endian(at + snapshot_entries_position, static_cast<std::int32_t>(producers_.size()));
    std::uint8_t* entry = at + snapshot_header_size;
    for (const auto& [id, producer] : producers_) {
        const bool any = producer.batch_count > 0;
        const Batch last = any ? producer.batches[producer.batch_count - 1] : Batch{};
        put_big_endian(entry, id.value());
        put_big_endian(entry + 8, producer.epoch.value());
        put_big_endian(entry + 10, any ? last.last_sequence : no_sequence);
        put_big_endian(entry + 14, any ? last.last_offset.value() : std::int64_t{-1});
        put_big_endian(entry + 22, any ? last.offset_delta : 0);
        put_big_endian(entry + 26, producer.last_timestamp);
        put_big_endian(entry + 34, producer.coordinator_epoch);
        put_big_endian(entry + 38, producer.transaction_start.value_or(Offset(-1)).value());
        entry += snapshot_entry_size;
    }
    put_big_endian(at + snapshot_crc_position,
                   crc32c(as_bytes(content).subspan(snapshot_entries_position)));
    return content;
}

Status ProducerState::load_snapshot(ByteView content, WallTime now, Duration expiration) {
    const auto bad = [](std::string what) {
        return Error{ErrorCode::corrupt_message, "producer snapshot: " + std::move(what)};
    };
    if (content.size() < snapshot_header_size) return bad("shorter than its header");
    const std::uint8_t* at = content.data();
    if (const auto version = get_big_endian<std::int16_t>(at); version != snapshot_version) {
        return bad("version " + std::to_string(version) + ", only 1 is known");
    }
    if (get_big_endian<std::uint32_t>(at + snapshot_crc_position) !=
        crc32c(content.subspan(snapshot_entries_position))) {
        return bad("its checksum is wrong");
    }
    const auto count = get_big_endian<std::int32_t>(at + snapshot_entries_position);
    if (count < 0 || content.size() - snapshot_header_size !=
                         static_cast<std::size_t>(count) * snapshot_entry_size) {
        return bad("its size does not fit " + std::to_string(count) + " entries");
    }

    *this = ProducerState();
    const std::int64_t limit = expiration.to_milliseconds();
    for (std::int32_t i = 0; i < count; ++i) {
        const std::uint8_t* entry =
            at + snapshot_header_size + std::size_t(i) * snapshot_entry_size;
        const ProducerId id(get_big_endian<std::int64_t>(entry));
        Producer producer;
        producer.epoch = ProducerEpoch(get_big_endian<std::int16_t>(entry + 8));
        producer.last_timestamp = get_big_endian<std::int64_t>(entry + 26);
        producer.coordinator_epoch = get_big_endian<std::int32_t>(entry + 34);
        const Offset start(get_big_endian<std::int64_t>(entry + 38));
        if (start >= Offset(0)) {
            producer.transaction_start = start;
            open_transactions_[start] = {id, Offset(-1)};
        } else if (now.milliseconds - producer.last_timestamp >= limit) {
            continue;
        }
        const Offset last_offset(get_big_endian<std::int64_t>(entry + 14));
        if (last_offset >= Offset(0)) {
            producer.remember({get_big_endian<std::int32_t>(entry + 10),
                               get_big_endian<std::int32_t>(entry + 22), last_offset,
                               producer.last_timestamp});
        }
        producers_[id] = producer;
    }
    return {};
}

}  // namespace pabal::log
