// The cluster as a client of one listener sees it: which brokers can be reached there, who leads a
// partition, which replicas are gone. Reads an image, keeps nothing.
#pragma once

#include <string_view>
#include <vector>

#include "base/error_code.h"
#include "base/ids.h"
#include "base/prng.h"
#include "metadata/cluster_image.h"

namespace pabal::broker {

// __consumer_offsets, __transaction_state, __share_group_state: shown as internal.
bool is_internal_topic(std::string_view name);

class ClusterView {
public:
    // Refers to both.
    ClusterView(const metadata::ClusterImage& image, std::string_view listener)
        : image_(image), listener_(listener) {}

    // Null if the broker is unknown, fenced, or has no such listener.
    const metadata::Endpoint* reachable(BrokerId id) const;
    // Ordered by id.
    std::vector<const metadata::BrokerImage*> reachable_brokers() const;
    // Clients never see the real controller: any live broker takes their requests. -1 if none is.
    BrokerId any_broker(Prng* random) const;
    // Replicas that cannot be reached, or whose directory is lost.
    std::vector<BrokerId> offline_replicas(const metadata::PartitionImage& partition) const;
    // The leader as clients reach it, else -1.
    BrokerId reachable_leader(const metadata::PartitionImage& partition) const;
    // Why reachable_leader is -1.
    ErrorCode leader_error(const metadata::PartitionImage& partition) const;

private:
    const metadata::ClusterImage& image_;
    std::string_view listener_;
};

}  // namespace pabal::broker
