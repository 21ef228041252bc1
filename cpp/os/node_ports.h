// All ports of one node on this machine: its shard, its network, its disk and the way to its store.
// Owned by whoever starts the node, and outlives it. `kill` is the sudden death of the node alone,
// as SIGKILL is that of a process: what it wrote stays, nothing more happens.
//
// The order of an orderly end, and after a kill: on the shard the node stops (all its coroutines
// end) and is freed; then this.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "io/ports.h"
#include "os/disk.h"
#include "os/network.h"
#include "os/power.h"
#include "os/shard.h"

namespace pabal::os {

class Machine;

class NodePorts {
public:
    using OpenStore =
        std::function<IoResult<std::unique_ptr<io::Store>>(const std::string& directory)>;

    // Starts the shard's thread; `name` becomes the thread's. `open_store` opens a store that loses
    // on destruction what was neither logged nor flushed (see kv/).
    NodePorts(std::string name, std::shared_ptr<PolicyTime> policy_time, OpenStore open_store,
              std::uint64_t seed = random_seed());
    ~NodePorts();

    // To be used on the shard.
    io::Ports& ports() { return ports_; }
    Shard& shard() { return shard_; }
    bool is_killed() const { return power_->is_off(); }

    // From one instant on no port has an effect, whatever the shard is busy with; kill() does the
    // rest.
    void cut() { power_->cut(); }
    // From one instant on no port has an effect: writes, syncs, sends and store batches fail with
    // an error that says so. Then, before this returns, all connections end with a reset and the
    // listeners close. From any thread; twice is fine.
    void kill();

    // From the operating system.
    static std::uint64_t random_seed();

private:
    std::shared_ptr<Machine> machine_;
    std::shared_ptr<Power> power_;
    Shard shard_;
    Network network_;
    Disk disk_;
    io::Ports ports_;
};

}  // namespace pabal::os
