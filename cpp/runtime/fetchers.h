// All fetchers of this broker: one for each leader that it follows, or num.replica.fetchers of
// them. Follows the metadata after Partitions did. Owned by the node, lives on the data shard.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "base/ids.h"
#include "base/time.h"
#include "io/task.h"
#include "metadata/cluster_delta.h"
#include "runtime/fetcher.h"

namespace pabal::runtime {

class Fetchers {
public:
    // All outlive this object.
    Fetchers(io::Ports* ports, const metadata::BrokerConfig* config, Partitions* partitions,
             const Logger* log);
    ~Fetchers();
    Fetchers(const Fetchers&) = delete;
    Fetchers& operator=(const Fetchers&) = delete;

    // What Partitions::apply has just applied.
    void apply(const metadata::ClusterDelta& delta);

    // Leaders whose connection broke after `since` and is not there again: they may be dead.
    std::set<BrokerId> lost_leaders(Instant since) const;

    // Before Partitions stop; ends when nothing is under way any more.
    io::Task<void> stop();
    io::Task<void> kill();

private:
    using Key = std::pair<BrokerId, std::int32_t>;

    void assign(const TopicPartition& id);
    void withdraw(const TopicPartition& id);
    io::Task<void> end(bool killed);

    io::Ports* ports_;
    const metadata::BrokerConfig* config_;
    Partitions* partitions_;
    const Logger* log_;
    std::int32_t per_leader_ = 1;
    std::map<Key, std::unique_ptr<Fetcher>> fetchers_;
    std::map<TopicPartition, Fetcher*> assigned_;
    bool stopping_ = false;
};

}  // namespace pabal::runtime
