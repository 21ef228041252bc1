// Who leads a partition, and who is in sync, when a broker comes or goes or loses a directory, and
// what is made good later: leaders where nobody could lead, preferred leaders. Pure: each function
// adds the PartitionChangeRecords that are needed. Where the last replica in sync is gone, `config`
// says whether another one may lead (unclean.leader.election.enable).
#pragma once

#include <set>
#include <vector>

#include "base/ids.h"
#include "controller/outcome.h"
#include "metadata/record.h"
#include "wire/elect_leaders.h"

namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
}  // namespace pabal::metadata

namespace pabal::controller {

// The broker was fenced or forgotten: it leaves every set of in-sync replicas that has other
// members, and leads nothing. Where it was the last member nobody leads; partition_change.h says
// who may later. `lost_its_end`: its logs may have, so that it is not eligible either.
void broker_left(const metadata::ClusterImage& image, const metadata::BrokerConfig& config,
                 BrokerId broker, bool lost_its_end, std::vector<metadata::Record>& records);

// The broker is about to leave: what others can lead they lead from now on. It goes on with the
// rest until it is fenced.
void broker_leaves(const metadata::ClusterImage& image, const metadata::BrokerConfig& config,
                   BrokerId broker, std::vector<metadata::Record>& records);

// The broker is no longer fenced: it leads what nobody leads and it has in sync.
void broker_came(const metadata::ClusterImage& image, const metadata::BrokerConfig& config,
                 BrokerId broker, std::vector<metadata::Record>& records);

// The broker's former process is dead and the new one serves at once: left and came in one step, so
// that each of its partitions changes once. Every partition that it goes on leading begins a new
// leader epoch, since it may have lost the end of its log.
void broker_restarted(const metadata::ClusterImage& image, const metadata::BrokerConfig& config,
                      BrokerId broker, bool lost_its_end, std::vector<metadata::Record>& records);

// The broker goes on without these directories: what lay in them is out of sync, as if the broker
// had left those partitions.
void directories_lost(const metadata::ClusterImage& image, const metadata::BrokerConfig& config,
                      BrokerId broker, const std::set<DirectoryId>& directories,
                      std::vector<metadata::Record>& records);

// Whether another broker could be waiting to take over a partition that `broker` leads.
bool leads_what_others_could(const metadata::ClusterImage& image, BrokerId broker);

// Partitions without a leader get one, where a setting now allows an unclean election.
void elect_where_nobody_leads(const metadata::ClusterImage& image,
                              const metadata::BrokerConfig& config,
                              std::vector<metadata::Record>& records);

// Gives partitions back to their preferred leaders (auto.leader.rebalance.enable), at most
// `max_count` at once.
void balance_leaders(const metadata::ClusterImage& image, const metadata::BrokerConfig& config,
                     std::size_t max_count, std::vector<metadata::Record>& records);

// On behalf of a client (KIP-460): the preferred leader, or an unclean one where nobody leads.
Outcome<wire::ElectLeadersResponse> elect_leaders(const wire::ElectLeadersRequest& request,
                                                  const metadata::BrokerConfig& config,
                                                  const metadata::ClusterImage& image);

}  // namespace pabal::controller
