// What a run of metadata records changed in the ClusterImage: the news for log, replication and
// coordinators. Says which things changed, not how; the image says how they are now. The first
// delta of a node lists everything in the image.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/ids.h"
#include "metadata/cluster_image.h"

namespace pabal::metadata {

struct TopicDelta {
    // Null if the topic was created within this delta. Else as it was before.
    std::shared_ptr<const TopicImage> before;
    bool deleted = false;
    std::set<PartitionIndex> partitions;  // Created or changed; empty if deleted.

    bool created() const { return !before && !deleted; }
};

struct ClusterDelta {
    // A topic that was created and deleted within one delta is not listed.
    std::map<TopicId, TopicDelta> topics;
    std::set<ConfigResource> configs;
    std::set<BrokerId> brokers;  // Registered, changed or unregistered.
    std::set<BrokerId> controllers;
    std::set<std::string> features;
    bool producer_ids = false;

    bool empty() const {
        return topics.empty() && configs.empty() && brokers.empty() && controllers.empty() &&
               features.empty() && !producer_ids;
    }
    // Adds what happened after this delta.
    void merge(ClusterDelta later);
    // Everything in `image` as news.
    static ClusterDelta all_of(const ClusterImage& image);
    // What changed from one image to a later one of which the records between are not known.
    static ClusterDelta between(const ClusterImage& before, const ClusterImage& after);
};

}  // namespace pabal::metadata
