// Which partitions have a new leader since these last seconds because theirs was lost: fenced
// without having asked to leave. Fed with every new image, on the broker's shard.
//
// Where one answer takes a broker away and names the new leaders of what it led, librdkafka forgets
// those leaders with the broker, and neither produces nor fetches until it asks again, up to a
// second later. The first answer that tells it of new leaders therefore still lists the broker.
#pragma once

#include <map>
#include <set>

#include "base/ids.h"
#include "base/time.h"
#include "io/clock.h"
#include "metadata/cluster_delta.h"
#include "wire/metadata.h"

namespace pabal::broker {

struct Peer;

class Successions {
public:
    // Clients that did not hear of it until then have found out by themselves.
    static constexpr Duration remembered = Duration::seconds(3);

    explicit Successions(io::Clock* clock) : clock_(*clock) {}

    // `image` is that after `delta`.
    void apply(const metadata::ClusterDelta& delta, const metadata::ClusterImage& image);
    // Lists in `response` the lost brokers from which it takes partitions that this peer believed
    // to be led by them. Notes that the peer has been told.
    void tell(wire::MetadataResponse* response, const metadata::ClusterImage& image,
              Peer* peer) const;

private:
    struct Succession {
        BrokerId lost;
        Instant when;
    };

    io::Clock& clock_;
    std::set<BrokerId> live_;
    std::map<BrokerId, Instant> lost_;
    std::map<TopicPartition, Succession> successions_;
};

}  // namespace pabal::broker
