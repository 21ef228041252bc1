// Tells a client that asked the wrong broker, or with an old leader epoch, who leads the partition
// and where that broker is, in the same response (KIP-951). For Produce and Fetch alike.
#pragma once

#include <algorithm>

#include "broker/cluster_view.h"

namespace pabal::broker {

// `partition` is of the response; null or without a leader, nothing is told.
template <class Response, class PartitionData>
void tell_current_leader(Response* response, PartitionData* data,
                         const metadata::PartitionImage* partition,
                         const metadata::ClusterImage& image, std::string_view listener) {
    if (!partition || partition->leader == no_broker) return;
    data->current_leader.leader_id = partition->leader;
    data->current_leader.leader_epoch = partition->leader_epoch;
    const auto* endpoint = ClusterView(image, listener).reachable(partition->leader);
    const auto* broker = image.broker(partition->leader);
    if (!endpoint || !broker) return;
    auto& told = response->node_endpoints;
    if (std::any_of(told.begin(), told.end(),
                    [&](const auto& node) { return node.node_id == partition->leader; }))
        return;
    auto& node = told.emplace_back();
    node.node_id = partition->leader;
    node.host = endpoint->host;
    node.port = endpoint->port;
    node.rack = broker->rack;
}

}  // namespace pabal::broker
