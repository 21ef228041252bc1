// Moves partitions to other brokers (KIP-455): the new replicas are added beside the old ones, and
// once all that shall stay are in sync the others go (see partition_change.h). Pure.
#pragma once

#include "base/prng.h"
#include "controller/outcome.h"
#include "metadata/broker_config.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/list_partition_reassignments.h"

namespace pabal::controller {

// Starts a reassignment, or another one in its place; without replicas it is cancelled, and what it
// added goes again. Partitions stand or fall one by one.
Outcome<wire::AlterPartitionReassignmentsResponse> reassign(
    const wire::AlterPartitionReassignmentsRequest& request, const metadata::BrokerConfig& config,
    const metadata::ClusterImage& image, Prng& random);

// The reassignments under way, of the asked partitions or of all.
wire::ListPartitionReassignmentsResponse list_reassignments(
    const wire::ListPartitionReassignmentsRequest& request, const metadata::ClusterImage& image);

}  // namespace pabal::controller
