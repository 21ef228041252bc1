// What goes wrong in the safety phase. Each kind strikes from time to time, lasts, and ends; a
// death of a broker is followed by its return. Awaited on the director's shard, one fault at a
// time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "io/task.h"
#include "sim/cluster/broker.h"
#include "sim/cluster/scenario.h"
#include "sim/workloads/load.h"

namespace pabal::sim {

// What a fault may touch.
struct Stage {
    Scheduler& scheduler;
    Network& network;
    io::Clock& clock;              // The director's.
    std::vector<Broker*> brokers;  // All of them.
    std::vector<Broker*> struck;   // Whom this strike meets, drawn anew for each.
    Load& load;
    Prng& random;
    // Lets the dead among the struck be buried and brought up again; a lonely broker's logs are
    // read then. False once the run is over.
    std::function<io::Task<bool>()> revive;
    // The same around a clean shutdown.
    std::function<io::Task<bool>()> restart;
};

class Fault {
public:
    virtual ~Fault() = default;
    // Strikes, lasts for `duration` at most, and ends. False once the run is over.
    virtual io::Task<bool> strike(Stage* stage, Duration duration) = 0;
};

// Null if there is no such kind.
std::unique_ptr<Fault> make_fault(const std::string& kind);

io::Task<void> wait(io::Clock* clock, Duration duration);

}  // namespace pabal::sim
