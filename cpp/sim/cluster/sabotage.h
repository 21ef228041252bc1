// Broken on purpose: one planned fault of the simulated ports or, through a mark in the code
// (SABOTAGED in base/probe.h), of the broker itself. The simulator has to notice each within a few
// seeds; a checker that finds none is worth nothing.
#pragma once

#include <string>
#include <vector>

namespace pabal::sim {

class Machine;
class Network;

struct Sabotage {
    std::string id;
    std::string what;      // What a broker so broken does wrong.
    std::string scenario;  // Of tests/sim, where it must be noticed.
};

// All that are known.
const std::vector<Sabotage>& sabotages();

// Breaks the world as `id` says; false if it is none of the ports, but a mark in the code.
bool apply_sabotage(const std::string& id, Machine& broker, Network& network);

}  // namespace pabal::sim
