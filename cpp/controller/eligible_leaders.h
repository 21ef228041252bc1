// What goes along with eligible leader replicas (KIP-966): who is eligible depends on
// min.insync.replicas, so that every node has to know the same value, and whoever changes it
// forgets who was eligible before. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "metadata/cluster_image.h"
#include "metadata/record.h"

namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::controller {

inline constexpr std::string_view min_in_sync_replicas = "min.insync.replicas";

// What has to stand in the log before the feature does: the value for the whole cluster, and none
// for single brokers.
void agree_on_min_in_sync(const metadata::BrokerConfig& config, const metadata::ClusterImage& image,
                          std::vector<metadata::Record>& records);

// INVALID_CONFIG for a change that would let brokers disagree.
Status check_min_in_sync_change(const metadata::ConfigResource& resource,
                                const std::optional<std::string>& value,
                                const metadata::ClusterImage& image);

// The setting of the topic changes, or that of all, or the feature ends. Where nobody leads nothing
// was committed since, so that whoever was eligible there stays so until somebody does.
void forget_eligible(const metadata::ConfigResource& resource, const metadata::ClusterImage& image,
                     std::vector<metadata::Record>& records);

}  // namespace pabal::controller
