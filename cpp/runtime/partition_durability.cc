// What of a partition's log survives a loss of power: what was flushed to its own files, and what
// the commit journal of its log directory holds. With flush.messages=1 nothing beyond that is
// acknowledged, read, or claimed to a leader.

#include <algorithm>

#include "base/probe.h"
#include "io/gate.h"
#include "io/ports.h"
#include "runtime/journal_writer.h"
#include "runtime/partition.h"
#include "runtime/partition_directory.h"
#include "runtime/partitions.h"

namespace pabal::runtime {

Offset Partition::committable_end() const {
    if (config_->log.flush_messages == 1) return std::min(log_->log_end_offset(), durable_end_);
    return log_->log_end_offset();
}

bool Partition::synced_to(Offset end) const {
    return log_ && log_->recovery_point() >= end;
}

bool Partition::may_claim_end() {
    if (!log_ || config_->log.flush_messages != 1) return true;
    const Offset end = log_->log_end_offset();
    if (durable_end_ >= end) return true;
    if (flush_target_ < end || !journaled_ || reset_pending_) want_flush();
    return false;
}

// The journal, if what is appended now may go there. Before the partition's directory is durable,
// and before all that stood there once is forgotten, it may not.
JournalWriter* Partition::journal() const {
    if (config_->log.flush_messages != 1 || !names_synced_ || reset_pending_) return nullptr;
    auto* journal = directory_->journal;
    return journal && journal->usable() ? journal : nullptr;
}

void Partition::make_durable(const std::vector<log::WrittenBatches>& written) {
    const auto flush_messages = config_->log.flush_messages;
    if (flush_messages == INT64_MAX) return;
    const Offset end = log_->log_end_offset();
    auto* journal = written.empty() ? nullptr : directory_->journal;
    if (journal && journal->add(this, directory_name_, written)) {
        journaled_ = true;
        flush_target_ = end;
        return;
    }
    if (end - std::max(flush_target_, durable_end_) >= flush_messages) {
        flush_target_ = end;
        want_flush();
    }
}

bool Partition::journaled(std::uint32_t life, Offset from, Offset end) {
    if (!log_ || life != life_) return false;
    if (from != journaled_end_) journaled_from_ = from;
    journaled_end_ = end;
    return true;
}

void Partition::made_durable() {
    if (!log_) return;
    note_durable();
    advance();
    if (!waiters_.empty()) wake(false);
}

void Partition::note_durable() {
    if (reset_pending_) return;
    durable_end_ = std::max(durable_end_, log_->recovery_point());
    if (journaled_from_ <= durable_end_) durable_end_ = std::max(durable_end_, journaled_end_);
}

// The log was opened or cut: where something stood something else may stand from now on. What the
// journal holds must never come back over it, so nothing more is durable before it is forgotten.
void Partition::begin_life() {
    ++life_;
    const Offset end = log_->log_end_offset();
    journaled_from_ = journaled_end_ = Offset(0);
    flush_target_ = std::min(flush_target_, end);
    durable_end_ = std::min(durable_end_, end);
    reset_pending_ = journaled_;
    note_durable();
    if (reset_pending_) want_flush();
}

io::Task<ErrorCode> Partition::durable(Offset end, Instant deadline) {
    const auto self = shared_from_this();
    if (!log_) co_return unavailable();
    if (durable_end_ >= end) co_return ErrorCode::none;
    if (flush_target_ < end || !journaled_ || reset_pending_) want_flush();
    const Waiter waiter{Offset(0), end, Offset(0), nullptr};
    const auto error = co_await wait_for_disk(waiter, deadline);
    co_return error;
}

io::Task<ErrorCode> Partition::flushed(Offset end, Instant deadline) {
    const auto self = shared_from_this();
    if (!log_) co_return unavailable();
    if (log_->recovery_point() >= end) co_return ErrorCode::none;
    want_flush();
    const Waiter waiter{Offset(0), Offset(0), Offset(0), nullptr, end};
    const auto error = co_await wait_for_disk(waiter, deadline);
    co_return error;
}

io::Task<ErrorCode> Partition::wait_for_disk(Waiter waiter, Instant deadline) {
    io::Gate gate(partitions_->clock());
    waiter.gate = &gate;
    waiters_.push_back(waiter);
    const bool in_time = co_await gate.opened(deadline);
    std::erase_if(waiters_, [&](const Waiter& other) { return other.gate == &gate; });
    if (!in_time) co_return ErrorCode::request_timed_out;
    if (!log_) co_return unavailable();
    co_return satisfied(waiter) ? ErrorCode::none : ErrorCode::kafka_storage_error;
}

void Partition::want_flush() {
    flush_wanted_ = true;
    if (flushing_ || !log_) return;
    flushing_ = true;
    io::detach(flush_while_wanted());
}

io::Task<void> Partition::flush_while_wanted() {
    const auto self = shared_from_this();
    const Partitions::Background background(partitions_);
    io::Disk* disk = &partitions_->ports().disk;
    JournalWriter* journal = directory_->journal;
    while (flush_wanted_ && log_) {
        flush_wanted_ = false;
        const auto generation = log_generation_;
        const auto life = life_;
        const std::uint64_t mark = journal ? journal->mark() : 0;
        auto prepared = log_->prepare_flush();
        if (!prepared.ok()) {
            // Nothing was promised durable yet, and the log goes on: no reason to give the disk up.
            flush_target_ = durable_end_;
            partitions_->append_failed(this, prepared.error());
            wake(true);
            break;
        }
        partitions_->count_unflushed(this);
        auto flush = std::move(prepared).value();
        const bool sync_names = !names_synced_ && !SABOTAGED("partition-name-is-not-synced");
        const std::string directory = log_->directory();
        const std::string parent = directory_->path;
        IoStatus status;
        std::function<void()> work = [&] {
            status = flush.run();
            if (status.ok() && sync_names) status = sync_partition_names(*disk, parent, directory);
        };
        co_await disk->run(work);
        ++partitions_->traffic_.flushes;
        partitions_->traffic_.file_syncs += flush.sync_count() + (sync_names ? 3 : 0);
        if (!log_ || log_generation_ != generation) break;
        if (!status.ok()) {
            partitions_->directory_failed(directory_, status.error().message);
            break;
        }
        names_synced_ = true;
        log_->flushed(flush);
        if (journal && life == life_) journal->flushed(id_, mark);
        partitions_->save_checkpoint(*this);
        if (reset_pending_ && life == life_) {
            journal->forget(id_, directory_name_);
            const bool forgotten = co_await journal->written();
            if (!forgotten || !log_ || log_generation_ != generation) break;
            if (life == life_) reset_pending_ = journaled_ = false;
        }
        made_durable();
    }
    flushing_ = false;
    // A log that came meanwhile may want one too.
    if (flush_wanted_ && log_) want_flush();
}

}  // namespace pabal::runtime
