#include "broker/cluster_view.h"

#include <algorithm>

namespace pabal::broker {

bool is_internal_topic(std::string_view name) {
    return name == "__consumer_offsets" || name == "__transaction_state" ||
           name == "__share_group_state";
}

const metadata::Endpoint* ClusterView::reachable(BrokerId id) const {
    const metadata::BrokerImage* broker = image_.broker(id);
    return broker && !broker->fenced ? broker->endpoint(listener_) : nullptr;
}

std::vector<const metadata::BrokerImage*> ClusterView::reachable_brokers() const {
    std::vector<const metadata::BrokerImage*> brokers;
    for (const auto& [id, broker] : image_.brokers()) {
        if (reachable(id)) brokers.push_back(&broker);
    }
    return brokers;
}

BrokerId ClusterView::any_broker(Prng* random) const {
    auto brokers = reachable_brokers();
    if (brokers.empty()) return no_broker;
    return brokers[static_cast<std::size_t>(random->below(brokers.size()))]->id;
}

std::vector<BrokerId> ClusterView::offline_replicas(
    const metadata::PartitionImage& partition) const {
    std::vector<BrokerId> offline;
    for (std::size_t index = 0; index < partition.replicas.size(); ++index) {
        BrokerId id = partition.replicas[index];
        bool online = reachable(id) != nullptr;
        if (online && index < partition.directories.size()) {
            // Ids below 100 are Kafka's words for unassigned, lost and migrating directories.
            const Uuid& directory = partition.directories[index].value();
            static constexpr Uuid lost{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
            bool reserved = std::all_of(directory.bytes.begin(), directory.bytes.end() - 1,
                                        [](std::uint8_t byte) { return byte == 0; });
            const auto& directories = image_.broker(id)->directories;
            online = reserved ? directory != lost
                              : directories.empty() ||
                                    std::find(directories.begin(), directories.end(),
                                              partition.directories[index]) != directories.end();
        }
        if (!online) offline.push_back(id);
    }
    return offline;
}

BrokerId ClusterView::reachable_leader(const metadata::PartitionImage& partition) const {
    return reachable(partition.leader) ? partition.leader : no_broker;
}

ErrorCode ClusterView::leader_error(const metadata::PartitionImage& partition) const {
    const metadata::BrokerImage* leader = image_.broker(partition.leader);
    return leader && !leader->fenced ? ErrorCode::listener_not_found
                                     : ErrorCode::leader_not_available;
}

}  // namespace pabal::broker
