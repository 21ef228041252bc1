// The Clock port: time, timers and turns of one shard. Two times, because an embedded cluster may
// be moved through one of them: link time (elections, heartbeats between brokers, deadlines of
// requests and connections) is never moved; policy time (record timestamps, retention, roll,
// expiry) is.
#pragma once

#include <cstdint>
#include <functional>

#include "base/time.h"

namespace pabal::io {

using TimerId = std::uint64_t;  // 0 is never a timer.

class Clock {
public:
    virtual ~Clock() = default;

    // Link time.
    virtual Instant now() const = 0;
    // Policy time, steady.
    virtual Instant policy_now() const = 0;
    // Policy time as milliseconds since 1970, what goes into records.
    virtual WallTime wall_now() const = 0;

    // Calls `action` on the shard once link time reaches `when`; never inside this call.
    virtual TimerId at(Instant when, std::function<void()> action) = 0;
    // The same for policy time.
    virtual TimerId at_policy(Instant when, std::function<void()> action) = 0;
    // After this the action is never called. Unknown and spent ids are ignored.
    virtual void cancel(TimerId timer) = 0;

    // Calls `action` on the shard, soon, after what is queued already. The only member that may be
    // called from any thread.
    virtual void post(std::function<void()> action) = 0;
};

}  // namespace pabal::io
