// A leader reports who is in sync with it. Pure. Who asks with epochs that are no longer, or not
// yet, those of the image learns it, so that two leaders never write one set of in-sync replicas.
#pragma once

#include "controller/outcome.h"
#include "metadata/broker_config.h"
#include "wire/alter_partition.h"

namespace pabal::controller {

// Brokers that are fenced, shutting down, or started again since the leader last heard of them are
// refused with INELIGIBLE_REPLICA (KIP-841, KIP-903). A change that completes a reassignment may
// take the leadership away from the one that asks: NEW_LEADER_ELECTED, and the change stands.
Outcome<wire::AlterPartitionResponse> alter_partition(const wire::AlterPartitionRequest& request,
                                                      int version,
                                                      const metadata::BrokerConfig& config,
                                                      const metadata::ClusterImage& image);

}  // namespace pabal::controller
