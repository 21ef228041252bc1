// Who reads what in a classic consumer group: the leader of the group decides it by the assignor
// that all members know. Pure functions of their arguments; the same on every machine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/consumer_protocol.h"
#include "client/named_partition.h"

namespace pabal::client {

// By member; every member has an entry, each partition one reader at most.
using Assignments = std::map<std::string, std::vector<NamedPartition>>;

// `partition_counts` of the topics that exist; what is not there is assigned to nobody. The
// cooperative assignor leaves out what another member has yet to give up: it is assigned in the
// rebalance that follows.
Assignments assign(Assignor assignor, std::vector<MemberSubscription> members,
                   const std::map<std::string, std::int32_t>& partition_counts);

}  // namespace pabal::client
