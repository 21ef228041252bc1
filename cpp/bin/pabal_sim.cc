// pabal-sim: runs a scenario of tests/sim under seeds, on real nodes in a simulated world. One seed
// gives one run: what failed once fails again under the line that is printed.
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "sim/cluster/sabotage.h"
#include "sim/cluster/simulation.h"
#include "sim/node/node_server.h"

namespace {

using namespace pabal;

enum ExitCode {
    passed = 0,
    misused = 1,
    crashed = 3,
    safety_violated = 4,
    liveness_violated = 5,
    not_deterministic = 6,
    probe_not_reached = 7,
    sabotage_not_noticed = 8,
};

constexpr char usage[] =
    "usage: pabal-sim --scenario NAME|FILE [--seed N|--fresh] [--seeds COUNT] [--trace] [--twice]\n"
    "                 [--sabotage ID] [--regressions] [--quiet]\n"
    "       pabal-sim --sabotages [--seeds COUNT]\n"
    "\n"
    "  --scenario     a file, or a name in tests/sim\n"
    "  --seed         the first seed (1)\n"
    "  --fresh        a first seed that nobody chose\n"
    "  --seeds        how many, one after the other (1)\n"
    "  --trace        tells every event of the run\n"
    "  --twice        runs each seed twice and compares the traces\n"
    "  --regressions  the seeds that the scenario's file remembers\n"
    "  --sabotage     breaks the world or the broker as ID says\n"
    "  --sabotages    runs each known sabotage in its scenario; each must be noticed\n"
    "\n"
    "exit code: 0 passed, 1 misused, 3 crash, 4 safety, 5 liveness, 6 not deterministic,\n"
    "7 a probe was not reached, 8 a sabotage was not noticed\n";

#ifdef PABAL_PROBES
constexpr bool has_probes = true;
#else
constexpr bool has_probes = false;
#endif

struct Arguments {
    std::string scenario;
    std::uint64_t seed = 1;
    std::uint64_t seeds = 1;
    std::string sabotage;
    bool trace = false;
    bool twice = false;
    bool regressions = false;
    bool sabotages = false;
    bool quiet = false;
};

// The line that replays the run under way, for a handler that may not format anything.
char replay_line[512];

void tell_crash(int signal) {
    const char head[] = "crash; replay with: ";
    static_cast<void>(!write(STDERR_FILENO, head, sizeof head - 1));
    static_cast<void>(!write(STDERR_FILENO, replay_line, std::strlen(replay_line)));
    static_cast<void>(!write(STDERR_FILENO, "\n", 1));
    static_cast<void>(signal);
    _exit(crashed);
}

void note_replay_line(const Arguments& arguments, std::uint64_t seed) {
    std::snprintf(replay_line, sizeof replay_line, "pabal-sim --scenario %s --seed %" PRIu64 "%s%s",
                  arguments.scenario.c_str(), seed,
                  arguments.sabotage.empty() ? "" : " --sabotage ", arguments.sabotage.c_str());
}

std::string path_of(const std::string& scenario) {
    const bool is_path = scenario.find('/') != std::string::npos || scenario.ends_with(".toml");
    return is_path ? scenario : std::string(PABAL_SCENARIOS) + "/" + scenario + ".toml";
}

void report(const Arguments& arguments, std::uint64_t seed, const sim::Outcome& outcome) {
    if (outcome.verdict != sim::Verdict::passed) {
        std::printf("seed %" PRIu64 " %s: %s: %s\n", seed,
                    outcome.verdict == sim::Verdict::safety_violated ? "SAFETY" : "LIVENESS",
                    outcome.invariant.c_str(), outcome.what.c_str());
        std::printf("replay with: %s\n", replay_line);
    } else if (!arguments.quiet) {
        std::printf("seed %" PRIu64 " passed: %" PRId64 " ms, %" PRIu64 " lives, %" PRIu64
                    " answers, %" PRIu64 " events, trace %016" PRIx64 "\n",
                    seed, outcome.virtual_time.to_milliseconds(), outcome.broker_lives,
                    outcome.progress, outcome.event_count, outcome.trace_hash);
    }
    std::fflush(stdout);
}

int run_seed(const Arguments& arguments, const sim::Scenario& scenario, std::uint64_t seed,
             std::map<std::string, std::uint64_t>* probes) {
    note_replay_line(arguments, seed);
    sim::SimulationOptions options;
    options.seed = seed;
    options.sabotage = arguments.sabotage;
    if (arguments.trace) {
        options.sink = [](const std::string& line) { std::puts(line.c_str()); };
    }
    const auto servers = sim::node_servers(scenario.broker_config);
    const auto outcome = sim::simulate(scenario, options, servers);
    report(arguments, seed, outcome);
    for (const auto& [id, count] : outcome.probes) (*probes)[id] += count;
    if (arguments.twice) {
        options.sink = nullptr;
        const auto again = sim::simulate(scenario, options, servers);
        if (again.trace_hash != outcome.trace_hash) {
            std::printf("seed %" PRIu64 " gave trace %016" PRIx64 " and then %016" PRIx64
                        "\nreplay with: %s --twice\n",
                        seed, outcome.trace_hash, again.trace_hash, replay_line);
            return not_deterministic;
        }
    }
    switch (outcome.verdict) {
        case sim::Verdict::passed: return passed;
        case sim::Verdict::safety_violated: return safety_violated;
        case sim::Verdict::liveness_violated: return liveness_violated;
    }
    return crashed;
}

int run(const Arguments& arguments) {
    const auto scenario = sim::load_scenario(path_of(arguments.scenario));
    if (!scenario.ok()) {
        std::fprintf(stderr, "pabal-sim: %s\n", scenario.error().message.c_str());
        return misused;
    }
    std::map<std::string, std::uint64_t> probes;
    if (arguments.regressions) {
        for (const auto& regression : scenario->regressions) {
            const int code = run_seed(arguments, *scenario, regression.seed, &probes);
            if (code != passed) {
                std::printf("this seed once showed: %s\n", regression.broke.c_str());
                return code;
            }
        }
        return passed;
    }
    for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
        const int code = run_seed(arguments, *scenario, arguments.seed + i, &probes);
        if (code != passed) return code;
    }
    if (!arguments.quiet) {
        for (const auto& [id, count] : probes)
            std::printf("reached %s %" PRIu64 " times\n", id.c_str(), count);
    }
    // One seed need not go everywhere; a batch of them must.
    int code = passed;
    if (!has_probes || arguments.seeds < 10 || !arguments.sabotage.empty()) return code;
    for (const auto& id : scenario->must_reach) {
        if (probes.contains(id)) continue;
        std::printf("%s: none of %" PRIu64 " seeds reached %s\n", arguments.scenario.c_str(),
                    arguments.seeds, id.c_str());
        code = probe_not_reached;
    }
    return code;
}

