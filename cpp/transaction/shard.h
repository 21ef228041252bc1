// The transactional ids of one partition of __transaction_state: who produces under each, and how
// far its transaction is. Owned by the coordinator of that partition. Pure: requests and the time
// come in, records and markers go out. State is changed when a record is made; if it cannot be
// written, the shard is thrown away and loaded again. Nobody hears an answer before the records of
// it are committed, so nothing has to be taken back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error_code.h"
#include "base/result.h"
#include "transaction/effects.h"
#include "transaction/settings.h"
#include "transaction/transaction.h"
#include "wire/describe_transactions.h"
#include "wire/end_txn.h"
#include "wire/init_producer_id.h"
#include "wire/list_transactions.h"

namespace pabal::transaction {

class Shard {
public:
    // `settings` must outlive the shard.
    explicit Shard(const Settings* settings) : settings_(settings) {}
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    // A record of the log, while it is loaded. INVALID_RECORD: it does not parse.
    Status replay(const record::KeyValue& record, Moment moment);
    // The whole log is: markers that were on their way when it was written are wanted again.
    void loaded(Effects* effects) const;
    // The finalised level of transaction.version.
    void learn(std::int16_t transaction_version) { transaction_version_ = transaction_version; }

    bool knows(const std::string& transactional_id) const { return find(transactional_id); }
    // Whether a producer id that nobody has may be needed to answer.
    bool needs_producer_id(const std::string& transactional_id) const;
    // Its transaction is decided, and not all partitions have heard of it.
    bool is_ending(const std::string& transactional_id) const;
    // The request has a transactional id. CONCURRENT_TRANSACTIONS while a transaction ends, which
    // this may have begun: ask again.
    wire::InitProducerIdResponse init_producer_id(const wire::InitProducerIdRequest& request,
                                                  std::optional<ProducerId> fresh, Moment moment,
                                                  Effects* effects);
    ErrorCode add_partitions(const Producer& producer, const Partitions& partitions,
                             std::int16_t client_transaction_version, Moment moment,
                             Effects* effects);
    // Does the partition take part in the transaction (KIP-890)? TRANSACTION_ABORTABLE: no.
    ErrorCode verify(const Producer& producer, const std::string& topic,
                     PartitionIndex partition) const;
    // From version 5 on each end gives the producer its next epoch (KIP-890).
    wire::EndTxnResponse end(const wire::EndTxnRequest& request, int version,
                             std::optional<ProducerId> fresh, Moment moment, Effects* effects);
    // Each partition of the transaction has its marker, or is gone.
    void marked(const Markers& markers, Moment moment, Effects* effects);

    // TRANSACTIONAL_ID_NOT_FOUND for one that is not known.
    wire::DescribeTransactionsResponse::TransactionState describe(
        const std::string& transactional_id) const;
    struct Filter {
        std::set<State> states;             // Empty: all.
        std::set<ProducerId> producer_ids;  // Empty: all.
        std::int64_t longer_than_ms = -1;   // Since they began; -1: all.
    };
    // By transactional id.
    void list(const Filter& filter, Moment moment,
              std::vector<wire::ListTransactionsResponse::TransactionState>* listed) const;

    // Forgets ids that nobody used within transactional.id.expiration.ms.
    void expire_ids(Moment moment, Effects* effects);
    // When `elapsed` has something to do: the transaction that runs out first.
    Instant deadline() const;
    // Aborts transactions that last too long, and fences their producers.
    void elapsed(Moment moment, Effects* effects);

    std::size_t transactional_id_count() const { return transactions_.size(); }

private:
    struct Entry {
        Transaction transaction;
        Instant armed = Instant::never();  // Its place in timers_.
    };

    const Transaction* find(const std::string& transactional_id) const;
    void set(const std::string& transactional_id, Transaction next, Moment moment);
    void write(const std::string& transactional_id, Transaction next, Moment moment,
               Effects* effects);
    void begin_end(const std::string& transactional_id, Transaction next, bool commit,
                   Moment moment, Effects* effects);
    void fence(const std::string& transactional_id, Moment moment, Effects* effects);
    void complete(const std::string& transactional_id, Moment moment, Effects* effects);
    Markers markers_of(const std::string& transactional_id, const Transaction& transaction) const;

    const Settings* settings_;
    std::int16_t transaction_version_ = 0;
    std::map<std::string, Entry> transactions_;
    std::set<std::pair<Instant, std::string>> timers_;
};

}  // namespace pabal::transaction
