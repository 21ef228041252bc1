// Where the replicas of new partitions go: one after the other over the racks, and within a rack
// over its brokers, from a random start, so that leaders and replicas spread evenly. Fenced brokers
// come last and never lead.
#pragma once

#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "metadata/cluster_image.h"

namespace pabal::controller {

using Replicas = std::vector<BrokerId>;

// Neither fenced nor on its way out: may be in sync and lead.
bool is_active(const metadata::ClusterImage& image, BrokerId broker);

// One list of `replication_factor` different brokers for each of `count` partitions.
// INVALID_REPLICATION_FACTOR if there are too few brokers, or none is active.
Result<std::vector<Replicas>> place_replicas(const metadata::ClusterImage& image, std::size_t count,
                                             int replication_factor, Prng& random);

// The log directory that a new replica on `broker` gets: the only one, one of several by chance,
// among those that are not cordoned. All zero where the broker names none: its own choice.
DirectoryId place_directory(const metadata::ClusterImage& image, BrokerId broker, Prng& random);

}  // namespace pabal::controller
