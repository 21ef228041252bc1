// Who leads a partition, and who is in sync, when a broker comes or goes. Pure: each function adds
// the PartitionChangeRecords that are needed.
#pragma once

#include <vector>

#include "base/ids.h"
#include "metadata/record.h"

namespace pabal::metadata {
class ClusterImage;
}

namespace pabal::controller {

// The broker was fenced or forgotten: it leaves every set of in-sync replicas that has other
// members, and leads nothing. Where it is the last member it stays, and nobody leads.
void broker_left(const metadata::ClusterImage& image, BrokerId broker,
                 std::vector<metadata::Record>& records);

// The broker is about to leave: what others can lead they lead from now on. It goes on with the
// rest until it is fenced.
void broker_leaves(const metadata::ClusterImage& image, BrokerId broker,
                   std::vector<metadata::Record>& records);

// The broker is no longer fenced: it leads what nobody leads and it has in sync.
void broker_came(const metadata::ClusterImage& image, BrokerId broker,
                 std::vector<metadata::Record>& records);

// The broker's former process is dead and the new one serves at once: left and came in one step, so
// that each of its partitions changes once. Every partition that it goes on leading begins a new
// leader epoch, since it may have lost the end of its log.
void broker_restarted(const metadata::ClusterImage& image, BrokerId broker,
                      std::vector<metadata::Record>& records);

// Whether another broker could be waiting to take over a partition that `broker` leads.
bool leads_what_others_could(const metadata::ClusterImage& image, BrokerId broker);

}  // namespace pabal::controller
