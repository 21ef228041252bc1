#include "sim/scheduler.h"

#include <algorithm>

#include "base/assert.h"

namespace pabal::sim {
namespace {

// What one action costs at most. Enough for timers to come due between two actions of a busy lane.
constexpr std::uint64_t action_nanoseconds_max = 2000;

}  // namespace

Scheduler::Scheduler(std::uint64_t seed)
    : root_(seed), order_(root_.fork("order")), now_(Instant::from_nanoseconds(1'000'000'000)) {}

LaneId Scheduler::add_lane(std::string name) {
    lanes_.push_back({std::move(name), {}, false, false});
    return static_cast<LaneId>(lanes_.size() - 1);
}

void Scheduler::remove_lane(LaneId lane) {
    take_inbox();
    lanes_[lane].removed = true;
    // Destroying an action may post again; only then is the queue let go.
    auto dropped = std::move(lanes_[lane].queue);
    lanes_[lane].queue.clear();
    settle(lane);
    std::vector<EventId> events;
    for (const auto& [due, timer] : timers_) {
        if (timer.lane == lane) events.push_back(due.second);
    }
    for (const auto event : events) cancel(event);
}

void Scheduler::set_paused(LaneId lane, bool paused) {
    lanes_[lane].paused = paused;
    settle(lane);
}

void Scheduler::settle(LaneId lane) {
    const bool ready = !lanes_[lane].queue.empty() && !lanes_[lane].paused;
    const auto place = std::lower_bound(ready_.begin(), ready_.end(), lane);
    const bool listed = place != ready_.end() && *place == lane;
    if (ready && !listed) ready_.insert(place, lane);
    if (!ready && listed) ready_.erase(place);
}

void Scheduler::enqueue(LaneId lane, Entry entry) {
    auto& queue = lanes_[lane].queue;
    queue.push_back(std::move(entry));
    if (queue.size() == 1) settle(lane);
}

void Scheduler::post(LaneId lane, std::function<void()> action) {
    const std::lock_guard lock(inbox_mutex_);
    inbox_.emplace_back(lane, std::move(action));
    has_inbox_.store(true, std::memory_order_release);
}

void Scheduler::take_inbox() {
    if (!has_inbox_.load(std::memory_order_acquire)) return;
    {
        const std::lock_guard lock(inbox_mutex_);
        taken_.swap(inbox_);
        has_inbox_.store(false, std::memory_order_release);
    }
    for (auto& [lane, action] : taken_) {
        if (!lanes_[lane].removed) enqueue(lane, {std::move(action), 0});
    }
    taken_.clear();
}

EventId Scheduler::at(Instant when, LaneId lane, std::function<void()> action) {
    const EventId event = ++last_event_;
    if (when == Instant::never()) return event;
    const Due due{when, event};
    timers_.emplace(due, Timer{lane, std::move(action)});
    timer_places_.emplace(event, due);
    return event;
}

void Scheduler::cancel(EventId event) {
    if (const auto place = timer_places_.find(event); place != timer_places_.end()) {
        timers_.erase(place->second);
        timer_places_.erase(place);
    } else {
        released_.erase(event);
    }
}

void Scheduler::release_due() {
    while (!timers_.empty() && timers_.begin()->first.first <= now_) {
        auto node = timers_.extract(timers_.begin());
        const EventId event = node.key().second;
        timer_places_.erase(event);
        const LaneId lane = node.mapped().lane;
        if (lanes_[lane].removed) continue;
        take_inbox();  // What was posted earlier comes first.
        released_.emplace(event, std::move(node.mapped()));
        enqueue(lane, {nullptr, event});
    }
}

bool Scheduler::has_ready() {
    take_inbox();
    return !ready_.empty();
}

void Scheduler::run_one() {
    const LaneId picked = ready_[order_.below(ready_.size())];
    Entry entry = std::move(lanes_[picked].queue.front());
    lanes_[picked].queue.pop_front();
    if (lanes_[picked].queue.empty()) settle(picked);
    if (entry.event != 0) {
        auto node = released_.extract(entry.event);
        if (node.empty()) return;  // Cancelled meanwhile.
        entry.action = std::move(node.mapped().action);
    }
    now_ = now_ +
           Duration::nanoseconds(static_cast<std::int64_t>(order_.below(action_nanoseconds_max)));
    trace_.event(now_, "turn", lanes_[picked].name, {});
    entry.action();
}

void Scheduler::drain() {
    release_due();
    while (has_ready()) {
        run_one();
        release_due();
    }
}

bool Scheduler::step() {
    release_due();
    if (has_ready()) {
        run_one();
        return true;
    }
    if (timers_.empty()) return false;
    now_ = timers_.begin()->first.first;
    return true;
}

void Scheduler::run_until(Instant when) {
    while (now_ < when) {
        release_due();
        if (has_ready()) {
            run_one();
        } else if (timers_.empty() || timers_.begin()->first.first > when) {
            now_ = when;
        } else {
            now_ = timers_.begin()->first.first;
        }
    }
}

bool Scheduler::run_until(const std::function<bool()>& done, Instant limit) {
    while (!done()) {
        if (now_ >= limit || !step()) return false;
    }
    return true;
}

}  // namespace pabal::sim
