// Tells the active controller in which log directories the replicas of this broker lie, wherever
// the metadata says something else (AssignReplicasToDirs, KIP-858): all that there is to tell in
// one request, one request at a time, again until the controller has taken it. Owned by the node,
// lives on its shard.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "io/task.h"

namespace pabal {
class Logger;
}
namespace pabal::io {
class Clock;
class Gate;
}  // namespace pabal::io
namespace pabal::wire {
struct AssignReplicasToDirsRequest;
struct AssignReplicasToDirsResponse;
}  // namespace pabal::wire

namespace pabal::runtime {

class ControllerLink;

class DirectoryAssignments {
public:
    // All must outlive this. `epoch` answers -1 before this broker is registered.
    DirectoryAssignments(io::Clock* clock, BrokerId self, ControllerLink* link, const Logger* log,
                         std::function<BrokerEpoch()> epoch);
    ~DirectoryAssignments();

    // The newest word on a partition counts.
    void tell(const TopicPartition& partition, DirectoryId directory);
    // Ends when nothing runs any more. The link has been stopped.
    io::Task<void> stop();

private:
    wire::AssignReplicasToDirsRequest request() const;
    void take(const wire::AssignReplicasToDirsResponse& response);
    io::Task<void> run();
    io::Task<void> wait(Instant until);

    io::Clock* clock_;
    BrokerId self_;
    ControllerLink* link_;
    const Logger* log_;
    std::function<BrokerEpoch()> epoch_;
    std::map<TopicPartition, DirectoryId> untold_;
    bool running_ = false;
    bool stopped_ = false;
    std::vector<io::Gate*> waiters_;  // Of run() and stop().
};

}  // namespace pabal::runtime
