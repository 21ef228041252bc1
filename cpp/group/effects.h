// What a group machine asks of whoever drives it: records to append, and answers to requests that
// had to wait. The answers leave when all records that were asked for before them are committed.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "base/time.h"
#include "record/key_value.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/heartbeat.h"
#include "wire/join_group.h"
#include "wire/sync_group.h"

namespace pabal::group {

// A request that may be answered later; given by the driver, each once.
using CallId = std::uint64_t;

// The time of a request: the machines never look at a clock.
struct Moment {
    Instant now;    // Policy time.
    WallTime wall;  // What is written into records.
};

struct Reply {
    CallId call = 0;
    std::variant<wire::JoinGroupResponse, wire::SyncGroupResponse, wire::HeartbeatResponse,
                 wire::ConsumerGroupHeartbeatResponse>
        response;
};

struct Effects {
    std::vector<record::KeyValue> records;
    std::vector<Reply> replies;
};

}  // namespace pabal::group
