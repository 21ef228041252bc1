// The coordinator of transactions on this broker: for each partition of __transaction_state that it
// leads, a transaction::Shard (CoordinatedTopic), whose markers it has written once the decision is
// committed (KIP-98). Owned by the node; lives on the data shard.
//
// Errors of every call: NOT_COORDINATOR where another broker leads the transactional id's
// partition, COORDINATOR_LOAD_IN_PROGRESS while it is loaded and that takes longer than a second,
// COORDINATOR_NOT_AVAILABLE if its records are not committed in time, CONCURRENT_TRANSACTIONS if a
// transaction takes longer than `end_patience` to end.
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
#include "io/ports.h"
#include "io/task.h"
#include "runtime/coordinated_topic.h"
#include "runtime/transaction_markers.h"
#include "transaction/settings.h"
#include "transaction/shard.h"
#include "wire/add_partitions_to_txn.h"

namespace pabal::runtime {

inline constexpr std::string_view transaction_topic = "__transaction_state";

class TransactionCoordinator {
public:
    // How long a request waits for the end of the transaction that stands in its way.
    static constexpr Duration end_patience = Duration::seconds(1);
    using NextProducerId = std::function<io::Task<Result<ProducerId>>(Instant deadline)>;
    using PartitionErrors = std::map<std::pair<std::string, PartitionIndex>, ErrorCode>;

    // All outlive this object.
    TransactionCoordinator(io::Ports* ports, const metadata::BrokerConfig* config,
                           Partitions* partitions, GroupCoordinator* groups, Peers* peers,
                           NextProducerId next_producer_id, const Logger* log);
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

    std::size_t transactional_id_count() const { return topic_.id_count(); }

private:
    struct Active;
    using ActivePointer = std::shared_ptr<Active>;

    io::Task<Result<ActivePointer>> serving(std::string transactional_id);
    // A producer id, if one may be needed.
    io::Task<Result<std::optional<ProducerId>>> fresh_id(ActivePointer active,
                                                         std::string transactional_id);
    // Whether the transaction under this id that is ending has ended by `deadline`.
    io::Task<bool> ended_by(ActivePointer active, std::string transactional_id, Instant deadline);

    transaction::Moment moment() const;
    void carry_out(const ActivePointer& active, transaction::Effects effects);
    io::Task<ErrorCode> written(ActivePointer active, transaction::Effects effects);
    // Sends the markers once the decision is committed.
    CoordinatorLog::Done sending(const ActivePointer& active,
                                 std::vector<transaction::Markers> markers);
    void marked(const ActivePointer& active, const transaction::Markers& markers);

    io::Ports* ports_;
    const metadata::BrokerConfig* config_;
    Peers* peers_;
    NextProducerId next_producer_id_;
    const Logger* log_;
    transaction::Settings settings_;
    bool verifies_;
    TransactionMarkers markers_;
    std::shared_ptr<const metadata::ClusterImage> image_;
    CoordinatedTopic topic_;
};

}  // namespace pabal::runtime
