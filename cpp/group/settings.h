// The broker's settings that groups obey, as numbers. Made once, when the broker starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace pabal::group {

struct Settings {
    std::int32_t min_session_timeout_ms = 6'000;
    std::int32_t max_session_timeout_ms = 1'800'000;
    std::size_t max_size = INT32_MAX;
    Duration initial_rebalance_delay;
    // A member that waits for its first generation is forgotten after this; it asks again.
    Duration new_member_join_timeout = Duration::seconds(300);
    // How long a group's first generation waits for members that were given an id and have not come
    // back with it, where no delay is set.
    Duration announced_member_wait = Duration::seconds(3);
    std::size_t offset_metadata_max_bytes = 4'096;
    Duration offsets_retention = Duration::seconds(7 * 24 * 3600);
    // Of the consumer group protocol. A heartbeat without news is answered before the interval
    // ends.
    std::int32_t consumer_heartbeat_interval_ms = 1'000;
    std::int32_t consumer_min_heartbeat_interval_ms = 1;
    std::int32_t consumer_max_heartbeat_interval_ms = 15'000;
    std::int32_t consumer_session_timeout_ms = 45'000;
    std::int32_t consumer_min_session_timeout_ms = 1;
    std::int32_t consumer_max_session_timeout_ms = 60'000;
    std::size_t consumer_max_size = INT32_MAX;
    // The first is the default.
    std::vector<std::string> consumer_assignors = {"uniform", "range"};
    // Whether a group with members changes its protocol: when the first member of the newer one
    // comes, when the last one goes (KIP-848).
    bool may_upgrade = true;
    bool may_downgrade = true;
};

}  // namespace pabal::group
