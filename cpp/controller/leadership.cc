#include "controller/leadership.h"

#include <algorithm>
#include <optional>

#include "controller/placement.h"
#include "metadata/cluster_image.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::PartitionImage;
using metadata::Record;

bool contains(const Replicas& replicas, BrokerId broker) {
    return std::find(replicas.begin(), replicas.end(), broker) != replicas.end();
}

Replicas without(const Replicas& replicas, BrokerId broker) {
    Replicas rest;
    std::copy_if(replicas.begin(), replicas.end(), std::back_inserter(rest),
                 [&](BrokerId replica) { return replica != broker; });
    return rest;
}

// The most preferred replica of those in sync that can lead, other than `broker`.
std::optional<BrokerId> successor(const ClusterImage& image, const PartitionImage& partition,
                                  BrokerId broker) {
    for (BrokerId replica : partition.replicas)
        if (replica != broker && contains(partition.isr, replica) && is_active(image, replica))
            return replica;
    return std::nullopt;
}

// Calls `change(partition)`, which returns the record that is needed, if one is.
template <class Change>
void for_each_partition(const ClusterImage& image, std::vector<Record>& records, Change change) {
    for (const auto& [name, id] : image.topic_ids()) {
        const auto topic = image.topic(id);
        for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
            std::optional<wire::PartitionChangeRecord> record = change(topic->partitions[i]);
            if (!record) continue;
            record->partition_id = PartitionIndex(static_cast<std::int32_t>(i));
            record->topic_id = id;
            records.emplace_back(std::move(*record));
        }
    }
}

// The partition goes on without `broker`, which is in sync and not alone.
wire::PartitionChangeRecord shrink(const ClusterImage& image, const PartitionImage& partition,
                                   BrokerId broker) {
    wire::PartitionChangeRecord record;
    record.isr = without(partition.isr, broker);
    if (partition.leader == broker)
        record.leader = successor(image, partition, broker).value_or(no_broker);
    return record;
}

wire::PartitionChangeRecord lead(BrokerId broker) {
    wire::PartitionChangeRecord record;
    record.leader = broker;
    return record;
}

// KIP-966: Kafka leaves nobody in sync behind where the last one left in order, and remembers him
// as one who may lead.
bool may_lead_again(const PartitionImage& partition, BrokerId broker) {
    return partition.leader == no_broker && partition.isr.empty() &&
           contains(partition.eligible_leader_replicas, broker);
}

wire::PartitionChangeRecord lead_again(const PartitionImage& partition, BrokerId broker) {
    wire::PartitionChangeRecord record = lead(broker);
    record.isr = Replicas{broker};
    record.eligible_leader_replicas = without(partition.eligible_leader_replicas, broker);
    return record;
}

using Change = std::optional<wire::PartitionChangeRecord>;

}  // namespace

void broker_left(const ClusterImage& image, BrokerId broker, std::vector<Record>& records) {
    for_each_partition(image, records, [&](const PartitionImage& partition) -> Change {
        if (contains(partition.isr, broker) && partition.isr.size() > 1)
            return shrink(image, partition, broker);
        if (partition.leader == broker) return lead(no_broker);
        return std::nullopt;
    });
}

void broker_leaves(const ClusterImage& image, BrokerId broker, std::vector<Record>& records) {
    for_each_partition(image, records, [&](const PartitionImage& partition) -> Change {
        if (!contains(partition.isr, broker) || partition.isr.size() == 1) return std::nullopt;
        if (partition.leader == broker && !successor(image, partition, broker)) return std::nullopt;
        return shrink(image, partition, broker);
    });
}

void broker_came(const ClusterImage& image, BrokerId broker, std::vector<Record>& records) {
    for_each_partition(image, records, [&](const PartitionImage& partition) -> Change {
        if (partition.leader == no_broker && contains(partition.isr, broker)) return lead(broker);
        if (may_lead_again(partition, broker)) return lead_again(partition, broker);
        return std::nullopt;
    });
}

void broker_restarted(const ClusterImage& image, BrokerId broker, std::vector<Record>& records) {
    for_each_partition(image, records, [&](const PartitionImage& partition) -> Change {
        const bool in_sync = contains(partition.isr, broker);
        if (in_sync && successor(image, partition, broker)) return shrink(image, partition, broker);
        if (partition.leader == broker) return lead(in_sync ? broker : no_broker);
        if (partition.leader == no_broker && in_sync) return lead(broker);
        if (may_lead_again(partition, broker)) return lead_again(partition, broker);
        return std::nullopt;
    });
}

bool leads_what_others_could(const ClusterImage& image, BrokerId broker) {
    for (const auto& [name, id] : image.topic_ids())
        for (const PartitionImage& partition : image.topic(id)->partitions)
            if (partition.leader == broker && successor(image, partition, broker)) return true;
    return false;
}

}  // namespace pabal::controller
