// Changes the dynamic settings of topics and brokers. Pure. Each resource of a request stands or
// falls by itself, all its settings together.
#pragma once

#include "controller/outcome.h"
#include "metadata/broker_config.h"
#include "wire/alter_configs.h"
#include "wire/incremental_alter_configs.h"

namespace pabal::controller {

// Sets, deletes, appends to and subtracts from single settings (KIP-339).
Outcome<wire::IncrementalAlterConfigsResponse> alter_configs(
    const wire::IncrementalAlterConfigsRequest& request, const metadata::BrokerConfig& config,
    const metadata::ClusterImage& image);

// Replaces all settings of a resource: what is not named is deleted.
Outcome<wire::AlterConfigsResponse> alter_configs(const wire::AlterConfigsRequest& request,
                                                  const metadata::BrokerConfig& config,
                                                  const metadata::ClusterImage& image);

}  // namespace pabal::controller
