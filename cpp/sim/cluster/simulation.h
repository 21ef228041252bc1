// One run: a scenario under one seed, from an empty disk to a verdict. First everything may fail
// that the scenario names (safety: nothing that was promised may break), then nothing fails any
// more (liveness: everything must work again and come to rest), then all logs are read to their
// ends.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "sim/cluster/scenario.h"
#include "sim/cluster/server.h"
#include "sim/trace.h"

namespace pabal::sim {

enum class Verdict {
    passed,
    safety_violated,
    liveness_violated,
};

struct Outcome {
    Verdict verdict = Verdict::passed;
    std::string invariant;  // The id of what was violated; "liveness" in the second phase.
    std::string what;
    std::uint64_t trace_hash = 0;
    std::uint64_t event_count = 0;
    Duration virtual_time;
    std::uint64_t broker_lives = 0;
    std::uint64_t progress = 0;  // Acknowledged batches, answered reads and the like.
    std::map<std::string, std::uint64_t> answers;  // `progress` by the kind of workload.
    std::map<std::string, std::uint64_t> faults;   // How often each kind struck.
    std::map<std::string, std::uint64_t> probes;   // How often each was reached.
};

struct SimulationOptions {
    std::uint64_t seed = 1;
    std::string sabotage;  // One of Sabotage, or a mark in the code; empty: nothing.
    // Who is told of the run, which goes on as if nobody were.
    Trace::Sink sink;  // Each event of the trace.
    // What befalls the brokers, in words.
    std::function<void(Instant when, const std::string& what)> history;
    // About once in a virtual second.
    std::function<void(Instant now, std::uint64_t event_count)> progress;
};

// `make` makes the broker of each life.
Outcome simulate(const Scenario& scenario, const SimulationOptions& options,
                 const MakeServer& make);

}  // namespace pabal::sim
