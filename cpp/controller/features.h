// Finalises other levels of the cluster's features (KIP-584): what every controller and broker can
// run, and nothing that would lose what stands in the metadata log. Pure.
#pragma once

#include "controller/outcome.h"
#include "wire/update_features.h"

namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
}  // namespace pabal::metadata

namespace pabal::controller {

// The one feature that the quorum finalises itself: where it stands, and whether the quorum could
// go where the request wants it.
struct KraftVersion {
    std::int16_t level = 0;
    Status change;
};

// All updates of a request, or none.
Outcome<wire::UpdateFeaturesResponse> update_features(const wire::UpdateFeaturesRequest& request,
                                                      int version,
                                                      const metadata::BrokerConfig& config,
                                                      const metadata::ClusterImage& image,
                                                      const KraftVersion& kraft);

}  // namespace pabal::controller
