#include "sim/clock.h"

#include "base/assert.h"

namespace pabal::sim {
namespace {

// Noon of the first of July 2025: where the wall clocks of a simulated world start.
constexpr std::int64_t wall_epoch_milliseconds = 1'751'371'200'000;
constexpr std::int64_t million = 1'000'000;

// value * numerator / denominator without overflow, for values of up to 2^63.
std::int64_t scale(std::int64_t value, std::int64_t numerator, std::int64_t denominator) {
    const std::int64_t whole = value / denominator;
    const std::int64_t rest = value % denominator;
    return whole * numerator + rest * numerator / denominator;
}

}  // namespace

Clock::Clock(Scheduler& scheduler, const std::string& name, Skew skew)
    : scheduler_(scheduler), lane_(scheduler.add_lane(name)), skew_(skew) {}

Clock::~Clock() {
    scheduler_.remove_lane(lane_);
}

Instant Clock::link_time_at(Instant world) const {
    const std::int64_t elapsed = world.to_nanoseconds();
    const std::int64_t drift = scale(elapsed, skew_.drift_per_million, million);
    return Instant::from_nanoseconds(elapsed + drift + skew_.offset.to_nanoseconds());
}

Instant Clock::world_time_of(Instant link) const {
    if (link == Instant::never()) return link;
    const std::int64_t elapsed = link.to_nanoseconds() - skew_.offset.to_nanoseconds();
    auto world =
        Instant::from_nanoseconds(scale(elapsed, million, million + skew_.drift_per_million));
    while (link_time_at(world) < link) world = world + Duration::nanoseconds(1);
    return world;
}

Instant Clock::now() const {
    return link_time_at(scheduler_.now());
}

Instant Clock::policy_now() const {
    return now() + policy_ahead_;
}

WallTime Clock::wall_now() const {
    return WallTime{wall_epoch_milliseconds + (policy_now() - Instant()).to_milliseconds() +
                    skew_.wall_offset.to_milliseconds()};
}

EventId Clock::arm(io::TimerId timer, Instant link) {
    return scheduler_.at(world_time_of(link), lane_, [this, timer] {
        auto node = timers_.extract(timer);
        ASSERT(!node.empty(), "a cancelled timer is disarmed");
        node.mapped().action();
    });
}

io::TimerId Clock::add(Instant link, std::optional<Instant> policy_when,
                       std::function<void()> action) {
    const io::TimerId timer = ++last_timer_;
    if (link == Instant::never()) return timer;
    const EventId event = arm(timer, link);
    timers_.emplace(timer, Timer{event, policy_when, std::move(action)});
    return timer;
}

io::TimerId Clock::at(Instant when, std::function<void()> action) {
    return add(when, std::nullopt, std::move(action));
}

io::TimerId Clock::at_policy(Instant when, std::function<void()> action) {
    if (when == Instant::never()) return ++last_timer_;
    const auto link =
        Instant::from_nanoseconds((when - (Instant() + policy_ahead_)).to_nanoseconds());
    return add(link, when, std::move(action));
}

void Clock::cancel(io::TimerId timer) {
    const auto place = timers_.find(timer);
    if (place == timers_.end()) return;
    scheduler_.cancel(place->second.event);
    timers_.erase(place);
}

void Clock::post(std::function<void()> action) {
    scheduler_.post(lane_, std::move(action));
}

void Clock::advance_policy(Duration duration) {
    policy_ahead_ = policy_ahead_ + duration;
    for (auto& [id, timer] : timers_) {
        if (!timer.policy_when) continue;
        scheduler_.cancel(timer.event);
        timer.event = arm(id, Instant() + (*timer.policy_when - (Instant() + policy_ahead_)));
    }
}

void Clock::advance_and_drain(Duration duration) {
    const Instant target = policy_now() + duration;
    while (policy_now() < target) {
        const auto next = next_policy_timer();
        const Instant step = next && *next < target ? *next : target;
        if (step > policy_now()) advance_policy(step - policy_now());
        scheduler_.drain();
    }
}

std::optional<Instant> Clock::next_policy_timer() const {
    std::optional<Instant> next;
    for (const auto& [id, timer] : timers_) {
        if (timer.policy_when && (!next || *timer.policy_when < *next)) next = timer.policy_when;
    }
    return next;
}

}  // namespace pabal::sim
