// What runtime::Controller keeps, for its own files alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/sessions.h"
#include "controller/topics.h"
#include "io/gate.h"
#include "runtime/controller.h"

namespace pabal::runtime {

struct Controller::Waiter {
    Waiter(io::Clock& clock, Offset wanted) : gate(clock), offset(wanted) {}
    io::Gate gate;
    Offset offset;  // Published with this record.
};

struct Controller::State {
    State(const metadata::BrokerConfig& config, Prng chance)
        : topics(config, chance.fork("topics")),
          sessions(Duration::milliseconds(config.integer("broker.session.timeout.ms"))),
          random(chance.fork("reassignments")) {}

    metadata::ClusterImage head;  // With everything that was proposed. Of meaning while active.
    controller::Topics topics;
    controller::Sessions sessions;
    Prng random;
    std::vector<Waiter*> waiters;
    bool stopping = false;
    std::optional<Error> refusal;  // Why this node leads, yet cannot be the active controller.
    std::string bootstrap_path;    // Of the file that a fresh cluster still has to write.
    bool looked_for_bootstrap = false;
    bool writing_bootstrap = false;
    io::TimerId tick_timer = 0;
    Instant next_balance;  // Of the leaders.
    Instant next_unclean_election;
    std::map<BrokerId, io::Gate*> probing;  // Opened to end the probe.
    io::Gate* idle_gate = nullptr;  // Opened when file or probe have ended, if somebody waits.
};

}  // namespace pabal::runtime
