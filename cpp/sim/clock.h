// The Clock port of one simulated shard. Its link time runs a little apart from the world's (offset
// and drift), its policy time can be moved on top of that. Owned by the Process whose shard it is.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "io/clock.h"
#include "sim/scheduler.h"

namespace pabal::sim {

// How a machine's clocks differ from the world's.
struct Skew {
    Duration offset;                     // Of link time: machines boot at different moments.
    std::int64_t drift_per_million = 0;  // How much faster link time runs.
    Duration wall_offset;                // Of wall time.
};

class Clock final : public io::Clock {
public:
    Clock(Scheduler& scheduler, const std::string& name, Skew skew);
    ~Clock() override;
    Clock(const Clock&) = delete;
    Clock& operator=(const Clock&) = delete;

    Instant now() const override;
    Instant policy_now() const override;
    WallTime wall_now() const override;
    io::TimerId at(Instant when, std::function<void()> action) override;
    io::TimerId at_policy(Instant when, std::function<void()> action) override;
    void cancel(io::TimerId timer) override;
    void post(std::function<void()> action) override;

    // Moves policy time ahead of link time. Timers that come due are queued, not called.
    void advance_policy(Duration duration);
    std::optional<Instant> next_policy_timer() const;
    // The same from policy timer to policy timer; the world drains after each step.
    void advance_and_drain(Duration duration);

    Scheduler& scheduler() { return scheduler_; }
    LaneId lane() const { return lane_; }

private:
    struct Timer {
        EventId event = 0;
        std::optional<Instant> policy_when;
        std::function<void()> action;
    };
    Instant link_time_at(Instant world) const;
    // The first moment of the world at which link time is `link` or later.
    Instant world_time_of(Instant link) const;
    io::TimerId add(Instant link, std::optional<Instant> policy_when, std::function<void()> action);
    EventId arm(io::TimerId timer, Instant link);

    Scheduler& scheduler_;
    LaneId lane_;
    Skew skew_;
    Duration policy_ahead_;
    std::map<io::TimerId, Timer> timers_;
    io::TimerId last_timer_ = 0;
};

}  // namespace pabal::sim
