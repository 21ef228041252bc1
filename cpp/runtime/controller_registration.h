// Tells the active controller the endpoints and features of this node's controller while it is not
// active itself, once for each start of the process (KIP-919). Owned by the node, lives on its
// shard.
#pragma once

#include <vector>

#include "io/clock.h"
#include "io/gate.h"
#include "io/task.h"
#include "runtime/controller_link.h"

namespace pabal::runtime {

class ControllerRegistration {
public:
    // All must outlive this.
    ControllerRegistration(io::Clock* clock, BrokerId node_id, Controller* controller,
                           ControllerLink* link, MetadataPublisher* publisher,
                           ControllerOptions options);
    ~ControllerRegistration();

    void start();
    // Ends when nothing runs any more. The link has been stopped.
    io::Task<void> stop();

private:
    bool is_registered() const;
    io::Task<void> run();

    io::Clock* clock_;
    BrokerId node_id_;
    Controller* controller_;
    ControllerLink* link_;
    MetadataPublisher* publisher_;
    ControllerOptions options_;
    bool running_ = false;
    bool stopped_ = false;
    std::vector<io::Gate*> waiters_;
};

}  // namespace pabal::runtime
