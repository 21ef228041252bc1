// Replays the metadata log onto an image, batch by batch, and holds back what stands inside a
// metadata transaction until its end (KIP-868): readers see all of it or nothing. Pure.
#pragma once

#include <optional>

#include "metadata/cluster_delta.h"
#include "metadata/cluster_image.h"

namespace pabal::metadata {

class ImageLoader {
public:
    // Starts from what a snapshot held, or from nothing.
    ImageLoader() = default;
    explicit ImageLoader(ClusterImage image) : image_(std::move(image)) {}

    // The next record of the log, which says when it was written.
    Status replay(const Record& record, Offset offset, LeaderEpoch epoch, WallTime timestamp);
    // A control record, or another that says nothing about the cluster.
    void skip(Offset offset, LeaderEpoch epoch, WallTime timestamp);
    // An unfinished transaction whose writer is gone has never happened.
    void abandon_transaction();
    bool in_transaction() const { return before_.has_value(); }

    // Outside of a transaction: everything replayed so far. Inside: what stood before it.
    const ClusterImage& image() const { return before_ ? before_->image : image_; }
    // What changed since the last call, within the same bounds.
    ClusterDelta take_delta();

private:
    struct Standing {
        ClusterImage image;
        ClusterDelta delta;
    };
    ClusterImage image_;
    ClusterDelta delta_;
    std::optional<Standing> before_;  // While a transaction is open.
};

}  // namespace pabal::metadata
