// The one thread of a simulated world. Every shard is a lane: actions of one lane run in the order
// in which they were posted, and the seed picks the lane that goes next. Time moves only here: a
// little with each action, and to the next timer when nobody has anything to do.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "base/time.h"
#include "sim/trace.h"

namespace pabal::sim {

using LaneId = std::uint32_t;
using EventId = std::uint64_t;  // 0 is never an event.

class Scheduler {
public:
    explicit Scheduler(std::uint64_t seed);

    Instant now() const { return now_; }
    Trace& trace() { return trace_; }
    // A stream of chance for the concern named `salt`.
    Prng random(const std::string& salt) const { return root_.fork(salt); }

    LaneId add_lane(std::string name);
    // Drops what the lane still had to do. Its id is not used again.
    void remove_lane(LaneId lane);
    // A paused lane does nothing, while time passes and its queue grows.
    void set_paused(LaneId lane, bool paused);

    // May be called from any thread; the contract of the Clock port asks for it.
    void post(LaneId lane, std::function<void()> action);
    // Queues `action` on the lane when time reaches `when`; equal times in order of creation.
    EventId at(Instant when, LaneId lane, std::function<void()> action);
    // After this the action is never called, even if its time has come already.
    void cancel(EventId event);

    // Runs what is ready or due, until nobody has anything to do at this time.
    void drain();
    // One action. False if there is none, nor a timer that would bring one.
    bool step();
    // Runs everything due until `when`; time stands there afterwards.
    void run_until(Instant when);
    void run_for(Duration duration) { run_until(now_ + duration); }
    // Until `done`; false if time reached `limit` or nothing was left to do before.
    bool run_until(const std::function<bool()>& done, Instant limit);

private:
    struct Entry {
        std::function<void()> action;
        EventId event = 0;  // Set if it came from a timer, which may still be cancelled.
    };
    struct Lane {
        std::string name;
        std::uint64_t mark;  // The fingerprint of its name, for the trace.
        std::deque<Entry> queue;
        bool paused = false;
        bool removed = false;
    };
    struct Timer {
        LaneId lane;
        bool released = false;  // Queued on its lane, and not yet run.
        std::function<void()> action;
    };
    using Due = std::pair<Instant, EventId>;

    bool has_ready();
    void enqueue(LaneId lane, Entry entry);
    // Whether the lane can go next has changed.
    void settle(LaneId lane);
    void release_due();
    // The next timer that is not cancelled, or none.
    const Due* next_due();
    void take_inbox();
    void run_one();

    Prng root_;
    Prng order_;
    Trace trace_;
    Instant now_;
    std::vector<Lane> lanes_;
    std::vector<LaneId> ready_;  // Those with something to do that are not paused, in order.
    std::unordered_map<EventId, Timer> timers_;
    // A heap, the next one first. Most timers are deadlines that are cancelled: these stay here
    // until their time comes or they are many.
    std::vector<Due> due_;
    EventId last_event_ = 0;

    // Posts, until the thread that runs the world takes them over.
    std::mutex inbox_mutex_;
    std::atomic<bool> has_inbox_{false};
    std::vector<std::pair<LaneId, std::function<void()>>> inbox_;
    std::vector<std::pair<LaneId, std::function<void()>>> taken_;
};

}  // namespace pabal::sim
