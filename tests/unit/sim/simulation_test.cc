// Whole runs on a small broker that keeps all promises: they pass, one seed gives one trace, and
// each way of breaking the broker is noticed within a few seeds.
#include "sim/cluster/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/probe.h"
#include "sim/cluster/sabotage.h"
#include "sim/cluster/scenario_files.h"
#include "tests/unit/sim/toy_broker.h"

namespace pabal::sim {
namespace {

Scenario scenario_of_file(const std::string& name) {
    auto loaded = load_scenario(std::string(PABAL_SCENARIOS) + "/" + name + ".toml");
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return std::move(loaded).value();
}

Scenario scenario(const std::string& name) {
    auto result = scenario_of_file(name);
    result.safety = Duration::seconds(6);
    return result;
}

Outcome run(const Scenario& what, std::uint64_t seed, const std::string& sabotage = "") {
    SimulationOptions options;
    options.seed = seed;
    options.sabotage = sabotage;
    return simulate(what, options, toy_brokers());
}

class ToySimulation : public testing::TestWithParam<const char*> {};

TEST_P(ToySimulation, passes) {
    const auto what = scenario(GetParam());
    std::uint64_t lives = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const auto outcome = run(what, seed);
        EXPECT_EQ(outcome.verdict, Verdict::passed)
            << "seed " << seed << ": " << outcome.invariant << ": " << outcome.what;
        EXPECT_GT(outcome.progress, 50u);
        lives += outcome.broker_lives;
    }
    EXPECT_GE(lives, 12u);
}

TEST_P(ToySimulation, gives_one_trace_for_one_seed) {
    const auto what = scenario(GetParam());
    std::set<std::uint64_t> hashes;
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
        const auto first = run(what, seed);
        const auto second = run(what, seed);
        EXPECT_EQ(first.trace_hash, second.trace_hash);
        EXPECT_EQ(first.event_count, second.event_count);
        hashes.insert(first.trace_hash);
    }
    EXPECT_EQ(hashes.size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(scenarios, ToySimulation,
                         testing::Values("kill", "power_loss", "full_disk", "slow_world"),
                         [](const auto& param) { return std::string(param.param); });

// Telling the trace changes nothing in it.
TEST(Simulation, is_not_disturbed_by_being_watched) {
    const auto what = scenario("kill");
    SimulationOptions options;
    options.seed = 5;
    const auto quiet = simulate(what, options, toy_brokers());
    std::uint64_t lines = 0;
    std::vector<std::string> history;
    std::vector<std::uint64_t> counts;
    options.sink = [&lines](const std::string&) { ++lines; };
    options.history = [&history](Instant, const std::string& event) { history.push_back(event); };
    options.progress = [&counts](Instant, std::uint64_t events) { counts.push_back(events); };
    const auto watched = simulate(what, options, toy_brokers());
    EXPECT_EQ(watched.trace_hash, quiet.trace_hash);
    EXPECT_GT(lines, 1000u);
    std::uint64_t faults = 0;
    for (const auto& [kind, count] : watched.faults) faults += count;
    EXPECT_GT(faults, 0u);
    EXPECT_EQ(std::count_if(history.begin(), history.end(),
                            [](const std::string& event) { return event.starts_with("fault: "); }),
              static_cast<std::ptrdiff_t>(faults));
    // About one for each virtual second.
    EXPECT_GE(counts.size(), 6u);
    EXPECT_LE(counts.size(),
              static_cast<std::size_t>(watched.virtual_time.to_milliseconds() / 1000 + 1));
    EXPECT_TRUE(std::is_sorted(counts.begin(), counts.end()));
}

TEST(Simulation, tells_what_each_kind_of_client_got_done) {
    const auto outcome = run(scenario("kill"), 3);
    std::uint64_t sum = 0;
    for (const auto& [kind, count] : outcome.answers) sum += count;
    EXPECT_EQ(sum, outcome.progress);
    EXPECT_GT(outcome.answers.at("idempotent producers"), 0u);
}

TEST(Scenarios, that_are_compiled_in_are_those_of_the_directory) {
    ASSERT_GE(scenario_files().size(), 10u);
    for (const auto& file : scenario_files()) {
        const std::string name(file.name);
        const auto parsed = parse_scenario(file.content, name);
        ASSERT_TRUE(parsed.ok()) << parsed.error().message;
        EXPECT_NE(parsed->description, "") << name;
        EXPECT_EQ(parsed->safety, scenario_of_file(name).safety);
    }
}

TEST(Simulation, reaches_the_rare_places_of_the_toy) {
    std::map<std::string, std::uint64_t> reached;
    for (const char* name : {"kill", "power_loss", "full_disk"}) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            for (const auto& [id, count] : run(scenario(name), seed).probes) reached[id] += count;
        }
    }
    EXPECT_GT(reached["toy-recovery-truncates"], 0u);
    EXPECT_GT(reached["toy-answers-duplicate"], 0u);
    EXPECT_GT(reached["toy-write-fails"], 0u);
}

constexpr std::uint64_t seeds_to_notice = 15;

std::string noticed(const Scenario& what, const std::string& sabotage) {
    for (std::uint64_t seed = 1; seed <= seeds_to_notice; ++seed) {
        const auto outcome = run(what, seed, sabotage);
        if (outcome.verdict != Verdict::passed) return outcome.invariant;
    }
    return "nothing";
}

struct Break {
    const char* sabotage;
    const char* scenario;
    std::set<std::string> invariants;  // That may notice it; empty: any.
};

void PrintTo(const Break& one, std::ostream* out) {
    *out << one.sabotage;
}

class BrokenToy : public testing::TestWithParam<Break> {};

TEST_P(BrokenToy, is_noticed) {
    const auto& [sabotage, name, invariants] = GetParam();
    const auto invariant = noticed(scenario(name), sabotage);
    EXPECT_NE(invariant, "nothing");
    EXPECT_TRUE(invariants.empty() || invariants.contains(invariant)) << invariant;
}

INSTANTIATE_TEST_SUITE_P(
    code, BrokenToy,
    testing::Values(Break{"toy-acknowledges-before-sync", "power_loss", {"acked-never-lost"}},
                    Break{"toy-recovery-skips-crc", "power_loss", {}},
                    Break{"toy-recovery-keeps-torn-end", "kill", {}},
                    Break{"toy-forgets-producers", "kill", {"no-duplicate-for-idempotent"}},
                    Break{"toy-keeps-half-a-write", "full_disk", {}},
                    Break{"toy-skips-an-offset", "kill", {"offsets-contiguous"}},
                    Break{"toy-high-watermark-wavers",
                          "kill",
                          {"high-watermark-monotonic", "offsets-contiguous"}},
                    Break{"toy-deletes-unsynced", "kill", {"deleted-stays-deleted"}}));

INSTANTIATE_TEST_SUITE_P(
    ports, BrokenToy,
    testing::Values(Break{"disk-sync-does-nothing", "power_loss", {}},
                    Break{"disk-sync-directory-does-nothing", "power_loss", {}},
                    Break{"disk-rename-loses-target", "power_loss", {}},
                    Break{"disk-write-is-short", "kill", {}},
                    Break{"disk-forgets-page-cache", "kill", {}},
                    Break{"disk-rots", "power_loss", {}},
                    Break{"store-loses-synced", "power_loss", {"deleted-stays-deleted"}},
                    Break{"network-swaps-segments", "kill", {}},
                    Break{"network-repeats-segments", "kill", {}}));

}  // namespace
}  // namespace pabal::sim
