// A broker tells in which of its log directories its replicas lie (AssignReplicasToDirs, KIP-858),
// so that the controller knows what is gone when one of them fails. Pure.
#pragma once

#include "controller/outcome.h"
#include "wire/assign_replicas_to_dirs.h"

namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
}  // namespace pabal::metadata

namespace pabal::controller {

// What is told to lie in a directory that the broker has lost is out of sync, as if the broker had
// left the partition. Partitions stand or fall one by one.
Outcome<wire::AssignReplicasToDirsResponse> assign_directories(
    const wire::AssignReplicasToDirsRequest& request, const metadata::BrokerConfig& config,
    const metadata::ClusterImage& image);

}  // namespace pabal::controller
