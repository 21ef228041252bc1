// A shard: one thread with one Asio event loop, and the Clock port of what lives on it. Whoever
// composes a node owns it; it outlives every object that was handed its clock. Nothing ticks: an
// idle shard sleeps until its earliest timer, a readable socket or a post.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "io/clock.h"
#include "os/policy_time.h"
#include "os/timer_queue.h"

namespace asio {
class io_context;
}

namespace pabal::os {

class Shard final : public io::Clock {
public:
    // Starts the thread. `name` is cut to 15 bytes, as the kernel wants it.
    Shard(std::string name, std::shared_ptr<PolicyTime> policy_time);
    // Ends the thread. What is queued still is dropped.
    ~Shard() override;
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    Instant now() const override { return steady_now(); }
    Instant policy_now() const override;
    WallTime wall_now() const override;
    io::TimerId at(Instant when, std::function<void()> action) override;
    io::TimerId at_policy(Instant when, std::function<void()> action) override;
    void cancel(io::TimerId timer) override;
    void post(std::function<void()> action) override;

    // Runs `action` on the shard and waits for it. At once if called on the shard.
    void run(std::function<void()> action);

    bool is_current() const;
    // Is the calling thread a shard's?
    static bool on_any();
    static Instant steady_now();

    // For the other ports of this shard: its loop, and the note that an event of theirs was
    // handled.
    asio::io_context& loop();
    void handled() { ++handled_; }
    // Work sent to other threads that will post its end here.
    void left() { outstanding_.fetch_add(1, std::memory_order_relaxed); }
    void returned() { outstanding_.fetch_sub(1, std::memory_order_release); }

    // For PolicyTime, on the shard: what was done here since the last survey, and what is to come.
    using Survey = ShardSurvey;
    Survey survey();

private:
    struct Loop;

    void main();
    // Runs what was posted; what that posts too, for a while. True if some is left.
    bool run_posted();
    void take_remote();
    void set_alarm();

    std::string name_;
    std::shared_ptr<PolicyTime> policy_time_;
    std::unique_ptr<Loop> loop_;

    // Of the shard's thread.
    TimerQueue timers_{0};
    TimerQueue policy_timers_{1};
    std::vector<std::function<void()>> posted_;
    std::vector<std::function<void()>> running_;
    Instant alarm_ = Instant::never();
    mutable Instant last_policy_now_;  // Invariant: policy time never goes back.
    std::uint64_t handled_ = 0;
    std::uint64_t surveyed_ = 0;

    // Of all threads.
    std::mutex remote_mutex_;
    std::vector<std::function<void()>> remote_;
    std::atomic<bool> remote_waiting_{false};
    std::atomic<bool> stopping_{false};
    std::atomic<std::int64_t> outstanding_{0};

    std::thread thread_;
};

}  // namespace pabal::os
