// Which brokers the active controller believes to be alive: when each of them spoke last, how far
// it has read the metadata log, and whether its connection was lost. Soft state that the log does
// not hold: a new active controller begins with a full session for everybody. Pure; times are link
// time.
//
// A session ends when its broker was silent for broker.session.timeout.ms. Time in which this
// controller itself did not run does not count: heartbeats may be waiting to be read.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace pabal::metadata {
class ClusterImage;
}

namespace pabal::controller {

class Sessions {
public:
    explicit Sessions(Duration timeout) : timeout_(timeout) {}

    // This controller has become active: every broker of `image` that is not fenced has a session,
    // and no connection yet.
    void begin(const metadata::ClusterImage& image, Instant now);
    // A registration or heartbeat came. `metadata_offset`: everything up to it is applied there.
    void spoke(BrokerId broker, BrokerEpoch epoch, Offset metadata_offset, Instant now);
    // The connection through which the broker sent its heartbeats has ended: it may be dead.
    void connection_lost(BrokerId broker, BrokerEpoch epoch);
    void fenced(BrokerId broker);
    // Its orderly shutdown began with the record at `offset`.
    void shutdown_began(BrokerId broker, Offset offset);

    // Whether another process must not take the broker's id over.
    bool is_alive(BrokerId broker) const;
    // The same for a process at the address of the one that is registered, which cannot be there
    // any more unless it still speaks to us.
    bool is_connected(BrokerId broker) const;
    // Whether all other brokers that serve have read of the shutdown, so that none sends clients or
    // fetches to the broker any more.
    bool others_know_of_shutdown(BrokerId broker, const metadata::ClusterImage& image) const;

    // Called at least every `tick`: brokers of `image` whose session is over. They are not told
    // again.
    std::vector<BrokerId> elapsed(const metadata::ClusterImage& image, Instant now);
    static constexpr Duration tick = Duration::milliseconds(100);

private:
    struct Session {
        BrokerEpoch epoch{-1};
        Instant last_spoke;
        Offset metadata_offset{-1};
        bool connected = true;
        std::optional<Offset> shutdown_offset;
    };
    Duration timeout_;
    std::map<BrokerId, Session> sessions_;
    std::optional<Instant> last_tick_;
};

}  // namespace pabal::controller
