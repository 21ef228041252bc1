// pabal-sim: runs a scenario under seeds, on real nodes in a simulated world. One seed gives one
// run: what failed once fails again under the line that is printed. With --json every line is an
// object with one member, for pabal.Simulation.
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bin/json_text.h"
#include "sim/cluster/sabotage.h"
#include "sim/cluster/scenario_files.h"
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
    "                 [--sabotage ID] [--regressions] [--quiet|--json]\n"
    "       pabal-sim --sabotages [--seeds COUNT]\n"
    "       pabal-sim --list [--json]\n"
    "       pabal-sim --version\n"
    "\n"
    "  --scenario     a file, or a name that --list tells\n"
    "  --seed         the first seed (1)\n"
    "  --fresh        a first seed that nobody chose\n"
    "  --seeds        how many, one after the other (1)\n"
    "  --trace        tells every event of the run\n"
    "  --twice        runs each seed twice and compares the traces\n"
    "  --regressions  the seeds that the scenario's file remembers\n"
    "  --sabotage     breaks the world or the broker as ID says\n"
    "  --sabotages    runs each known sabotage in its scenario; each must be noticed\n"
    "  --list         tells the known scenarios and sabotages\n"
    "  --json         tells everything as lines of JSON, and what befalls the brokers\n"
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
    bool json = false;
    bool list = false;
    bool version = false;
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

Result<sim::Scenario> find_scenario(const std::string& scenario) {
    if (scenario.find('/') != std::string::npos || scenario.ends_with(".toml")) {
        return sim::load_scenario(scenario);
    }
    std::string known;
    for (const auto& file : sim::scenario_files()) {
        if (file.name == scenario) return sim::parse_scenario(file.content, scenario);
        known += (known.empty() ? "" : ", ") + std::string(file.name);
    }
    return Error{ErrorCode::invalid_config, "there is no scenario " + scenario + "; there are " +
                                                known + ", and files that end with .toml"};
}

void tell_json(std::string_view name, const JsonObject& object) {
    std::printf("%s\n", JsonObject().add(name, object).text().c_str());
    std::fflush(stdout);
}

const char* name_of(sim::Verdict verdict) {
    switch (verdict) {
        case sim::Verdict::passed: return "passed";
        case sim::Verdict::safety_violated: return "safety";
        case sim::Verdict::liveness_violated: return "liveness";
    }
    return "unknown";
}

std::uint64_t microseconds(Instant when) {
    return static_cast<std::uint64_t>((when - Instant()).to_microseconds());
}

void report_json(const sim::Scenario& scenario, std::uint64_t seed, const sim::Outcome& outcome) {
    char hash[17];
    std::snprintf(hash, sizeof hash, "%016" PRIx64, outcome.trace_hash);
    JsonObject result;
    result.add("seed", seed)
        .add("verdict", name_of(outcome.verdict))
        .add("invariant", outcome.invariant)
        .add("what", outcome.what)
        .add("trace_hash", hash)
        .add("events", outcome.event_count)
        .add("simulated_us", microseconds(Instant() + outcome.virtual_time))
        .add("lives", outcome.broker_lives)
        .add("answers", outcome.answers)
        .add("faults", outcome.faults)
        .add("probes", outcome.probes)
        .add("must_reach", scenario.must_reach);
    tell_json("result", result);
}

// Whoever reads JSON is told of everything as it happens.
void tell_as_json(sim::SimulationOptions* options) {
    options->history = [](Instant when, const std::string& what) {
        tell_json("history", JsonObject().add("at_us", microseconds(when)).add("what", what));
    };
    options->progress = [](Instant now, std::uint64_t event_count) {
        tell_json("progress",
                  JsonObject().add("at_us", microseconds(now)).add("events", event_count));
    };
    if (options->sink) {
        options->sink = [](const std::string& line) {
            std::printf("%s\n", JsonObject().add("trace", line).text().c_str());
        };
    }
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

int list_all(const Arguments& arguments) {
    std::vector<JsonObject> scenarios;
    std::vector<JsonObject> sabotages;
    for (const auto& file : sim::scenario_files()) {
        const auto scenario = sim::parse_scenario(file.content, std::string(file.name));
        if (!scenario.ok()) {
            std::fprintf(stderr, "pabal-sim: %s\n", scenario.error().message.c_str());
            return misused;
        }
        scenarios.push_back(JsonObject()
                                .add("name", scenario->name)
                                .add("description", scenario->description)
                                .add("brokers", scenario->brokers)
                                .add("content", file.content));
        if (arguments.json) continue;
        std::printf("%-20s %u broker%s. %s\n", scenario->name.c_str(), scenario->brokers,
                    scenario->brokers == 1 ? "" : "s", scenario->description.c_str());
    }
    for (const auto& sabotage : sim::sabotages()) {
        sabotages.push_back(JsonObject()
                                .add("id", sabotage.id)
                                .add("what", sabotage.what)
                                .add("scenario", sabotage.scenario));
        if (arguments.json) continue;
        std::printf("%-38s a broker that %s: %s\n", sabotage.id.c_str(), sabotage.what.c_str(),
                    sabotage.scenario.c_str());
    }
    if (arguments.json) {
        const auto all = JsonObject().add("scenarios", scenarios).add("sabotages", sabotages);
        std::printf("%s\n", all.text().c_str());
    }
    return passed;
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
    if (arguments.json) tell_as_json(&options);
    const auto servers = sim::node_servers(scenario.broker_config);
    const auto outcome = sim::simulate(scenario, options, servers);
    if (arguments.json) {
        report_json(scenario, seed, outcome);
    } else {
        report(arguments, seed, outcome);
    }
    for (const auto& [id, count] : outcome.probes) (*probes)[id] += count;
    if (arguments.twice) {
        options = {.seed = seed, .sabotage = arguments.sabotage};
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
    const auto scenario = find_scenario(arguments.scenario);
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
    if (!arguments.quiet && !arguments.json) {
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
        } else if (word == "--json") {
            out->json = true;
        } else if (word == "--list") {
            out->list = true;
        } else if (word == "--version") {
            out->version = true;
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
    const int asked = (out->sabotages ? 1 : 0) + (out->list ? 1 : 0) + (out->version ? 1 : 0) +
                      (out->scenario.empty() ? 0 : 1);
    return asked == 1;
}

}  // namespace

int main(int count, char** words) {
    Arguments arguments;
    if (!parse(count, words, &arguments)) {
        std::fputs(usage, stderr);
        return misused;
    }
    if (arguments.version) {
        std::puts("pabal-sim " PABAL_VERSION);
        return passed;
    }
    if (arguments.list) return list_all(arguments);
#ifdef M_TRIM_THRESHOLD
    // A run takes memory and gives it back all the time: the kernel need not be asked each time.
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 16 << 20);
#endif
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        std::signal(signal, tell_crash);
    }
    // A crash must not take the last lines with it.
    if (arguments.trace) std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
    return arguments.sabotages ? run_sabotages(arguments) : run(arguments);
}
