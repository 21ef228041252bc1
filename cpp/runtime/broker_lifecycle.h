// The life of this node's broker in the cluster: it registers with the active controller, tells it
// by heartbeats that it is alive and how far it has read the metadata log, is unfenced once it has
// caught up, hands its leaderships over before it ends, and registers again when the controller has
// forgotten it. Owned by the node, lives on its shard.
//
//   unregistered
//     -> fenced          the controller took the registration
//   fenced
//     -> serving         the controller has unfenced it, and this node has applied that
//     -> unregistered    the controller knows another process of its id, or none
//   serving
//     -> fenced          the controller missed its heartbeats
//     -> shutting down   shut_down
//   shutting down
//     -> ended           others lead what they can, and know it
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/gate.h"
#include "io/task.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_delta.h"
#include "runtime/controller_link.h"

namespace pabal {
class Logger;
}
namespace pabal::wire {
struct BrokerRegistrationRequest;
}

namespace pabal::runtime {

class BrokerLifecycle {
public:
    struct Options {
        std::string cluster_id;
        Uuid incarnation;  // Of this process; that of its controller, if it is one, too.
        std::vector<metadata::Endpoint> endpoints;  // With the ports that were bound.
        std::vector<DirectoryId> directories;
        BrokerEpoch previous_epoch{-1};  // Of the last run, if that ended in order.
    };
    // All must outlive this.
    BrokerLifecycle(io::Clock* clock, const metadata::BrokerConfig* config, Controller* controller,
                    ControllerLink* link, MetadataPublisher* publisher, const Logger* log,
                    Options options);
    ~BrokerLifecycle();

    // Registers, and ends once the broker serves and this node has applied that. At once where this
    // node is the only voter and active. An error, never repeated, means that the broker cannot
    // belong to this cluster.
    io::Task<Status> start();
    // Gives leaderships away while everything still runs. Ends when the controller lets the broker
    // go, when nobody is there to take over, or at the deadline.
    io::Task<void> shut_down(Instant deadline);
    // Ends the heartbeats. The link has been stopped.
    io::Task<void> stop();

    // -1 before the registration.
    BrokerEpoch epoch() const { return epoch_; }
    // A directory failed; the controller takes its partitions away from this broker.
    void directory_failed(DirectoryId directory);
    // This node can serve nothing any more; the controller gives all that it leads to others.
    void give_up();

private:
    wire::BrokerRegistrationRequest registration() const;
    io::Task<Status> register_broker();
    // One heartbeat; true if the controller lets the broker end.
    io::Task<bool> beat();
    io::Task<void> live();
    io::Task<void> pause(Duration time);
    void published();
    bool serves() const;
    bool is_alone() const;
    void wake();

    io::Clock* clock_;
    const metadata::BrokerConfig* config_;
    Controller* controller_;
    ControllerLink* link_;
    MetadataPublisher* publisher_;
    const Logger* log_;
    Options options_;
    Duration interval_;
    BrokerEpoch epoch_{-1};
    std::set<DirectoryId> failed_directories_;
    std::set<BrokerId> leaving_;  // Others that shut down, as this node knows.
    bool registered_ = false;
    bool want_shut_down_ = false;
    bool want_fence_ = false;
    bool failure_is_told_ = true;  // The controller has heard of all failed directories.
    bool may_end_ = false;
    bool news_ = false;  // Heartbeat at once.
    bool stopped_ = false;
    bool living_ = false;
    std::optional<Error> refused_;
    std::vector<io::Gate*> waiters_;  // Of live(), start(), shut_down() and stop().
};

}  // namespace pabal::runtime
