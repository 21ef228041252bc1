// Tells the partitions of a transaction how it ended: markers go to the leader of each, those for
// one broker together, again and again until all have them or are gone. And writes the markers that
// others send for partitions that this broker leads (KIP-98). Owned by the coordinator of
// transactions; lives on the data shard.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "io/ports.h"
#include "io/task.h"
#include "runtime/coordinator_log.h"
#include "transaction/effects.h"
#include "wire/write_txn_markers.h"

namespace pabal::io {
class Gate;
}
namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
}  // namespace pabal::metadata

namespace pabal::runtime {

class GroupCoordinator;
class Partitions;
class Peers;

class TransactionMarkers {
public:
    // All outlive this object.
    TransactionMarkers(io::Ports* ports, const metadata::BrokerConfig* config,
                       Partitions* partitions, GroupCoordinator* groups, Peers* peers,
                       const Logger* log);
    ~TransactionMarkers();
    TransactionMarkers(const TransactionMarkers&) = delete;
    TransactionMarkers& operator=(const TransactionMarkers&) = delete;

    // Calls `done` when every partition has its marker or is gone; never once `coordinator`, the
    // log of whoever decided, is closed.
    void send(transaction::Markers markers, std::shared_ptr<CoordinatorLog> coordinator,
              std::function<void()> done);
    // Leaders may have moved, topics may be gone.
    void learn(std::shared_ptr<const metadata::ClusterImage> image);
    // As the leader of partitions. Ends when the markers are committed, or after a time-out.
    io::Task<wire::WriteTxnMarkersResponse> write(wire::WriteTxnMarkersRequest request);

    // Nothing more is sent. `ended` ends when nothing of this object runs any more; calls to other
    // brokers end with the peers.
    void stop();
    io::Task<void> ended();

private:
    struct Ending;
    struct Errand;
    struct Destination;
    struct Awaited;

    void distribute(const std::shared_ptr<Ending>& ending, const transaction::Partitions& to);
    void queue(BrokerId broker, Errand errand);
    io::Task<void> send_queued(BrokerId broker);
    io::Task<Result<wire::WriteTxnMarkersResponse>> deliver(BrokerId broker,
                                                            wire::WriteTxnMarkersRequest request);
    void take(Errand* errand, const wire::WriteTxnMarkersResponse& response);
    void try_later(std::shared_ptr<Ending> ending, transaction::Partitions partitions);
    void try_again();
    ErrorCode append(const wire::WriteTxnMarkersRequest::WritableTxnMarker& marker,
                     const std::string& topic, PartitionIndex index, Awaited* awaited);

    io::Ports* ports_;
    const metadata::BrokerConfig* config_;
    Partitions* partitions_;
    GroupCoordinator* groups_;
    Peers* peers_;
    const Logger* log_;
    std::shared_ptr<const metadata::ClusterImage> image_;
    std::map<BrokerId, std::unique_ptr<Destination>> destinations_;
    std::vector<Errand> later_;
    io::TimerId retry_timer_ = 0;
    std::size_t running_ = 0;
    io::Gate* idle_waiter_ = nullptr;
    bool stopped_ = false;
};

}  // namespace pabal::runtime
