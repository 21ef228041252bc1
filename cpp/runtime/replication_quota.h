// How many bytes per second may move to replicas that are not in sync (KIP-73), so that a
// reassignment leaves something for clients: one quota for what this broker sends as leader, one
// for what it fetches as follower. A second's worth may be taken at once; what is taken beyond has
// to be waited for. Lives on the data shard.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace pabal::runtime {

class ReplicationQuota {
public:
    void set_rate(std::int64_t bytes_per_second) { rate_ = bytes_per_second; }

    bool exceeded(Instant now) {
        refill(now);
        return available_ <= 0;
    }
    void record(std::size_t bytes, Instant now) {
        refill(now);
        if (rate_ != INT64_MAX) available_ -= static_cast<double>(bytes);
    }

private:
    void refill(Instant now) {
        const auto most = static_cast<double>(rate_);
        const double seconds = static_cast<double>((now - filled_).to_microseconds()) / 1e6;
        available_ = std::min(most, available_ + most * seconds);
        filled_ = now;
    }

    std::int64_t rate_ = INT64_MAX;
    double available_ = static_cast<double>(INT64_MAX);
    Instant filled_;
};

}  // namespace pabal::runtime
