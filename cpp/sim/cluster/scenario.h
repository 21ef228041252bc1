// A scenario: what runs, what goes wrong, and what must have been seen, as a file in tests/sim says
// it. Times are ranges from which the seed draws.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sim/network.h"

namespace pabal::sim {

struct DurationRange {
    Duration least;
    Duration most;
};

struct TopicSpec {
    std::string name;
    std::int32_t partitions = 1;
    std::int16_t replication_factor = 1;
    std::map<std::string, std::string> config;

    bool is_synced() const {
        const auto entry = config.find("flush.messages");
        return entry != config.end() && entry->second == "1";
    }
};

struct WorkloadSpec {
    // "produce", "consume", "delete-records", "change-topics", "commit-offsets", "join-groups",
    // "change-voters", "transact", "watch"
    std::string kind;
    std::int32_t clients = 1;
    bool idempotent = false;
    // Of transactional producers: with 2 half of them, else none end epochs by it (KIP-890).
    std::int16_t transaction_version = 2;
    bool commits = false;  // Members of groups commit how far they have read, too.
    std::vector<std::int16_t> acks{-1};
    std::int32_t batch_records_max = 10;
    DurationRange pause{Duration::milliseconds(0), Duration::milliseconds(20)};
};

struct FaultSpec {
    // "kill", "kill-in-disk-operation", "power-loss", "power-loss-in-disk-operation", "restart",
    // "disk-full", "disk-errors", "directory-breaks", "disk-slow", "pause", "network-slow",
    // "reset-streams", "cut", "split", "advance"
    std::string kind;
    // How many brokers it strikes at once: from one to so many.
    std::uint32_t most = 1;
    DurationRange every;  // Between the end of one and the next.
    DurationRange lasts{Duration::milliseconds(1), Duration::seconds(2)};
};

// A seed that once found something, and what that was.
struct RegressionSeed {
    std::uint64_t seed = 0;
    std::string broke;
};

struct Scenario {
    std::string name;
    std::string description;
    Duration safety = Duration::seconds(20);
    // Virtual time within which everything must work again once nothing fails any more.
    Duration liveness = Duration::seconds(60);
    std::uint32_t brokers = 1;
    std::map<std::string, std::string> broker_config;
    // Levels of features; those that are not named are the newest.
    std::map<std::string, std::int16_t> features;
    std::uint64_t disk_bytes = 256 << 20;
    NetworkProfile network;
    std::vector<TopicSpec> topics;
    std::vector<WorkloadSpec> workloads;
    std::vector<FaultSpec> faults;
    // Probes that a batch of seeds of this scenario must reach.
    std::vector<std::string> must_reach;
    std::vector<RegressionSeed> regressions;
};

// The scenario of a file; an error names the line or key.
Result<Scenario> load_scenario(const std::string& path);
Result<Scenario> parse_scenario(std::string_view content, const std::string& name);

}  // namespace pabal::sim
