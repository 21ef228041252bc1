#include "sim/scheduler.h"

#include <algorithm>

#include "base/assert.h"

namespace pabal::sim {
namespace {

// What one action costs at most. Enough for timers to come due between two actions of a busy lane.
constexpr std::uint64_t action_nanoseconds_max = 2000;
// So many cancelled timers for each other one are borne.
constexpr std::size_t cancelled_per_timer_max = 3;
constexpr std::size_t due_least = 1024;

}  // namespace

Scheduler::Scheduler(std::uint64_t seed)
    : root_(seed), order_(root_.fork("order")), now_(Instant::from_nanoseconds(1'000'000'000)) {}

LaneId Scheduler::add_lane(std::string name) {
    const auto mark = fingerprint(as_bytes(name));
    lanes_.push_back({std::move(name), mark, {}, false, false});
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
    for (const auto& [event, timer] : timers_) {
        if (timer.lane == lane && !timer.released) events.push_back(event);
    }
    // Not in the order of a hash table: an action that is destroyed may have an effect.
    std::sort(events.begin(), events.end());
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
    timers_.emplace(event, Timer{lane, false, std::move(action)});
    if (due_.size() > due_least + cancelled_per_timer_max * timers_.size()) {
        std::erase_if(due_, [this](const Due& due) { return !timers_.contains(due.second); });
        std::make_heap(due_.begin(), due_.end(), std::greater());
    }
    due_.emplace_back(when, event);
    std::push_heap(due_.begin(), due_.end(), std::greater());
    return event;
}

void Scheduler::cancel(EventId event) {
    // Destroying the action may come back here.
    auto dropped = timers_.extract(event);
}

const Scheduler::Due* Scheduler::next_due() {
    while (!due_.empty() && !timers_.contains(due_.front().second)) {
        std::pop_heap(due_.begin(), due_.end(), std::greater());
        due_.pop_back();
    }
    return due_.empty() ? nullptr : &due_.front();
}

void Scheduler::release_due() {
    while (!due_.empty() && due_.front().first <= now_) {
        const EventId event = due_.front().second;
        std::pop_heap(due_.begin(), due_.end(), std::greater());
        due_.pop_back();
        const auto timer = timers_.find(event);
        if (timer == timers_.end()) continue;
        const LaneId lane = timer->second.lane;
        if (lanes_[lane].removed) {
            cancel(event);
            continue;
        }
        timer->second.released = true;
        take_inbox();  // What was posted earlier comes first.
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
        auto node = timers_.extract(entry.event);
        if (node.empty()) return;  // Cancelled meanwhile.
        entry.action = std::move(node.mapped().action);
    }
    now_ = now_ +
           Duration::nanoseconds(static_cast<std::int64_t>(order_.below(action_nanoseconds_max)));
    trace_.turn(now_, lanes_[picked].mark);
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
    const Due* next = next_due();
    if (!next) return false;
    now_ = next->first;
    return true;
}

void Scheduler::run_until(Instant when) {
    while (now_ < when) {
        release_due();
        if (has_ready()) {
            run_one();
            continue;
        }
        const Due* next = next_due();
        now_ = next && next->first <= when ? next->first : when;
    }
}

bool Scheduler::run_until(const std::function<bool()>& done, Instant limit) {
    while (!done()) {
        if (now_ >= limit || !step()) return false;
    }
    return true;
}

}  // namespace pabal::sim
