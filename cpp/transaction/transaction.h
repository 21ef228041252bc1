// What the coordinator knows of one transactional id, and its records in __transaction_state as
// Kafka 4.3 writes them. Values only; what may follow what is the Shard's business.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "record/key_value.h"
#include "transaction/effects.h"

namespace pabal::transaction {

// As numbered in the records.
//
//   empty ──add──▶ ongoing ──end──▶ prepare_commit ──all marked──▶ complete_commit ──add──▶ ongoing
//     ▲               │                                                  │
//     │               └──end, time-out, another producer──▶ prepare_abort ──▶ complete_abort ──▶ …
//     └────────────────────────── init of a complete one ◀───────────────┘
enum class State : std::int8_t {
    empty = 0,
    ongoing = 1,
    prepare_commit = 2,
    prepare_abort = 3,
    complete_commit = 4,
    complete_abort = 5,
    // Names of Kafka's that may be asked for, and that no transaction is ever told to be in.
    dead = 6,
    prepare_epoch_fence = 7,
};

const char* state_name(State state);
std::optional<State> state_of(const std::string& name);
inline bool is_prepared(State state) {
    return state == State::prepare_commit || state == State::prepare_abort;
}

struct Transaction {
    ProducerId producer_id = no_producer_id;
    ProducerId previous_producer_id = no_producer_id;
    // What the producer has been given when this one's epochs are used up, until the markers of
    // the last of them are written (KIP-890).
    ProducerId next_producer_id = no_producer_id;
    ProducerEpoch producer_epoch = no_producer_epoch;
    // With which the producer may have asked for the present one; not in the log.
    ProducerEpoch last_producer_epoch = no_producer_epoch;
    std::int32_t timeout_ms = 0;
    State state = State::empty;
    Partitions partitions;
    std::int64_t start_timestamp = -1;
    std::int64_t last_update_timestamp = -1;
    std::int16_t client_transaction_version = 0;

    bool operator==(const Transaction&) const = default;

    // No epoch is left that could fence whoever has this one.
    bool is_epoch_exhausted() const;
};

// Tagged fields are written from transaction.version 1 on.
record::KeyValue transaction_record(const std::string& transactional_id,
                                    const Transaction& transaction,
                                    std::int16_t transaction_version);
record::KeyValue transaction_tombstone(const std::string& transactional_id);

struct TransactionRecord {
    std::string transactional_id;
    std::optional<Transaction> transaction;  // None: the id was forgotten.
};
// INVALID_RECORD names what does not parse; nothing for a kind of record that is not known.
Result<std::optional<TransactionRecord>> parse_transaction_record(
    const Bytes& key, const std::optional<Bytes>& value);

}  // namespace pabal::transaction
