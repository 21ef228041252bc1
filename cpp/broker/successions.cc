#include "broker/successions.h"

#include <string_view>

#include "broker/request.h"

namespace pabal::broker {
namespace {

// All that are built upon librdkafka say so in their name or in their version (KIP-511).
bool is_librdkafka(const Peer& peer) {
    constexpr std::string_view name = "rdkafka";
    return peer.software_name.find(name) != std::string::npos ||
           peer.software_version.find(name) != std::string::npos;
}

}  // namespace

void Successions::apply(const metadata::ClusterDelta& delta, const metadata::ClusterImage& image) {
    const Instant now = clock_.now();
    std::erase_if(lost_, [&](const auto& entry) { return entry.second + remembered < now; });
    std::erase_if(successions_,
                  [&](const auto& entry) { return entry.second.when + remembered < now; });
    for (const BrokerId id : delta.brokers) {
        const metadata::BrokerImage* broker = image.broker(id);
        if (broker && !broker->fenced) {
            live_.insert(id);
            lost_.erase(id);
        } else if (live_.erase(id) > 0 && broker && !broker->in_controlled_shutdown) {
            lost_[id] = now;
        }
    }
    if (lost_.empty()) return;
    for (const auto& [id, changed] : delta.topics) {
        const auto topic = image.topic(id);
        if (!changed.before || !topic) continue;
        for (const PartitionIndex index : changed.partitions) {
            const auto at = static_cast<std::size_t>(index.value());
            if (at >= changed.before->partitions.size()) continue;
            const BrokerId before = changed.before->partitions[at].leader;
            if (before != topic->partitions[at].leader && lost_.contains(before))
                successions_[{id, index}] = {before, now};
        }
    }
}

void Successions::tell(wire::MetadataResponse* response, const metadata::ClusterImage& image,
                       Peer* peer) const {
    const Instant told = peer->told_of_cluster;
    peer->told_of_cluster = clock_.now();
    if (successions_.empty() || !is_librdkafka(*peer)) return;
    std::set<BrokerId> missed;
    for (const auto& topic : response->topics) {
        for (const auto& partition : topic.partitions) {
            const auto found = successions_.find({topic.topic_id, partition.partition_index});
            if (found == successions_.end() || found->second.when <= told ||
                found->second.when + remembered < clock_.now())
                continue;
            missed.insert(found->second.lost);
        }
    }
    for (const BrokerId id : missed) {
        const metadata::BrokerImage* broker = image.broker(id);
        const auto* endpoint = broker ? broker->endpoint(peer->listener_name) : nullptr;
        if (endpoint && broker->fenced)
            response->brokers.push_back({id, endpoint->host, endpoint->port, broker->rack});
    }
}

}  // namespace pabal::broker
