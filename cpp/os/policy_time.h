// Policy time of one cluster: the steady clock, moved by what its user advanced it. Shared by the
// shards of all its nodes, so that an embedded cluster has one time; a server's never moves by
// itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/exported.h"
#include "base/time.h"

namespace pabal::os {

class Shard;

// What a shard says when it is asked whether it rests.
struct ShardSurvey {
    bool moved = false;        // Something was done since it was asked last.
    bool awaits_disk = false;  // Work of its is on the disk pool.
    Instant earliest_policy_timer = Instant::never();
};

class PABAL_EXPORTED PolicyTime {
public:
    // What policy time is when the steady clock reads `link`.
    Instant at(Instant link) const {
        const std::int64_t frozen = frozen_.load(std::memory_order_acquire);
        if (frozen != 0) return Instant::from_nanoseconds(frozen);
        return link + Duration::nanoseconds(offset_.load(std::memory_order_acquire));
    }
    // The instant of link time at which policy time will read `policy`; never() while it stands.
    Instant link_time_of(Instant policy) const;

    // Moves policy time forward, from policy timer to policy timer of all shards in order; what a
    // timer sets off (posted work, loopback traffic, the disk pool) comes to rest before the next
    // one fires, unless the cluster stays busy (clients that go on): then a step waits a second at
    // most. Called from a thread that is no shard. Link time is not touched.
    void advance(Duration by);

private:
    friend class Shard;
    void join(Shard* shard);
    void leave(Shard* shard);

    // Returns the earliest policy timer of all shards, once nothing moves any more.
    Instant drain();
    ShardSurvey survey();

    std::mutex advancing_;     // One advance at a time.
    std::mutex shards_mutex_;  // Held while shards are surveyed: they cannot leave meanwhile.
    std::vector<Shard*> shards_;
    std::atomic<std::int64_t> offset_{0};
    std::atomic<std::int64_t> frozen_{0};  // While advancing: where policy time stands; else 0.
};

}  // namespace pabal::os
