// The scenarios of tests/sim, compiled in: the simulator has them wherever it is installed.
#pragma once

#include <span>
#include <string_view>

namespace pabal::sim {

struct ScenarioFile {
    std::string_view name;
    std::string_view content;
};

// In the order of their names.
std::span<const ScenarioFile> scenario_files();

}  // namespace pabal::sim
