// One simulated computer, and the process that runs on it. The Machine owns what survives a
// process: the disk and the stores in its directories. A Process owns one life of the ports;
// killing it is one instant, after which no port has an effect, while its clock goes on so that its
// code can unwind.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "io/ports.h"
#include "sim/clock.h"
#include "sim/disk.h"
#include "sim/disk_port.h"
#include "sim/network.h"
#include "sim/network_port.h"
#include "sim/scheduler.h"
#include "sim/store.h"

namespace pabal::sim {

class Process;

enum class Death {
    killed,      // The end of the process; the machine runs on.
    power_lost,  // The end of the machine, with what was not synced.
};

class Machine {
public:
    // `name` is the host's name in the network too.
    Machine(Scheduler& scheduler, Network& network, std::string name,
            std::uint64_t disk_capacity_bytes, Skew skew);

    const std::string& name() const { return name_; }
    Disk& disk() { return disk_; }
    // The stores in directories of this machine, those that were ever opened.
    const std::map<std::string, std::shared_ptr<StoreImage>>& stores() const { return stores_; }
    // Applies to the stores that exist and those to come.
    void set_store_sabotage(StoreSabotage sabotage);

    // While no process runs: what it had not synced may go.
    void lose_power();
    // Starts a process. One at a time may be alive.
    std::unique_ptr<Process> boot();

private:
    friend class Process;

    std::shared_ptr<StoreImage> store_in(const std::string& directory);

    Scheduler& scheduler_;
    Network& network_;
    std::string name_;
    Skew skew_;
    Disk disk_;
    std::map<std::string, std::shared_ptr<StoreImage>> stores_;
    StoreSabotage store_sabotage_;
    std::uint64_t boots_ = 0;
    bool in_use_ = false;
};

class Process {
public:
    // Its code must have let go of the ports; they outlive nothing.
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    io::Ports ports();
    sim::Clock& clock() { return clock_; }
    // At once and from anywhere, even from within a port.
    void die(Death death);
    bool is_alive() const { return alive_; }
    // The shard does nothing while paused.
    void set_paused(bool paused);

private:
    friend class Machine;
    friend class OpenStore;

    explicit Process(Machine& machine);

    Machine& machine_;
    sim::Clock clock_;
    NetworkPort network_;
    DiskPort disk_;
    Prng random_;
    std::vector<Store*> open_stores_;
    bool alive_ = true;
};

}  // namespace pabal::sim
