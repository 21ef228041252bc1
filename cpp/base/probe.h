// Marks in the code for the simulator. REACHED("id") says that a rare place was visited, so that a
// batch of seeds which never went there fails; SABOTAGED("id") is true only while the simulator has
// asked for exactly that fault, to prove that its checkers would notice. Off (a test of one global
// that is never set) in every other program, and gone altogether without PABAL_PROBES.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace pabal::probe {

#ifdef PABAL_PROBES

// Set only by the simulator, before anything runs; it has one thread.
extern bool enabled;

void reached(const char* id);
bool sabotaged(const char* id);

#define REACHED(id)                               \
    do {                                          \
        if (::pabal::probe::enabled) [[unlikely]] \
            ::pabal::probe::reached(id);          \
    } while (false)
#define SABOTAGED(id) (::pabal::probe::enabled && ::pabal::probe::sabotaged(id))

#else

#define REACHED(id) static_cast<void>(0)
#define SABOTAGED(id) false

#endif

// How often each probe was reached since the last reset. Empty while probes are off.
const std::map<std::string, std::uint64_t>& counts();
// Starts counting anew, with one fault in the code; an empty id breaks nothing.
void begin(const std::string& sabotage);
void end();

}  // namespace pabal::probe
