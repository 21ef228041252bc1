#include "transaction/shard.h"

#include <algorithm>

#include "base/assert.h"
#include "base/probe.h"

namespace pabal::transaction {
namespace {

// From this client and feature version on every end of a transaction bumps the epoch (KIP-890).
constexpr std::int16_t version_with_epoch_bump = 2;
constexpr int first_end_version_with_bump = 5;
constexpr Duration overdue_pause = Duration::milliseconds(100);

ProducerEpoch epoch_after(ProducerEpoch epoch) {
    ASSERT(epoch.value() < INT16_MAX, "one epoch is left for fencing");
    return ProducerEpoch(static_cast<std::int16_t>(epoch.value() + 1));
}

bool is_exhausted(ProducerEpoch epoch) {
    Transaction transaction;
    transaction.producer_epoch = epoch;
    return transaction.is_epoch_exhausted();
}

// Nobody is given it: it could not be fenced.
bool is_for_fencing(ProducerEpoch epoch) {
    return epoch.value() == INT16_MAX;
}

bool holds(const Partitions& all, const Partitions& some) {
    for (const auto& [topic, partitions] : some) {
        const auto found = all.find(topic);
        if (found == all.end() || !std::includes(found->second.begin(), found->second.end(),
                                                 partitions.begin(), partitions.end()))
            return false;
    }
    return true;
}

}  // namespace

const Transaction* Shard::find(const std::string& transactional_id) const {
    const auto found = transactions_.find(transactional_id);
    return found == transactions_.end() ? nullptr : &found->second.transaction;
}

void Shard::set(const std::string& transactional_id, Transaction next, Moment moment) {
    Entry& entry = transactions_[transactional_id];
    entry.transaction = std::move(next);
    Instant due = Instant::never();
    if (entry.transaction.state == State::ongoing) {
        const std::int64_t ends = entry.transaction.start_timestamp + entry.transaction.timeout_ms;
        // The clock of the coordinator before may have been far ahead.
        const std::int64_t left = std::clamp<std::int64_t>(
            ends - moment.wall.milliseconds + 1, 0, std::int64_t{entry.transaction.timeout_ms} + 1);
        // One that is overdue when it is loaded is overdue again whenever its end cannot be
        // written.
        due = moment.now + (left > 0 ? Duration::milliseconds(left) : overdue_pause);
    }
    if (due == entry.armed) return;
    if (entry.armed != Instant::never()) timers_.erase({entry.armed, transactional_id});
    entry.armed = due;
    if (due != Instant::never()) timers_.emplace(due, transactional_id);
}

void Shard::write(const std::string& transactional_id, Transaction next, Moment moment,
                  Effects* effects) {
    next.last_update_timestamp = moment.wall.milliseconds;
    // As Kafka writes it: who had the transactional id before this record, mostly the same one.
    if (const Transaction* known = find(transactional_id)) {
        const bool same_epoch =
            known->producer_id == next.producer_id && known->producer_epoch == next.producer_epoch;
        if (!same_epoch || known->state != next.state)
            next.previous_producer_id = known->producer_id;
    } else {
        next.previous_producer_id = next.producer_id;
    }
    effects->records.push_back(transaction_record(transactional_id, next, transaction_version_));
    set(transactional_id, std::move(next), moment);
}

// --- loading

Status Shard::replay(const record::KeyValue& record, Moment moment) {
    PABAL_TRY_ASSIGN(auto parsed, parse_transaction_record(record.key, record.value));
    if (!parsed) return Status();
    if (parsed->transaction) {
        set(parsed->transactional_id, std::move(*parsed->transaction), moment);
        return Status();
    }
    const auto found = transactions_.find(parsed->transactional_id);
    if (found == transactions_.end()) return Status();
    timers_.erase({found->second.armed, found->first});
    transactions_.erase(found);
    return Status();
}

Markers Shard::markers_of(const std::string& transactional_id,
                          const Transaction& transaction) const {
    Markers markers;
    markers.producer = {transactional_id, transaction.producer_id, transaction.producer_epoch};
    markers.commit = transaction.state == State::prepare_commit;
    markers.transaction_version = transaction.client_transaction_version;
    markers.partitions = transaction.partitions;
    return markers;
}

void Shard::loaded(Effects* effects) const {
    for (const auto& [id, entry] : transactions_) {
        if (!is_prepared(entry.transaction.state)) continue;
        REACHED("transaction-ends-after-its-coordinator-moved");
        if (SABOTAGED("markers-are-forgotten-at-load")) continue;
        effects->markers.push_back(markers_of(id, entry.transaction));
    }
}

// --- producers

bool Shard::needs_producer_id(const std::string& transactional_id) const {
    const Transaction* known = find(transactional_id);
    return !known || known->is_epoch_exhausted();
}

bool Shard::is_ending(const std::string& transactional_id) const {
    const Transaction* known = find(transactional_id);
    return known && is_prepared(known->state);
}

wire::InitProducerIdResponse Shard::init_producer_id(const wire::InitProducerIdRequest& request,
                                                     std::optional<ProducerId> fresh, Moment moment,
                                                     Effects* effects) {
    wire::InitProducerIdResponse response;
    response.producer_epoch = no_producer_epoch;
    const auto refuse = [&](ErrorCode error) {
        response.error_code = error;
        return response;
    };
    const std::string& id = *request.transactional_id;
    if (id.empty()) return refuse(ErrorCode::invalid_request);
    if (request.transaction_timeout_ms <= 0 ||
        request.transaction_timeout_ms > settings_->max_timeout_ms)
        return refuse(ErrorCode::invalid_transaction_timeout);
    // KIP-360: the producer goes on under the id that it had, after an error.
    const bool goes_on = request.producer_id != no_producer_id;
    const ProducerEpoch had = request.producer_epoch;
    Transaction next;
    if (const Transaction* known = find(id)) {
        const bool is_retry_of_rotation =
            request.producer_id == known->previous_producer_id && is_exhausted(had);
        if (goes_on && request.producer_id != known->producer_id && !is_retry_of_rotation)
            return refuse(ErrorCode::producer_fenced);
        const bool is_current = !goes_on || had == known->producer_epoch;
        const bool is_retry = goes_on && had == known->last_producer_epoch;
        if (is_prepared(known->state)) return refuse(ErrorCode::concurrent_transactions);
        if (!is_current && !is_retry) return refuse(ErrorCode::producer_fenced);
        if (known->state == State::ongoing) {
            // Its producer is gone, or gave up: what it wrote is taken back first.
            REACHED("producer-is-fenced-by-another");
            fence(id, moment, effects);
            return refuse(ErrorCode::concurrent_transactions);
        }
        next = *known;
        const bool rotates =
            is_current ? known->is_epoch_exhausted() : is_for_fencing(known->producer_epoch);
        if (rotates) {
            ASSERT(fresh, "an id is at hand when one is needed");
            next.producer_id = *fresh;
            next.producer_epoch = ProducerEpoch(0);
            next.last_producer_epoch = goes_on ? had : no_producer_epoch;
        } else if (!is_current) {
            // A retry of what was answered before; the answer is the same.
        } else {
            if (!SABOTAGED("producer-epoch-is-given-twice"))
                next.producer_epoch = epoch_after(known->producer_epoch);
            next.last_producer_epoch = goes_on ? known->producer_epoch : no_producer_epoch;
        }
    } else {
        ASSERT(fresh, "an id is at hand when one is needed");
        next.producer_id = *fresh;
        next.producer_epoch = ProducerEpoch(0);
    }
    next.state = State::empty;
    next.timeout_ms = request.transaction_timeout_ms;
    next.partitions.clear();
    next.start_timestamp = -1;
    response.producer_id = next.producer_id;
    response.producer_epoch = next.producer_epoch;
    write(id, std::move(next), moment, effects);
    return response;
}

// The producer's epoch is taken from it before its transaction is aborted. The epoch that does it
// is given to nobody.
void Shard::fence(const std::string& transactional_id, Moment moment, Effects* effects) {
    Transaction next = *find(transactional_id);
    const bool bumps = transaction_version_ >= version_with_epoch_bump;
    next.last_producer_epoch = bumps ? next.producer_epoch : no_producer_epoch;
    next.producer_epoch = epoch_after(next.producer_epoch);
    next.next_producer_id = no_producer_id;
    next.client_transaction_version = bumps ? transaction_version_ : std::int16_t{0};
    begin_end(transactional_id, std::move(next), false, moment, effects);
}

// --- transactions

ErrorCode Shard::add_partitions(const Producer& producer, const Partitions& partitions,
                                std::int16_t client_transaction_version, Moment moment,
                                Effects* effects) {
    if (producer.transactional_id.empty()) return ErrorCode::invalid_request;
    const Transaction* known = find(producer.transactional_id);
    if (!known || known->producer_id != producer.id) return ErrorCode::invalid_producer_id_mapping;
    if (known->producer_epoch != producer.epoch) return ErrorCode::producer_fenced;
    if (is_prepared(known->state)) return ErrorCode::concurrent_transactions;
    if (known->state == State::ongoing && holds(known->partitions, partitions))
        return ErrorCode::none;
    Transaction next = *known;
    if (known->state != State::ongoing) {
        next.start_timestamp = moment.wall.milliseconds;
        next.partitions.clear();
    }
    next.state = State::ongoing;
    next.client_transaction_version = client_transaction_version;
    for (const auto& [topic, added] : partitions)
        next.partitions[topic].insert(added.begin(), added.end());
    write(producer.transactional_id, std::move(next), moment, effects);
    return ErrorCode::none;
}

ErrorCode Shard::verify(const Producer& producer, const std::string& topic,
                        PartitionIndex partition) const {
    if (producer.transactional_id.empty()) return ErrorCode::invalid_request;
    const Transaction* known = find(producer.transactional_id);
    if (!known || known->producer_id != producer.id) return ErrorCode::invalid_producer_id_mapping;
    if (known->producer_epoch != producer.epoch) return ErrorCode::producer_fenced;
    if (is_prepared(known->state)) return ErrorCode::concurrent_transactions;
    const auto found = known->partitions.find(topic);
    const bool takes_part = known->state == State::ongoing && found != known->partitions.end() &&
                            found->second.contains(partition);
    return takes_part ? ErrorCode::none : ErrorCode::transaction_abortable;
}

wire::EndTxnResponse Shard::end(const wire::EndTxnRequest& request, int version,
                                std::optional<ProducerId> fresh, Moment moment, Effects* effects) {
    wire::EndTxnResponse response;
    const auto refuse = [&](ErrorCode error) {
        response.error_code = error;
        return response;
    };
    const std::string& id = request.transactional_id;
    if (id.empty()) return refuse(ErrorCode::invalid_request);
    const Transaction* known = find(id);
    if (!known) return refuse(ErrorCode::invalid_producer_id_mapping);

    const bool bumps = version >= first_end_version_with_bump;
    // A request whose answer was lost comes again with the epoch, or id, of before.
    const bool is_retry_of_bump =
        bumps && known->client_transaction_version >= version_with_epoch_bump &&
        request.producer_epoch.value() + 1 == known->producer_epoch.value();
    const bool is_retry_of_rotation = bumps && known->previous_producer_id == request.producer_id &&
                                      is_exhausted(request.producer_epoch) &&
                                      known->producer_epoch == ProducerEpoch(0);
    const bool is_retry = is_retry_of_bump || is_retry_of_rotation;
    if (known->producer_id != request.producer_id && !is_retry_of_rotation)
        return refuse(ErrorCode::invalid_producer_id_mapping);
    const bool is_current = known->producer_epoch == request.producer_epoch &&
                            known->producer_id == request.producer_id;
    const bool may_be_retry =
        bumps && known->state != State::empty && known->state != State::ongoing && is_retry;
    const bool is_fenced =
        bumps && is_prepared(known->state) ? !may_be_retry : !is_current && !may_be_retry;
    if (is_fenced) return refuse(ErrorCode::producer_fenced);

    const bool is_again = bumps ? may_be_retry : true;  // If the state says so too.
    // With KIP-890 a producer may abort what no partition has heard of.
    const bool may_abort_nothing = bumps && !request.committed && !may_be_retry;
    const auto tell = [&](const Transaction& told) {
        const bool rotates = told.next_producer_id != no_producer_id;
        response.producer_id = rotates ? told.next_producer_id : told.producer_id;
        response.producer_epoch = rotates ? ProducerEpoch(0) : told.producer_epoch;
        return response;
    };
    switch (known->state) {
        case State::ongoing: break;
        case State::empty:
            if (may_abort_nothing) break;
            return refuse(ErrorCode::invalid_txn_state);
        case State::prepare_commit:
        case State::prepare_abort:
            return refuse(request.committed == (known->state == State::prepare_commit)
                              ? ErrorCode::concurrent_transactions
                              : ErrorCode::invalid_txn_state);
        case State::complete_commit:
        case State::complete_abort:
            if (is_again && request.committed == (known->state == State::complete_commit))
                return tell(*known);
            if (may_abort_nothing) break;
            return refuse(ErrorCode::invalid_txn_state);
        case State::dead:
        case State::prepare_epoch_fence: ASSERT(false, "no record says so");
    }
    Transaction next = *known;
    next.client_transaction_version = bumps ? version_with_epoch_bump : std::int16_t{0};
    if (known->state != State::ongoing) {
        next.partitions.clear();
        next.start_timestamp = moment.wall.milliseconds;
    }
    if (bumps) {
        if (known->is_epoch_exhausted()) {
            ASSERT(fresh, "an id is at hand when one is needed");
            REACHED("producer-gets-another-id");
            next.next_producer_id = *fresh;
        }
        next.last_producer_epoch = known->producer_epoch;
        next.producer_epoch = epoch_after(known->producer_epoch);
    }
    tell(next);
    begin_end(id, std::move(next), request.committed, moment, effects);
    return response;
}

void Shard::begin_end(const std::string& transactional_id, Transaction next, bool commit,
                      Moment moment, Effects* effects) {
    next.state = commit ? State::prepare_commit : State::prepare_abort;
    write(transactional_id, std::move(next), moment, effects);
    const Transaction& begun = *find(transactional_id);
    const bool is_marked = begun.partitions.empty();
    if (!is_marked) effects->markers.push_back(markers_of(transactional_id, begun));
    if (is_marked || SABOTAGED("completes-before-the-markers"))
        complete(transactional_id, moment, effects);
}

void Shard::complete(const std::string& transactional_id, Moment moment, Effects* effects) {
    Transaction next = *find(transactional_id);
    next.state =
        next.state == State::prepare_commit ? State::complete_commit : State::complete_abort;
    if (next.next_producer_id != no_producer_id) {
        next.producer_id = next.next_producer_id;
        next.producer_epoch = ProducerEpoch(0);
        next.next_producer_id = no_producer_id;
    }
    next.partitions.clear();
    write(transactional_id, std::move(next), moment, effects);
}

void Shard::marked(const Markers& markers, Moment moment, Effects* effects) {
    const Transaction* known = find(markers.producer.transactional_id);
    if (!known || !is_prepared(known->state) || known->producer_id != markers.producer.id ||
        known->producer_epoch != markers.producer.epoch)
        return;
    complete(markers.producer.transactional_id, moment, effects);
}

// --- what operators see

wire::DescribeTransactionsResponse::TransactionState Shard::describe(
    const std::string& transactional_id) const {
    wire::DescribeTransactionsResponse::TransactionState described;
    described.transactional_id = transactional_id;
    const Transaction* known = find(transactional_id);
    if (transactional_id.empty()) {
        described.error_code = ErrorCode::invalid_request;
    } else if (!known) {
        described.error_code = ErrorCode::transactional_id_not_found;
    } else {
        described.transaction_state = state_name(known->state);
        described.transaction_timeout_ms = known->timeout_ms;
        described.transaction_start_time_ms = known->start_timestamp;
        described.producer_id = known->producer_id;
        described.producer_epoch = known->producer_epoch;
        for (const auto& [topic, partitions] : known->partitions) {
            auto& each = described.topics.emplace_back();
            each.topic = topic;
            each.partitions.assign(partitions.begin(), partitions.end());
        }
    }
    return described;
}

void Shard::list(const Filter& filter, Moment moment,
                 std::vector<wire::ListTransactionsResponse::TransactionState>* listed) const {
    for (const auto& [id, entry] : transactions_) {
        const Transaction& each = entry.transaction;
        if (!filter.states.empty() && !filter.states.contains(each.state)) continue;
        if (!filter.producer_ids.empty() && !filter.producer_ids.contains(each.producer_id))
            continue;
        if (filter.longer_than_ms >= 0 &&
            moment.wall.milliseconds - each.start_timestamp <= filter.longer_than_ms)
            continue;
        auto& told = listed->emplace_back();
        told.transactional_id = id;
        told.producer_id = each.producer_id;
        told.transaction_state = state_name(each.state);
    }
}

// --- time

void Shard::expire_ids(Moment moment, Effects* effects) {
    const std::int64_t limit =
        moment.wall.milliseconds - settings_->id_expiration.to_milliseconds();
    std::erase_if(transactions_, [&](const auto& each) {
        const Transaction& transaction = each.second.transaction;
        if (transaction.state == State::ongoing || is_prepared(transaction.state)) return false;
        if (transaction.last_update_timestamp > limit) return false;
        effects->records.push_back(transaction_tombstone(each.first));
        return true;
    });
}

Instant Shard::deadline() const {
    return timers_.empty() ? Instant::never() : timers_.begin()->first;
}

void Shard::elapsed(Moment moment, Effects* effects) {
    while (!timers_.empty() && timers_.begin()->first <= moment.now) {
        REACHED("transaction-lasts-too-long");
        const std::string id = timers_.begin()->second;
        fence(id, moment, effects);
    }
}

}  // namespace pabal::transaction
