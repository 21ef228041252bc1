#include "runtime/partition.h"

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"
#include "io/gate.h"
#include "io/ports.h"
#include "record/record_batch.h"
#include "runtime/partition_directory.h"
#include "runtime/partitions.h"

namespace pabal::runtime {

using replication::RequiredAcks;

void PartitionObserver::observe(Partition* partition, Interest interest) {
    unobserve();
    interest_ = interest;
    partition_ = partition;
    next_ = partition->observers_;
    if (next_) next_->link_ = &next_;
    link_ = &partition->observers_;
    partition->observers_ = this;
}

void PartitionObserver::unobserve() {
    if (!partition_) return;
    *link_ = next_;
    if (next_) next_->link_ = link_;
    partition_ = nullptr;
    next_ = nullptr;
    link_ = nullptr;
}

Partition::Partition(Partitions* partitions, std::shared_ptr<const std::string> topic_name,
                     TopicPartition id, LogDirectory* directory,
                     std::shared_ptr<const TopicConfig> config)
    : partitions_(partitions),
      topic_name_(std::move(topic_name)),
      id_(id),
      directory_(directory),
      directory_name_(std::make_shared<const std::string>(
          partition_directory_name(*topic_name_, id.partition))),
      config_(std::move(config)) {}

Partition::~Partition() {
    ASSERT(waiters_.empty(), "nobody waits for a partition that goes");
    while (observers_) observers_->unobserve();
}

ErrorCode Partition::unavailable() const {
    if (log_) return ErrorCode::none;
    if (moved_away_) return ErrorCode::not_leader_or_follower;
    return deleted_ ? ErrorCode::unknown_topic_or_partition : ErrorCode::kafka_storage_error;
}

Offset Partition::last_stable_offset() const {
    return log_ ? log_->last_stable_offset(high_watermark()) : Offset(0);
}

Offset Partition::readable_end(replication::Isolation isolation) const {
    return isolation == replication::Isolation::read_committed ? last_stable_offset()
                                                               : high_watermark();
}

ErrorCode Partition::check_leads(LeaderEpoch current) const {
    if (!log_) return unavailable();
    return leader_->check_leads(current);
}

ErrorCode Partition::end_is_known() const {
    return leader_ && leader_->leads() && leader_->epoch_start() > leader_->high_watermark()
               ? ErrorCode::offset_not_available
               : ErrorCode::none;
}

std::optional<LeaderEpoch> Partition::latest_epoch() const {
    // The log learns of an epoch with its first batch; Kafka's when the leader takes over.
    if (leads()) return leader_->epoch();
    return log_ ? log_->latest_epoch() : std::nullopt;
}

std::optional<replication::EpochEnd> Partition::end_of_epoch(LeaderEpoch epoch) const {
    if (!log_ || epoch < LeaderEpoch(0)) return std::nullopt;
    const Offset log_end = log_->log_end_offset();
    if (leads()) {
        if (epoch > leader_->epoch()) return std::nullopt;
        if (epoch == leader_->epoch()) return replication::EpochEnd{epoch, log_end};
        const auto latest = log_->latest_epoch();
        if (!latest) return replication::EpochEnd{epoch, log_end};
        if (epoch > *latest) return replication::EpochEnd{*latest, log_end};
    }
    const auto end = log_->end_of_epoch(epoch);
    if (!end) return std::nullopt;
    return replication::EpochEnd{end->epoch, end->end_offset};
}

AppendOutcome Partition::append(const Bytes& records, RequiredAcks acks, bool zstd_allowed) {
    AppendOutcome outcome;
    outcome.error = unavailable();
    if (outcome.error == ErrorCode::none) outcome.error = leader_->prepare(acks);
    if (outcome.error != ErrorCode::none) return outcome;

    const WallTime now = partitions_->clock().wall_now();
    const auto validate = [&](const record::ValidationRules& rules) {
        return record::validate(records, rules, now, partitions_->codecs());
    };
    auto validated = [&] {
        if (zstd_allowed) return validate(config_->rules);
        auto rules = config_->rules;
        rules.zstd_allowed = false;
        return validate(rules);
    }();
    if (!validated.ok()) {
        ++partitions_->traffic_.batches_rejected;
        outcome.error = validated.error().error.code;
        outcome.message = validated.error().error.message;
        outcome.record_errors = validated.error().record_errors;
        // A refusal of single records tells where the log starts, as Kafka's does.
        if (!outcome.record_errors.empty()) outcome.log_start_offset = log_->log_start_offset();
        return outcome;
    }
    return append_validated(*validated, log::AppendOrigin::client, now);
}

AppendOutcome Partition::append_trusted(const Bytes& batch, RequiredAcks acks,
                                        log::AppendOrigin origin) {
    AppendOutcome outcome;
    outcome.error = unavailable();
    if (outcome.error == ErrorCode::none) outcome.error = leader_->prepare(acks);
    if (outcome.error != ErrorCode::none) return outcome;
    return append_validated(record::trusted(batch), origin, partitions_->clock().wall_now());
}

bool Partition::has_open_transaction(ProducerId producer, ProducerEpoch epoch) const {
    if (!log_) return false;
    const auto known = log_->active_producer(producer);
    return known && known->epoch == epoch && known->transaction_start.has_value();
}

AppendOutcome Partition::append_validated(const record::ValidatedBatch& batch,
                                          log::AppendOrigin origin, WallTime now) {
    AppendOutcome outcome;
    std::vector<log::WrittenBatches> written;
    auto appended =
        log_->append(batch, leader_->epoch(), now, origin, journal() ? &written : nullptr);
    if (!appended.ok()) {
        outcome.error = appended.error().code;
        outcome.message = appended.error().message;
        outcome.log_start_offset = log_->log_start_offset();
        // What followed a batch that the disk refused is out of order for no fault of its producer.
        // Told so, librdkafka takes a new epoch, and sends once more what other partitions hold.
        if (outcome.error == ErrorCode::out_of_order_sequence_number &&
            refused_producers_.contains(batch.producer_id)) {
            outcome.error = ErrorCode::kafka_storage_error;
            outcome.message = "the disk refused an earlier batch of this producer";
            return outcome;
        }
        if (outcome.error == ErrorCode::kafka_storage_error) {
            if (batch.producer_id != no_producer_id) refused_producers_.insert(batch.producer_id);
            ++partitions_->traffic_.storage_errors;
            partitions_->append_failed(this, IoError{0, outcome.message});
            REACHED("write-is-refused");
            if (SABOTAGED("refused-write-is-acknowledged")) outcome.error = ErrorCode::none;
        }
        return outcome;
    }
    if (!refused_producers_.empty()) refused_producers_.erase(batch.producer_id);
    outcome.base_offset = appended->base_offset;
    outcome.end_offset = appended->last_offset + 1;
    outcome.append_time = appended->append_time;
    outcome.log_start_offset = appended->log_start_offset;
    outcome.reign = reign_;

    if (batch.control) ++marker_count_;
    auto& traffic = partitions_->traffic_;
    if (appended->duplicate) {
        ++traffic.duplicate_batches;
    } else {
        ++traffic.batches_in;
        traffic.bytes_in += batch.bytes.size();
        traffic.records_in += static_cast<std::uint64_t>(batch.record_count);
        partitions_->count_unflushed(this);
    }
    make_durable(written);
    outcome.awaits_flush = outcome.end_offset <= flush_target_ && outcome.end_offset > durable_end_;
    advance();
    return outcome;
}

replication::LogBounds Partition::bounds() const {
    return {log_->log_start_offset(), log_->log_end_offset()};
}

void Partition::advance() {
    if (!leads()) return;
    const bool alone = leader_->followers().empty();
    const auto now = alone ? Instant() : partitions_->clock().now();
    const bool moved = leader_->appended(log_->log_end_offset(), committable_end(), now);
    if (!alone) changed(PartitionObserver::Interest::appended_records);
    if (moved) committed();
}

void Partition::committed() {
    if (!waiters_.empty()) wake(false);
    changed(PartitionObserver::Interest::committed_records);
}

bool Partition::satisfied(const Waiter& waiter) const {
    return waiter.committed <= high_watermark() && waiter.durable <= durable_end_ &&
           waiter.flushed <= log_->recovery_point() &&
           (waiter.low_watermark == Offset(0) || waiter.low_watermark <= low_watermark());
}

void Partition::wake(bool all) {
    std::erase_if(waiters_, [&](const Waiter& waiter) {
        if (!all && !satisfied(waiter)) return false;
        waiter.gate->open();
        return true;
    });
}

void Partition::changed(PartitionObserver::Interest what) {
    using Interest = PartitionObserver::Interest;
    for (auto* observer = observers_; observer; observer = observer->next_) {
        if (what == Interest::standing || observer->interest_ == what) {
            observer->partition_changed(true);
        } else if (what == Interest::committed_records &&
                   observer->interest_ == Interest::appended_records) {
            // Followers hear of the high watermark with the next records or when their wait is
            // over; at once only if consumers may read from them.
            observer->partition_changed(partitions_->rack_aware());
        }
    }
}

bool Partition::must_wait(const AppendOutcome& appended, RequiredAcks acks) const {
    if (appended.error != ErrorCode::none || acks == RequiredAcks::none) return false;
    if (SABOTAGED("acknowledges-before-the-sync")) return false;
    if (appended.awaits_flush) return true;
    if (SABOTAGED("acknowledges-before-the-high-watermark")) return false;
    return acks == RequiredAcks::all && high_watermark() < appended.end_offset;
}

io::Task<ErrorCode> Partition::acknowledged(Offset end, bool awaits_flush, std::uint32_t reign,
                                            RequiredAcks acks, Instant deadline) {
    const auto self = shared_from_this();
    const bool all = acks == RequiredAcks::all;
    const Waiter waiter{all ? end : Offset(0), awaits_flush ? end : Offset(0), Offset(0), nullptr};
    const auto error = co_await wait_for(waiter, reign, deadline);
    if (awaits_flush && error == ErrorCode::none) ++partitions_->traffic_.durable_acknowledgements;
    if (error != ErrorCode::none || !all) co_return error;
    co_return leader_->enough_replicas();
}

io::Task<ErrorCode> Partition::deleted_everywhere(Offset offset, Instant deadline) {
    const auto self = shared_from_this();
    const Waiter waiter{Offset(0), Offset(0), offset, nullptr};
    const auto reign = reign_;
    const auto error = co_await wait_for(waiter, reign, deadline);
    co_return error;
}

io::Task<ErrorCode> Partition::wait_for(Waiter waiter, std::uint32_t reign, Instant deadline) {
    const auto self = shared_from_this();
    if (!log_) co_return unavailable();
    if (!leads() || reign != reign_) co_return ErrorCode::not_leader_or_follower;
    if (satisfied(waiter)) co_return ErrorCode::none;
    io::Gate gate(partitions_->clock());
    waiter.gate = &gate;
    waiters_.push_back(waiter);
    const bool in_time = co_await gate.opened(deadline);
    if (!in_time) {
        std::erase_if(waiters_, [&](const Waiter& other) { return other.gate == &gate; });
        co_return ErrorCode::request_timed_out;
    }
    if (!log_) co_return unavailable();
    if (!leads() || reign != reign_) co_return ErrorCode::not_leader_or_follower;
    co_return satisfied(waiter) ? ErrorCode::none : ErrorCode::kafka_storage_error;
}

ReadOutcome Partition::read(const replication::ReadPlace& place, replication::Isolation isolation,
                            std::int32_t max_bytes, bool at_least_one,
                            replication::Reader reader) const {
    ReadOutcome outcome;
    outcome.error = unavailable();
    if (outcome.error != ErrorCode::none) return outcome;
    const Offset stable =
        SABOTAGED("reads-past-the-last-stable-offset") ? high_watermark() : last_stable_offset();
    auto readable = leader_->readable(place, isolation, bounds(), stable,
                                      end_of_epoch(place.last_fetched_epoch), reader);
    if (SABOTAGED("reads-past-the-high-watermark")) readable.bound = log_->log_end_offset();
    return read_up_to(readable, place.offset, isolation, max_bytes, at_least_one);
}

bool Partition::throttled_as_follower() const {
    return config_->throttled_followers.holds(id_.partition, partitions_->broker_id());
}

ReadOutcome Partition::read_as_follower(const replication::ReadPlace& place,
                                        const replication::FollowerFetch& fetch, bool is_news,
                                        std::int32_t max_bytes, bool at_least_one) {
    ReadOutcome outcome;
    outcome.error = unavailable();
    if (outcome.error != ErrorCode::none) return outcome;
    constexpr auto isolation = replication::Isolation::read_uncommitted;
    auto readable =
        leader_->readable(place, isolation, bounds(), Offset(0),
                          end_of_epoch(place.last_fetched_epoch), replication::Reader::follower);
    if (is_news && readable.error == ErrorCode::none && !readable.diverging)
        readable.error = note_follower(fetch);
    const bool throttled =
        config_->throttled_leaders.holds(id_.partition, partitions_->broker_id()) &&
        !leader_->is_in_sync(fetch.follower);
    if (throttled && partitions_->leader_quota().exceeded(partitions_->clock().now()))
        readable.bound = std::min(readable.bound, place.offset);
    outcome = read_up_to(readable, place.offset, isolation, max_bytes, at_least_one);
    outcome.throttled = throttled;
    return outcome;
}

ReadOutcome Partition::read_up_to(const replication::Readable& readable, Offset from,
                                  replication::Isolation isolation, std::int32_t max_bytes,
                                  bool at_least_one) const {
    ReadOutcome outcome;
    outcome.error = readable.error;
    if (outcome.error != ErrorCode::none) return outcome;
    outcome.high_watermark = high_watermark();
    outcome.last_stable_offset = last_stable_offset();
    outcome.log_start_offset = log_->log_start_offset();
    outcome.readable_end = readable.bound;
    outcome.diverging = readable.diverging;
    if (outcome.diverging || from >= outcome.readable_end) return outcome;

    auto found = log_->read(from, outcome.readable_end, max_bytes, at_least_one);
    if (!found.ok()) {
        ReadOutcome failed;
        failed.error = found.error().code;
        if (failed.error == ErrorCode::kafka_storage_error) partitions_->judge_disk(*this);
        return failed;
    }
    outcome.records = std::move(found->records);
    if (isolation == replication::Isolation::read_committed && !outcome.records.empty() &&
        !SABOTAGED("aborted-transactions-are-not-told")) {
        auto aborted = log_->aborted_transactions(from, readable.bound);
        if (!aborted.ok()) {
            ReadOutcome failed;
            failed.error = aborted.error().code;
            return failed;
        }
        outcome.aborted_transactions = std::move(*aborted);
    }
    return outcome;
}

ErrorCode Partition::note_follower(const replication::FollowerFetch& fetch) {
    const auto fetched = leader_->fetched(fetch, bounds(), partitions_->clock().now());
    if (fetched.error != ErrorCode::none) return fetched.error;
    if (fetched.high_watermark_moved) {
        committed();
    } else if (fetched.log_start_moved && !waiters_.empty()) {
        wake(false);
    }
    if (fetched.may_join) partitions_->want_isr_change(this);
    return ErrorCode::none;
}

bool Partition::is_eligible(const replication::Follower& follower) const {
    return partitions_->is_eligible(follower.id, follower.broker_epoch) &&
           partitions_->has_its_directory(id_, follower.id);
}

void Partition::judge_followers() {
    if (!log_ || !leads() || leader_->followers().empty()) return;
    const auto eligible = [this](const replication::Follower& each) { return is_eligible(each); };
    if (leader_->judge(eligible, partitions_->clock().now())) committed();
    // A replica that died holds DeleteRecords up no longer.
    if (!waiters_.empty()) wake(false);
    partitions_->want_isr_change(this);
}

std::optional<replication::IsrChange> Partition::next_isr_change() {
    if (!log_ || !leads()) return std::nullopt;
    if (auto change = leader_->recovered()) return change;
    if (auto change = leader_->expand()) return change;
    return leader_->shrink(bounds(), partitions_->clock().now());
}

void Partition::isr_answered(const replication::IsrChange& change,
                             const replication::IsrAnswer& answer) {
    if (!log_ || !leads()) return;
    if (leader_->answered(change, answer, partitions_->clock().now())) committed();
    leadership_ = leader_->leadership();
    // Others may have caught up while this was decided.
    if (answer.error == ErrorCode::none) partitions_->want_isr_change(this);
}

BrokerId Partition::preferred_read_replica(std::string_view rack, Offset offset) const {
    if (rack.empty() || !log_ || !leads()) return no_broker;
    if (partitions_->rack_of(partitions_->broker_id()) == rack) return no_broker;
    const replication::Follower* best = nullptr;
    for (const auto& follower : leader_->followers()) {
        // One that lags would hold its readers up for as long as it does.
        if (!follower.in_sync || !is_eligible(follower)) continue;
        if (follower.log_end < offset || follower.log_start > offset) continue;
        if (partitions_->rack_of(follower.id) != rack) continue;
        if (!best || follower.log_end > best->log_end) best = &follower;
    }
    return best ? best->id : no_broker;
}

Offset Partition::low_watermark() const {
    if (!log_) return Offset(-1);
    return leader_->low_watermark(log_->log_start_offset(), [this](BrokerId id) {
        return partitions_->is_eligible(id, BrokerEpoch(-1));
    });
}

replication::FollowerPlace Partition::ask(replication::PartitionFollower* follower) const {
    return follower->ask(bounds(), leader_epoch(), log_->latest_epoch());
}

replication::FollowerStep Partition::answered(const replication::PartitionFollower& follower,
                                              const replication::LeaderAnswer& answer) const {
    if (!follows()) return {};
    replication::FollowerLog log{bounds(), leader_epoch(), std::nullopt};
    if (answer.diverging) log.diverging_here = end_of_epoch(answer.diverging->epoch);
    return follower.answered(answer, log);
}

replication::FollowerStep Partition::bounds_told(const replication::PartitionFollower& follower,
                                                 replication::LogBounds leader) const {
    if (!follows()) return {};
    return follower.bounds_told(leader, {bounds(), leader_epoch(), std::nullopt});
}

ReplicateOutcome Partition::replicate(const Bytes& batches,
                                      const replication::LeaderAnswer& answer) {
    ReplicateOutcome outcome;
    const auto failed = [&](ErrorCode error, std::string message, int errno_value) {
        outcome.error = error;
        outcome.message = std::move(message);
        ++partitions_->traffic_.storage_errors;
        partitions_->append_failed(this, IoError{errno_value, outcome.message});
        return outcome;
    };
    const auto now = partitions_->clock().wall_now();
    if (!batches.empty()) {
        record::BatchWalker walker(batches);
        const auto first = walker.next();
        const Offset asked = log_->log_end_offset();
        const bool empty = asked == log_->log_start_offset();
        const bool starts_within = first.ok() && *first && (*first)->base_offset() < asked;
        // The leader's log starts in the midst of a batch: an empty log takes it as a whole.
        if (starts_within && empty && (*first)->next_offset() > asked) {
            const auto restarted = log_->truncate_fully_and_start_at((*first)->base_offset());
            if (!restarted.ok())
                return failed(ErrorCode::kafka_storage_error, restarted.error().message,
                              restarted.error().errno_value);
            begin_life();
        }
        std::vector<log::WrittenBatches> written;
        const auto appended =
            log_->append_as_follower(batches, now, journal() ? &written : nullptr);
        if (!appended.ok()) {
            // What is damaged on its way is no fault of this disk: it is asked for again.
            if (appended.error().code == ErrorCode::kafka_storage_error)
                return failed(appended.error().code, appended.error().message, 0);
            outcome.error = appended.error().code;
            outcome.message = appended.error().message;
            return outcome;
        }
        if (starts_within && empty && log_->log_end_offset() >= asked) {
            const auto raised = log_->raise_log_start_offset(asked);
            if (!raised.ok())
                return failed(ErrorCode::kafka_storage_error, raised.error().message,
                              raised.error().errno_value);
            outcome.start_moved = true;
        }
        partitions_->traffic_.bytes_replicated += batches.size();
        partitions_->count_unflushed(this);
        make_durable(written);
        outcome.awaits_flush = config_->log.flush_messages == 1;
    }
    const Offset start = std::min(answer.log_start, log_->log_end_offset());
    if (start > log_->log_start_offset()) {
        const auto raised = log_->raise_log_start_offset(start);
        if (!raised.ok())
            return failed(ErrorCode::kafka_storage_error, raised.error().message,
                          raised.error().errno_value);
        leader_->log_start_moved(start);
        outcome.start_moved = true;
        partitions_->remove_deleted_files(this);
    }
    if (outcome.start_moved) {
        partitions_->save_checkpoint(*this);
        changed();
    }
    if (leader_->committed(answer.high_watermark, bounds())) committed();
    return outcome;
}

IoStatus Partition::cut(Offset offset) {
    const auto cut = log_->truncate_to(offset);
    begin_life();
    leader_->truncated(bounds());
    partitions_->save_checkpoint(*this);
    partitions_->count_unflushed(this);
    partitions_->log_truncated(*this);
    if (!cut.ok()) partitions_->append_failed(this, cut.error());
    changed();
    return cut;
}

IoStatus Partition::restart(Offset offset) {
    const auto restarted = log_->truncate_fully_and_start_at(offset);
    begin_life();
    leader_->truncated(bounds());
    partitions_->save_checkpoint(*this);
    partitions_->count_unflushed(this);
    partitions_->log_truncated(*this);
    if (!restarted.ok()) partitions_->append_failed(this, restarted.error());
    changed();
    return restarted;
}

Result<Offset> Partition::delete_records(Offset offset) {
    const auto error = check_leads(no_leader_epoch);
    if (error != ErrorCode::none) return Error{error, {}};
    if (config_->rules.compacted && !config_->log.retention_deletes) {
        return Error{ErrorCode::policy_violation, "records of " + *topic_name_ +
                                                      " cannot be deleted: its cleanup.policy is "
                                                      "compact without delete"};
    }
    if (offset == Offset(-1)) offset = high_watermark();
    if (offset < Offset(0) || offset > high_watermark()) {
        return Error{ErrorCode::offset_out_of_range, "offset " + std::to_string(offset.value()) +
                                                         " is not within 0 and the high "
                                                         "watermark, " +
                                                         std::to_string(high_watermark().value())};
    }
    if (offset > log_->log_start_offset()) {
        const auto raised = log_->raise_log_start_offset(offset);
        if (!raised.ok()) {
            partitions_->append_failed(this, raised.error());
            return Error{ErrorCode::kafka_storage_error, raised.error().message};
        }
        leader_->log_start_moved(offset);
        if (!SABOTAGED("deleted-records-return")) partitions_->save_checkpoint(*this);
        partitions_->remove_deleted_files(this);
        changed();
    }
    return log_->log_start_offset();
}

void Partition::opened(std::unique_ptr<log::PartitionLog> log, Offset high_watermark) {
    ASSERT(!log_, "a partition has one log");
    log_ = std::move(log);
    ++log_generation_;
    flush_target_ = durable_end_ = log_->recovery_point();
    leader_.emplace(partitions_->broker_id(), high_watermark, bounds(),
                    partitions_->replica_lag_max());
    leader_->set_min_in_sync_replicas(config_->min_in_sync_replicas);
    saved_high_watermark_ = leader_->high_watermark();
    names_synced_ = log_->recovery_point() > Offset(0);
    begin_life();
    lead(leadership_);
}

void Partition::lead(const replication::Leadership& leadership) {
    if (leadership.epoch < leadership_.epoch) return;
    if (leadership.epoch == leadership_.epoch &&
        leadership.partition_epoch < leadership_.partition_epoch)
        return;
    leadership_ = leadership;
    if (!log_) return;
    const bool led = leads();
    leader_->lead(leadership_, bounds(), committable_end(), partitions_->clock().now());
    if (led && !leads()) ++reign_;
    if (!leads()) refused_producers_.clear();
    wake(led && !leads());
    if (leads() && committable_end() < log_->log_end_offset()) want_flush();
    if (leads()) partitions_->want_isr_change(this);
    changed();
}

void Partition::set_config(std::shared_ptr<const TopicConfig> config) {
    config_ = std::move(config);
    if (!log_) return;
    log_->set_config(config_->log);
    leader_->set_min_in_sync_replicas(config_->min_in_sync_replicas);
    if (config_->log.flush_messages == 1 && durable_end_ < log_->log_end_offset()) want_flush();
    advance();
    partitions_->count_unflushed(this);
}

std::unique_ptr<log::PartitionLog> Partition::shut() {
    auto log = std::move(log_);
    if (leads()) ++reign_;
    if (leader_) leader_->resign();
    wake(true);
    changed();
    partitions_->count_unflushed(this);
    return log;
}

}  // namespace pabal::runtime
