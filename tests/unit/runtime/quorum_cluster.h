// Several quorums against each other on simulated machines, each behind a listener that answers
// what members of a quorum ask, and nothing else.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/gate.h"
#include "runtime/quorum.h"
#include "sim/machine.h"

namespace pabal::runtime {

class QuorumCluster {
public:
    explicit QuorumCluster(std::uint64_t seed = 1);
    ~QuorumCluster();

    // A machine with an empty disk. `change` may alter what the node is told.
    void add_node(int id, std::function<void(QuorumOptions&)> change = {});
    // As kafka-storage formats the first voter alone.
    void format_standalone(int id);
    // Another disk: an empty one, with another directory id.
    void replace_disk(int id);
    // From its next start on it is found at another port.
    void move(int id, std::uint16_t port);

    Status start(int id);
    void stop(int id);
    void kill(int id, sim::Death death = sim::Death::killed);

    Quorum& quorum(int id);
    DirectoryId directory(int id);
    sim::Network& network() { return network_; }
    sim::Disk& disk(int id);
    Instant now() const { return scheduler_.now(); }

    // The node that leads in the highest epoch; -1 if none does.
    int leader();
    int wait_for_leader();
    bool wait(const std::function<bool()>& done, Duration limit = Duration::seconds(20));
    // One record, by the leader; its offset once all that run have it committed.
    Offset write();
    bool all_have(Offset offset);
    // Of everything below `end`.
    void take_snapshot(int id, Offset end);
    std::vector<int> voters(int id);

    ErrorCode add_voter(int at, int id);
    ErrorCode remove_voter(int at, int id);

private:
    struct Node;

    Node& node(int id);
    io::Address address_of(int id);
    void end(Node& node);
    void run(Node& node, std::function<io::Task<void>()> work);

    sim::Scheduler scheduler_;
    sim::Network network_;
    std::map<int, std::unique_ptr<Node>> nodes_;
    std::uint8_t disks_ = 0;
};

}  // namespace pabal::runtime
