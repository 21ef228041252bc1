#include "runtime/coordinator_log.h"

#include "record/batch_builder.h"
#include "record/compression.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"

namespace pabal::runtime {
namespace {

using replication::RequiredAcks;

constexpr std::int32_t read_bytes = 1 << 20;
constexpr std::size_t inflated_limit_bytes = 256u << 20;
// A batch takes no further request once it is this large.
constexpr std::size_t batch_bytes = 256 << 10;

// What a client of the coordinator is told of a failed append (Kafka's mapping).
ErrorCode client_error(ErrorCode error) {
    switch (error) {
        case ErrorCode::none: return ErrorCode::none;
        case ErrorCode::not_leader_or_follower:
        case ErrorCode::kafka_storage_error:
        case ErrorCode::fenced_leader_epoch:
        case ErrorCode::not_coordinator: return ErrorCode::not_coordinator;
        // A transaction that goes on elsewhere.
        case ErrorCode::invalid_producer_epoch:
        case ErrorCode::invalid_txn_state:
        case ErrorCode::transaction_coordinator_fenced: return error;
        case ErrorCode::unknown_topic_or_partition:
        case ErrorCode::not_enough_replicas:
        case ErrorCode::not_enough_replicas_after_append:
        case ErrorCode::request_timed_out: return ErrorCode::coordinator_not_available;
        default: return ErrorCode::unknown_server_error;
    }
}

Bytes slice(const Bytes& whole, ByteView part) {
    if (part.empty()) return Bytes();
    return whole.slice(static_cast<std::size_t>(part.data() - whole.data()), part.size());
}

// Replays the records of one batch from `from` on.
Status replay_batch(const Bytes& bytes, const record::RecordBatchView& batch, Offset from,
                    record::Codecs& codecs, const CoordinatorLog::Replay& replay,
                    const CoordinatorLog::TransactionEnded& ended) {
    PABAL_TRY_ASSIGN(Bytes records,
                     record::inflate_records(bytes, batch, codecs, inflated_limit_bytes));
    record::RecordReader reader(batch, records.view());
    const ProducerId producer = batch.is_transactional() ? batch.producer_id() : no_producer_id;
    while (true) {
        PABAL_TRY_ASSIGN(auto record, reader.next());
        if (!record) return Status();
        if (record->offset < from || !record->key) continue;
        if (batch.is_control()) {
            const auto type = record::control_record_type(*record->key);
            const bool commit = type == record::ControlRecordType::commit;
            if (ended && (commit || type == record::ControlRecordType::abort))
                ended(batch.producer_id(), commit);
            continue;
        }
        record::KeyValue pair{slice(records, *record->key), std::nullopt};
        if (record->value) pair.value = slice(records, *record->value);
        replay(pair, record->offset, producer);
    }
}

}  // namespace

ErrorCode CoordinatorLog::check_leads() const {
    if (closed_) return closed_because_;
    if (!partition_->log() || !partition_->leads() || partition_->leader_epoch() != epoch_)
        return ErrorCode::not_coordinator;
    return ErrorCode::none;
}

io::Task<Status> CoordinatorLog::load(std::shared_ptr<CoordinatorLog> self, Replay replay,
                                      TransactionEnded ended) {
    ErrorCode error = self->check_leads();
    if (error != ErrorCode::none) co_return Error{error, "this broker leads the partition no more"};
    Offset next = self->partition_->log()->log_start_offset();
    const Offset end = self->partition_->log()->log_end_offset();
    if (next >= end) co_return Status();
    if (self->partition_->high_watermark() < end) {
        // The followers may never come; whoever closes this log does not wait for them.
        auto committed = std::make_shared<Committed>(self->ports_->clock);
        self->awaited_ = committed;
        io::detach(await_committed(self, end, committed));
        Instant never = Instant::never();
        co_await committed->gate.opened(never);
        self->awaited_.reset();
        error = self->closed_ ? self->closed_because_ : committed->error;
        if (error != ErrorCode::none)
            co_return Error{error, "its records did not become committed"};
    }
    record::Codecs codecs;
    while (next < end) {
        error = self->check_leads();
        if (error != ErrorCode::none)
            co_return Error{error, "this broker leads the partition no more"};
        ReadOutcome read = self->partition_->read({next}, replication::Isolation::read_uncommitted,
                                                  read_bytes, true);
        if (read.error != ErrorCode::none || read.records.empty()) {
            co_return Error{ErrorCode::kafka_storage_error,
                            "nothing can be read at offset " + std::to_string(next.value())};
        }
        std::optional<Bytes> bytes;
        std::function<void()> work = [&bytes, &read] { bytes = read.records.flatten(); };
        co_await self->ports_->disk.run(work);
        if (!bytes) {
            co_return Error{ErrorCode::kafka_storage_error,
                            "the disk failed at offset " + std::to_string(next.value())};
        }
        record::BatchWalker walker(bytes->view());
        while (true) {
            auto batch = walker.next();
            if (!batch.ok()) co_return batch.error();
            if (!*batch) break;
            Status replayed = replay_batch(*bytes, **batch, next, codecs, replay, ended);
            if (!replayed.ok()) {
                co_return Error{replayed.error().code,
                                "the batch at offset " +
                                    std::to_string((*batch)->base_offset().value()) + " " +
                                    replayed.error().message};
            }
            next = (*batch)->next_offset();
        }
    }
    co_return Status();
}

io::Task<void> CoordinatorLog::await_committed(std::shared_ptr<CoordinatorLog> self, Offset end,
                                               std::shared_ptr<Committed> committed) {
    Instant never = Instant::never();
    const auto reign = self->partition_->reign();
    const auto error =
        co_await self->partition_->acknowledged(end, false, reign, RequiredAcks::all, never);
    committed->error = error;
    committed->gate.open();
}

void CoordinatorLog::write(const std::shared_ptr<CoordinatorLog>& self,
                           std::vector<record::KeyValue> records, Done done, Producer producer) {
    // What writes nothing is no part of a transaction either.
    if (records.empty()) producer = {};
    if (records.empty() && self->pending_.empty() && !self->appending_ && !self->closed_) {
        done(ErrorCode::none);
        return;
    }
    enqueue(self, {std::move(records), std::move(done), producer, std::nullopt});
}

void CoordinatorLog::write_marker(const std::shared_ptr<CoordinatorLog>& self, Marker marker,
                                  Done done) {
    ++self->marker_count_;
    enqueue(self, {{}, std::move(done), {}, marker});
}

ErrorCode CoordinatorLog::check(Producer producer) const {
    const ErrorCode error = check_leads();
    if (error != ErrorCode::none) return error;
    const auto known = partition_->log()->active_producer(producer.id);
    return known && known->epoch > producer.epoch ? ErrorCode::invalid_producer_epoch
                                                  : ErrorCode::none;
}

ErrorCode CoordinatorLog::check(const Marker& marker) const {
    const ErrorCode error = check(marker.producer);
    if (error != ErrorCode::none) return error;
    // It is late: what is open has begun since.
    if (marker.bumps_epoch && has_open_transaction(marker.producer))
        return ErrorCode::invalid_producer_epoch;
    const auto known = partition_->log()->active_producer(marker.producer.id);
    return known && known->coordinator_epoch > marker.coordinator_epoch
               ? ErrorCode::transaction_coordinator_fenced
               : ErrorCode::none;
}

bool CoordinatorLog::has_open_transaction(Producer producer) const {
    return partition_->has_open_transaction(producer.id, producer.epoch);
}

void CoordinatorLog::enqueue(const std::shared_ptr<CoordinatorLog>& self, Write write) {
    if (self->closed_) {
        write.done(self->closed_because_);
        return;
    }
    self->pending_.push_back(std::move(write));
    if (self->appending_) return;
    self->appending_ = true;
    // What else this turn brings goes into the same batch.
    self->ports_->clock.post([self] { io::detach(append_pending(self)); });
}

io::Task<void> CoordinatorLog::append_pending(std::shared_ptr<CoordinatorLog> self) {
    while (!self->pending_.empty()) {
        std::vector<Write> writes;
        std::size_t size = 0;
        std::size_t count = 0;
        for (const Write& write : self->pending_) {
            if (size > batch_bytes || (count > 0 && write.has_own_batch())) break;
            for (const record::KeyValue& record : write.records)
                size += record.key.size() + (record.value ? record.value->size() : 0);
            ++count;
            if (write.has_own_batch()) break;
        }
        const auto taken = self->pending_.begin() + static_cast<std::ptrdiff_t>(count);
        writes.assign(std::make_move_iterator(self->pending_.begin()),
                      std::make_move_iterator(taken));
        self->pending_.erase(self->pending_.begin(), taken);
        ErrorCode error = self->check_leads();
        if (error == ErrorCode::none && (size > 0 || writes.front().marker)) {
            AppendOutcome appended = self->partition_->append_trusted(
                self->build(writes), RequiredAcks::all, log::AppendOrigin::coordinator);
            error = appended.error;
            if (self->partition_->must_wait(appended, RequiredAcks::all)) {
                Offset end = appended.end_offset;
                Instant never = Instant::never();
                error = co_await self->partition_->acknowledged(
                    end, appended.awaits_flush, appended.reign, RequiredAcks::all, never);
                if (self->closed_) error = self->closed_because_;
            }
        }
        error = client_error(error);
        for (Write& write : writes) write.done(error);
        if (error != ErrorCode::none) self->close(error);
    }
    self->appending_ = false;
}

Bytes CoordinatorLog::build(const std::vector<Write>& writes) const {
    const WallTime now = ports_->clock.wall_now();
    const Write& first = writes.front();
    if (first.marker) {
        const auto type = first.marker->commit ? record::ControlRecordType::commit
                                               : record::ControlRecordType::abort;
        return record::end_transaction_marker(type, first.marker->producer.id,
                                              first.marker->producer.epoch,
                                              first.marker->coordinator_epoch, now);
    }
    record::BatchOptions options;
    if (first.producer.id != no_producer_id) {
        options.transactional = true;
        options.producer_id = first.producer.id;
        options.producer_epoch = first.producer.epoch;
    }
    record::RecordBatchBuilder builder(options);
    for (const Write& write : writes) {
        for (const record::KeyValue& record : write.records) {
            std::optional<ByteView> value;
            if (record.value) value = record.value->view();
            builder.append(now, record.key.view(), value);
        }
    }
    return builder.build();
}

void CoordinatorLog::close(ErrorCode error) {
    if (!closed_) closed_because_ = error;
    closed_ = true;
    if (awaited_) awaited_->gate.open();
    std::vector<Write> pending = std::move(pending_);
    pending_.clear();
    for (Write& write : pending) write.done(closed_because_);
}

}  // namespace pabal::runtime
