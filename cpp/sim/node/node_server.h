// Runs a real node as the broker of a simulation.
#pragma once

#include <map>
#include <string>

#include "sim/cluster/server.h"

namespace pabal::sim {

// `properties` are laid over what a single simulated broker needs.
MakeServer node_servers(std::map<std::string, std::string> properties);

}  // namespace pabal::sim