// Each in a process of its own, as a broken broker may well crash.
bool is_noticed(const sim::Sabotage& sabotage, const Arguments& all, std::uint64_t* seed) {
    for (*seed = all.seed; *seed < all.seed + all.seeds; ++*seed) {
        const pid_t child = fork();
        if (child == 0) {
            std::freopen("/dev/null", "w", stdout);
            std::freopen("/dev/null", "w", stderr);
            Arguments one;
            one.scenario = sabotage.scenario;
            one.seed = *seed;
            one.sabotage = sabotage.id;
            _exit(run(one));
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) >= crashed) return true;
    }
    return false;
}

int run_sabotages(const Arguments& arguments) {
    if (!has_probes) {
        std::fprintf(stderr,
                     "pabal-sim: built without PABAL_PROBES, the broker cannot be broken\n");
        return misused;
    }
    int code = passed;
    for (const auto& sabotage : sim::sabotages()) {
        std::uint64_t seed = 0;
        if (is_noticed(sabotage, arguments, &seed)) {
            std::printf("%-34s noticed by seed %" PRIu64 " of %s\n", sabotage.id.c_str(), seed,
                        sabotage.scenario.c_str());
        } else {
            std::printf("%-34s NOT NOTICED: a broker that %s passes %" PRIu64 " seeds of %s\n",
                        sabotage.id.c_str(), sabotage.what.c_str(), arguments.seeds,
                        sabotage.scenario.c_str());
            code = sabotage_not_noticed;
        }
        std::fflush(stdout);
    }
    return code;
}

bool parse(int count, char** words, Arguments* out) {
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const bool has_value = i + 1 < count;
        if (word == "--trace") {
            out->trace = true;
        } else if (word == "--fresh") {
            std::random_device chance;
            out->seed = 1'000'000 + chance();
        } else if (word == "--twice") {
            out->twice = true;
        } else if (word == "--regressions") {
            out->regressions = true;
        } else if (word == "--sabotages") {
            out->sabotages = true;
        } else if (word == "--quiet") {
            out->quiet = true;
        } else if (word == "--scenario" && has_value) {
            out->scenario = words[++i];
        } else if (word == "--sabotage" && has_value) {
            out->sabotage = words[++i];
        } else if ((word == "--seed" || word == "--seeds") && has_value) {
            char* end = nullptr;
            const auto number = std::strtoull(words[++i], &end, 10);
            if (*end != '\0' || end == words[i]) return false;
            (word == "--seed" ? out->seed : out->seeds) = number;
        } else {
            return false;
        }
    }
    return out->sabotages != !out->scenario.empty();
}

}  // namespace

int main(int count, char** words) {
    Arguments arguments;
    if (!parse(count, words, &arguments)) {
        std::fputs(usage, stderr);
        return misused;
    }
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        std::signal(signal, tell_crash);
    }
    return arguments.sabotages ? run_sabotages(arguments) : run(arguments);
}
