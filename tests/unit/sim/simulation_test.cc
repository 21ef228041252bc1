// Whole runs on a small broker that keeps all promises: they pass, one seed gives one trace, and
// each way of breaking the broker is noticed within a few seeds.
#include "sim/cluster/simulation.h"

#include <gtest/gtest.h>

#include <set>

#include "base/probe.h"
#include "sim/cluster/sabotage.h"
#include "tests/unit/sim/toy_broker.h"

namespace pabal::sim {
namespace {

Scenario scenario(const std::string& name) {
    auto loaded = load_scenario(std::string(PABAL_SCENARIOS) + "/" + name + ".toml");
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    auto result = std::move(loaded).value();
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
    options.sink = [&lines](const std::string&) { ++lines; };
    EXPECT_EQ(simulate(what, options, toy_brokers()).trace_hash, quiet.trace_hash);
    EXPECT_GT(lines, 1000u);
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
