#include "runtime/fetchers.h"

#include <algorithm>
#include <vector>

#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "runtime/partitions.h"

namespace pabal::runtime {

Fetchers::Fetchers(io::Ports* ports, const metadata::BrokerConfig* config, Partitions* partitions,
                   const Logger* log)
    : ports_(ports),
      config_(config),
      partitions_(partitions),
      log_(log),
      per_leader_(static_cast<std::int32_t>(config->integer("num.replica.fetchers"))) {}

Fetchers::~Fetchers() = default;

void Fetchers::apply(const metadata::ClusterDelta& delta) {
    if (stopping_) return;
    for (const auto& [id, topic] : delta.topics) {
        if (topic.deleted) {
            const TopicPartition first{id, PartitionIndex(0)};
            for (auto each = assigned_.lower_bound(first);
                 each != assigned_.end() && each->first.topic == id;) {
                each->second->leave(each->first);
                each = assigned_.erase(each);
            }
            continue;
        }
        for (const auto index : topic.partitions) assign({id, index});
    }
    // This process may be known from now on, and with that whom it follows.
    if (delta.brokers.count(config_->node_id()) > 0) {
        for (const auto* topic : partitions_->topics()) {
            for (const auto& partition : topic->partitions) {
                if (partition && assigned_.count(partition->id()) == 0) assign(partition->id());
            }
        }
    }
    for (const auto broker : delta.brokers) {
        for (auto& [key, fetcher] : fetchers_) {
            if (key.first == broker) fetcher->leader_changed();
        }
    }
    if (delta.configs.empty()) return;
    const metadata::ConfigView view(*config_, *partitions_->image());
    const auto count = static_cast<std::int32_t>(view.broker_integer("num.replica.fetchers"));
    if (count == per_leader_) return;
    per_leader_ = count;
    std::vector<TopicPartition> all;
    for (const auto& [id, fetcher] : assigned_) all.push_back(id);
    for (const auto& id : all) assign(id);
}

void Fetchers::assign(const TopicPartition& id) {
    const auto partition = partitions_->find(id);
    const bool follows = partition && !partition->deleted() &&
                         partition->metadata_leader() != no_broker &&
                         partition->metadata_leader() != config_->node_id();
    if (!follows) {
        withdraw(id);
        return;
    }
    const auto number = static_cast<std::int32_t>((std::hash<TopicPartition>{}(id)) %
                                                  static_cast<std::size_t>(per_leader_));
    const Key key{partition->metadata_leader(), number};
    auto& fetcher = fetchers_[key];
    if (!fetcher) {
        fetcher = std::make_unique<Fetcher>(ports_, config_, partitions_, log_, key.first, number);
    }
    const auto found = assigned_.find(id);
    if (found != assigned_.end() && found->second != fetcher.get()) withdraw(id);
    assigned_[id] = fetcher.get();
    fetcher->follow(partition);
}

void Fetchers::withdraw(const TopicPartition& id) {
    const auto found = assigned_.find(id);
    if (found == assigned_.end()) return;
    found->second->leave(id);
    assigned_.erase(found);
}

std::set<BrokerId> Fetchers::lost_leaders(Instant since) const {
    std::set<BrokerId> lost;
    for (const auto& [key, fetcher] : fetchers_) {
        const auto when = fetcher->lost_since();
        if (when && *when >= since) lost.insert(key.first);
    }
    return lost;
}

io::Task<void> Fetchers::end(bool killed) {
    stopping_ = true;
    for (auto& [key, fetcher] : fetchers_) {
        co_await fetcher->stop(killed);
    }
    fetchers_.clear();
    assigned_.clear();
}

io::Task<void> Fetchers::stop() {
    return end(false);
}

io::Task<void> Fetchers::kill() {
    return end(true);
}

}  // namespace pabal::runtime
