// The coordinator of transactions on this broker: for each partition of __transaction_state that it
// leads, a transaction::Shard, whose records it appends, whose timers it keeps, and whose markers
// it has written once the decision is committed (KIP-98). A shard that could not write is thrown
// away and loaded again, as those of groups are (GroupCoordinator). Owned by the node; lives on the
// data shard.
//
// Errors of every call: NOT_COORDINATOR where another broker leads the transactional id's
// partition, COORDINATOR_LOAD_IN_PROGRESS while it is loaded and that takes longer than
// `load_patience`, COORDINATOR_NOT_AVAILABLE if its records are not committed in time,
// CONCURRENT_TRANSACTIONS if a transaction takes longer than `end_patience` to end.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "io/gate.h"
#include "io/ports.h"
#include "io/task.h"
#include "runtime/coordinator_log.h"
#include "runtime/transaction_markers.h"
#include "transaction/settings.h"
#include "transaction/shard.h"
#include "wire/add_partitions_to_txn.h"

namespace pabal::runtime {

inline constexpr std::string_view transaction_topic = "__transaction_state";

// The partition of `partition_count` that a transactional id belongs to, as Kafka has it.
PartitionIndex transaction_partition(std::string_view transactional_id,
                                     std::int32_t partition_count);

class TransactionCoordinator {
public:
    static constexpr Duration load_patience = Duration::seconds(1);
    // How long a request waits for the end of the transaction that stands in its way.
    static constexpr Duration end_patience = Duration::seconds(1);
    using NextProducerId = std::function<io::Task<Result<ProducerId>>(Instant deadline)>;
    using PartitionErrors = std::map<std::pair<std::string, PartitionIndex>, ErrorCode>;

    // All outlive this object.
    TransactionCoordinator(io::Ports* ports, const metadata::BrokerConfig* config,
                           Partitions* partitions, GroupCoordinator* groups, Peers* peers,
                           NextProducerId next_producer_id, const Logger* log);
    ~TransactionCoordinator();
    TransactionCoordinator(const TransactionCoordinator&) = delete;
    TransactionCoordinator& operator=(const TransactionCoordinator&) = delete;

    // After Partitions::apply of the same news.
    void apply(std::shared_ptr<const metadata::ClusterImage> image);
    // Whoever waits is told NOT_COORDINATOR; afterwards every call is.
    void stop();
    // Once the peers are stopped: ends when nothing of this object runs any more.
    io::Task<void> ended();

    // The request has a transactional id.
    io::Task<wire::InitProducerIdResponse> init_producer_id(wire::InitProducerIdRequest request);
    // Adds partitions to a transaction, or tells which of them take part in it (KIP-890).
    io::Task<PartitionErrors> add_partitions(transaction::Producer producer,
                                             transaction::Partitions partitions, bool verify_only,
                                             std::int16_t client_transaction_version);
    io::Task<wire::EndTxnResponse> end(wire::EndTxnRequest request, int version);
    io::Task<wire::DescribeTransactionsResponse::TransactionState> describe(
        std::string transactional_id);
    io::Task<wire::ListTransactionsResponse> list(wire::ListTransactionsRequest request);

    // For a partition of this broker: asks whoever coordinates the transaction to add partitions,
    // or whether they take part. PRODUCER_FENCED comes as INVALID_PRODUCER_EPOCH, as it is told to
    // producers; COORDINATOR_NOT_AVAILABLE, NETWORK_EXCEPTION if nobody can be asked.
    io::Task<PartitionErrors> take_part(transaction::Producer producer,
                                        transaction::Partitions partitions, bool verify_only);
    TransactionMarkers& markers() { return markers_; }
    // transaction.partition.verification.enable
    bool verifies() const { return verifies_; }

    std::size_t transactional_id_count() const;

private:
    struct Active;
    using ActivePointer = std::shared_ptr<Active>;

    void follow(PartitionIndex index, const std::shared_ptr<Partition>& partition);
    void unload(const ActivePointer& active, ErrorCode error);
    io::Task<void> load(ActivePointer active);
    void reload(const ActivePointer& failed);
    ActivePointer find(std::string_view transactional_id) const;
    io::Task<Result<ActivePointer>> serving(std::string transactional_id);
    io::Task<ErrorCode> loaded(ActivePointer active);
    // A producer id, if one may be needed.
    io::Task<Result<std::optional<ProducerId>>> fresh_id(ActivePointer active,
                                                         std::string transactional_id);
    // Whether the transaction under this id that is ending has ended by `deadline`.
    io::Task<bool> ended_by(ActivePointer active, std::string transactional_id, Instant deadline);

    transaction::Moment moment() const;
    void carry_out(const ActivePointer& active, transaction::Effects effects);
    io::Task<ErrorCode> written(ActivePointer active, transaction::Effects effects);
    void send(const ActivePointer& active, std::vector<transaction::Markers> markers);
    void marked(const ActivePointer& active, const transaction::Markers& markers);
    void arm(const ActivePointer& active);
    void elapsed(const ActivePointer& active);
    void schedule_expiry();
    void expire();

    io::Ports* ports_;
    const metadata::BrokerConfig* config_;
    Partitions* partitions_;
    Peers* peers_;
    NextProducerId next_producer_id_;
    const Logger* log_;
    transaction::Settings settings_;
    Duration expiry_interval_;
    bool verifies_;
    TransactionMarkers markers_;
    std::map<PartitionIndex, ActivePointer> active_;
    std::shared_ptr<const metadata::ClusterImage> image_;
    std::int32_t partition_count_ = 0;  // Of the topic; 0 while there is none.
    io::TimerId expiry_timer_ = 0;
    std::size_t loading_count_ = 0;
    io::Gate* idle_waiter_ = nullptr;
    bool stopped_ = false;
};

}  // namespace pabal::runtime
