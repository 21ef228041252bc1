// Carries changes of the in-sync replicas from the partitions that this broker leads to the active
// controller (AlterPartition, KIP-497): all that there are in one request, one request at a time,
// tried again until the controller has decided or the metadata has made it pointless. Owned by the
// node, lives on the data shard.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "io/task.h"
#include "replication/leader.h"
#include "wire/alter_partition.h"

namespace pabal {
class Logger;
}
namespace pabal::io {
class Gate;
struct Ports;
}  // namespace pabal::io

namespace pabal::runtime {

class Partition;
class Partitions;

class IsrChanges {
public:
    // Asks the active controller, wherever it is; ends at the deadline.
    using Ask = std::function<io::Task<Result<wire::AlterPartitionResponse>>(
        wire::AlterPartitionRequest request, Instant deadline)>;

    // All outlive this object.
    IsrChanges(io::Ports* ports, Partitions* partitions, BrokerId self, const Logger* log, Ask ask);
    ~IsrChanges();
    IsrChanges(const IsrChanges&) = delete;
    IsrChanges& operator=(const IsrChanges&) = delete;

    // The partition may have a change; it is asked for it at the shard's next turn.
    void want(std::shared_ptr<Partition> partition);
    // Asks for nothing more; ends when the call under way has, which its callee sees to.
    io::Task<void> stop();

private:
    struct Pending {
        std::shared_ptr<Partition> partition;
        replication::IsrChange change;
    };
    io::Task<void> run();
    io::Task<void> pause(Duration duration);
    wire::AlterPartitionRequest request_of(const std::vector<Pending>& pending) const;
    // Those that have to be asked for again stay.
    void take(const wire::AlterPartitionResponse& response, std::vector<Pending>* pending);

    io::Ports* ports_;
    Partitions* partitions_;
    BrokerId self_;
    const Logger* log_;
    Ask ask_;
    std::vector<std::shared_ptr<Partition>> wanted_;
    std::set<TopicPartition> wanted_ids_;
    bool running_ = false;
    bool stopping_ = false;
    io::Gate* pausing_ = nullptr;
    std::vector<io::Gate*> run_ended_;  // A kill may overtake a stop.
};

}  // namespace pabal::runtime
