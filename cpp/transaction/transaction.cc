#include "transaction/transaction.h"

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/records/transaction_log_key.h"
#include "wire/records/transaction_log_value.h"
#include "wire/writer.h"

namespace pabal::transaction {
namespace {

// The last epoch that a producer is given; the one above is left for fencing it.
constexpr ProducerEpoch last_given_epoch{INT16_MAX - 1};

template <class Message>
Bytes encoded(int prefix, const Message& message, int version) {
    wire::Writer writer;
    writer.int16(static_cast<std::int16_t>(prefix));
    encode(writer, message, version);
    auto bytes = writer.take().flatten();
    ASSERT(bytes, "a record holds no range of a file");
    return std::move(*bytes);
}

Bytes key_of(const std::string& transactional_id) {
    const wire::TransactionLogKey key{transactional_id};
    return encoded(wire::TransactionLogKey::api_key, key, wire::TransactionLogKey::max_version);
}

}  // namespace

const char* state_name(State state) {
    switch (state) {
        case State::empty: return "Empty";
        case State::ongoing: return "Ongoing";
        case State::prepare_commit: return "PrepareCommit";
        case State::prepare_abort: return "PrepareAbort";
        case State::complete_commit: return "CompleteCommit";
        case State::complete_abort: return "CompleteAbort";
        case State::dead: return "Dead";
        case State::prepare_epoch_fence: return "PrepareEpochFence";
    }
    return "Empty";
}

std::optional<State> state_of(const std::string& name) {
    for (const State state :
         {State::empty, State::ongoing, State::prepare_commit, State::prepare_abort,
          State::complete_commit, State::complete_abort, State::dead, State::prepare_epoch_fence})
        if (name == state_name(state)) return state;
    return std::nullopt;
}

bool Transaction::is_epoch_exhausted() const {
    return producer_epoch >= last_given_epoch;
}

record::KeyValue transaction_record(const std::string& transactional_id,
                                    const Transaction& transaction,
                                    std::int16_t transaction_version) {
    wire::TransactionLogValue value;
    value.producer_id = transaction.producer_id;
    value.producer_epoch = transaction.producer_epoch;
    value.transaction_timeout_ms = transaction.timeout_ms;
    value.transaction_status = static_cast<std::int8_t>(transaction.state);
    value.transaction_last_update_timestamp_ms = transaction.last_update_timestamp;
    value.transaction_start_timestamp_ms = transaction.start_timestamp;
    if (transaction.state != State::empty) {
        auto& topics = value.transaction_partitions.emplace();
        for (const auto& [topic, partitions] : transaction.partitions) {
            auto& each = topics.emplace_back();
            each.topic = topic;
            each.partition_ids.assign(partitions.begin(), partitions.end());
        }
    }
    const int version = transaction_version >= 1 ? 1 : 0;
    if (version >= 1) {
        value.previous_producer_id = transaction.previous_producer_id;
        value.next_producer_id = transaction.next_producer_id;
        value.client_transaction_version = transaction.client_transaction_version;
    }
    return {key_of(transactional_id), encoded(version, value, version)};
}

record::KeyValue transaction_tombstone(const std::string& transactional_id) {
    return {key_of(transactional_id), std::nullopt};
}

Result<std::optional<TransactionRecord>> parse_transaction_record(
    const Bytes& key, const std::optional<Bytes>& bytes) {
    wire::Reader key_reader(key);
    const int kind = key_reader.int16("kind");
    if (!key_reader.ok()) return key_reader.status().error();
    if (kind != wire::TransactionLogKey::api_key) return std::optional<TransactionRecord>();
    wire::TransactionLogKey parsed;
    PABAL_TRY(decode(key_reader, parsed, 0));
    TransactionRecord record;
    record.transactional_id = std::move(parsed.transactional_id);
    if (!bytes) return std::optional<TransactionRecord>(std::move(record));
    wire::Reader reader(*bytes);
    const int version = reader.int16("version");
    if (!reader.ok()) return reader.status().error();
    wire::TransactionLogValue value;
    PABAL_TRY(decode(reader, value, version));
    if (value.transaction_status < 0 ||
        value.transaction_status > static_cast<std::int8_t>(State::complete_abort)) {
        return Error{ErrorCode::invalid_record,
                     "the transaction of " + record.transactional_id + " is in state " +
                         std::to_string(value.transaction_status) + ", which is none"};
    }
    Transaction& transaction = record.transaction.emplace();
    transaction.producer_id = value.producer_id;
    transaction.previous_producer_id = value.previous_producer_id;
    transaction.next_producer_id = value.next_producer_id;
    transaction.producer_epoch = value.producer_epoch;
    transaction.timeout_ms = value.transaction_timeout_ms;
    transaction.state = static_cast<State>(value.transaction_status);
    if (value.transaction_partitions) {
        for (const auto& topic : *value.transaction_partitions)
            transaction.partitions[topic.topic].insert(topic.partition_ids.begin(),
                                                       topic.partition_ids.end());
    }
    transaction.start_timestamp = value.transaction_start_timestamp_ms;
    transaction.last_update_timestamp = value.transaction_last_update_timestamp_ms;
    transaction.client_transaction_version = value.client_transaction_version;
    return std::optional<TransactionRecord>(std::move(record));
}

}  // namespace pabal::transaction
