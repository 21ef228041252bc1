#include "metadata/cluster_delta.h"

namespace pabal::metadata {

void ClusterDelta::merge(ClusterDelta later) {
    for (auto& [id, change] : later.topics) {
        auto [entry, fresh] = topics.try_emplace(id, change);
        if (fresh) continue;
        TopicDelta& earlier = entry->second;
        if (change.deleted) {
            if (!earlier.before) {
                topics.erase(entry);
                continue;
            }
            earlier.deleted = true;
            earlier.partitions.clear();
        } else {
            earlier.partitions.merge(change.partitions);
        }
    }
    configs.merge(later.configs);
    brokers.merge(later.brokers);
    controllers.merge(later.controllers);
    features.merge(later.features);
    producer_ids |= later.producer_ids;
}

ClusterDelta ClusterDelta::all_of(const ClusterImage& image) {
    ClusterDelta delta;
    for (const auto& topic : image.topics()) {
        TopicDelta& change = delta.topics[topic->id];
        for (std::size_t i = 0; i < topic->partitions.size(); ++i)
            change.partitions.insert(change.partitions.end(),
                                     PartitionIndex(static_cast<std::int32_t>(i)));
    }
    for (const auto& [resource, settings] : image.configs()) delta.configs.insert(resource);
    for (const auto& [id, broker] : image.brokers()) delta.brokers.insert(id);
    for (const auto& [id, controller] : image.controllers()) delta.controllers.insert(id);
    for (const auto& [name, level] : image.features()) delta.features.insert(name);
    delta.producer_ids = image.next_producer_id() > ProducerId(0);
    return delta;
}

ClusterDelta ClusterDelta::between(const ClusterImage& before, const ClusterImage& after) {
    // Whatever exists afterwards may have changed.
    ClusterDelta delta = all_of(after);
    for (const auto& topic : before.topics()) {
        TopicDelta& change = delta.topics[topic->id];
        change.before = topic;
        change.deleted = after.topic(topic->id) == nullptr;
    }
    for (const auto& [resource, settings] : before.configs()) delta.configs.insert(resource);
    for (const auto& [id, broker] : before.brokers()) delta.brokers.insert(id);
    for (const auto& [id, controller] : before.controllers()) delta.controllers.insert(id);
    for (const auto& [name, level] : before.features()) delta.features.insert(name);
    delta.producer_ids |= before.next_producer_id() != after.next_producer_id();
    return delta;
}

}  // namespace pabal::metadata
