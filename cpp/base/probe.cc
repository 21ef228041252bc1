#include "base/probe.h"

namespace pabal::probe {
namespace {

std::map<std::string, std::uint64_t>& all_counts() {
    static std::map<std::string, std::uint64_t> counts;
    return counts;
}

std::string& current_sabotage() {
    static std::string id;
    return id;
}

}  // namespace

#ifdef PABAL_PROBES

bool enabled = false;

void reached(const char* id) {
    ++all_counts()[id];
}
bool sabotaged(const char* id) {
    return current_sabotage() == id;
}

#endif

const std::map<std::string, std::uint64_t>& counts() {
    return all_counts();
}

void begin(const std::string& sabotage) {
    all_counts().clear();
    current_sabotage() = sabotage;
#ifdef PABAL_PROBES
    enabled = true;
#endif
}

void end() {
#ifdef PABAL_PROBES
    enabled = false;
#endif
    current_sabotage().clear();
}

}  // namespace pabal::probe
