// What every node has of the cluster: the committed part of the metadata log, replayed onto a
// ClusterImage that the parts of this node are told about, and the snapshots that keep the log
// short. Owned by the node, lives on the metadata shard. What the active controller of this node
// proposed arrives here as finished images; on every other node the records are read from the log.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "io/ports.h"
#include "io/task.h"
#include "metadata/cluster_delta.h"
#include "metadata/cluster_image.h"

namespace pabal {
class Logger;
}
namespace pabal::metadata {
class BrokerConfig;
class ImageLoader;
}  // namespace pabal::metadata

namespace pabal::runtime {

class Quorum;
struct MetadataEntry;

using ImagePointer = std::shared_ptr<const metadata::ClusterImage>;
// Told of each new image, in order; the next one is told when this task has ended, and image()
// answers with it after that.
using ImageSubscriber =
    std::function<io::Task<void>(std::shared_ptr<const metadata::ClusterDelta>, ImagePointer)>;

class MetadataPublisher {
public:
    // All must outlive this; `log` may be null.
    MetadataPublisher(io::Ports ports, const metadata::BrokerConfig& config, Quorum* quorum,
                      const Logger* log);
    ~MetadataPublisher();

    // Before open().
    void subscribe(ImageSubscriber subscriber);
    // Called on the shard whenever image() has become a newer one.
    void on_publish(std::function<void()> action);
    // Called once when this node can no longer follow the metadata log; it must stop.
    void on_failure(std::function<void(IoError)> action);

    // Opens the quorum and reads its snapshot; nothing is published before it is known what is
    // committed. Blocks (start-up). The error names the file.
    Status open();
    // Ends when nothing of this object runs any more; publishes nothing after the image that the
    // subscribers are just being told of. Before the quorum stops.
    io::Task<void> stop();

    // What is committed; never null, and empty until something is.
    const ImagePointer& image() const { return image_; }
    // Something was published.
    bool ready() const;

    // For the active controller. The image with everything that stands in the log, committed or
    // not, and what that changes in the published one.
    struct Head {
        metadata::ClusterImage image;
        metadata::ClusterDelta delta;
        // A metadata transaction stood open; the image has none of it. Its writer no longer leads.
        bool abandoned_transaction = false;
    };
    Result<Head> head() const;
    // `image` holds everything up to and including `last`, the last offset of a proposal: publish
    // it once that is committed. The first one follows upon head().
    void proposed(Offset last, metadata::ClusterImage image, metadata::ClusterDelta delta);
    // This node no longer leads: what was proposed may not stand.
    void forget_proposed();

private:
    struct State;

    IoStatus follow(metadata::ImageLoader* loader, Offset* next, Offset end,
                    metadata::ClusterDelta* delta) const;
    void committed(Offset high_watermark);
    void fail(IoError error);
    io::Task<void> publish();
    // Everything that is committed and not published, as one; false if there is nothing.
    bool take_news(metadata::ClusterDelta* delta, ImagePointer* image);
    bool snapshot_is_due() const;
    void schedule_snapshot();
    io::Task<void> take_snapshot();

    io::Ports ports_;
    const metadata::BrokerConfig& config_;
    Quorum* quorum_;
    const Logger* log_;
    ImagePointer image_;
    std::unique_ptr<State> state_;
};

}  // namespace pabal::runtime
