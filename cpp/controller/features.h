// Finalises other levels of the cluster's features (KIP-584): what every controller and broker can
// run, and nothing that would lose what stands in the metadata log. Pure.
#pragma once

#include "controller/outcome.h"
#include "wire/update_features.h"

namespace pabal::metadata {
class ClusterImage;
}

namespace pabal::controller {

// All updates of a request, or none.
Outcome<wire::UpdateFeaturesResponse> update_features(const wire::UpdateFeaturesRequest& request,
                                                      int version,
                                                      const metadata::ClusterImage& image);

}  // namespace pabal::controller
