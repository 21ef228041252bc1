#include "os/policy_time.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <thread>

#include "base/assert.h"
#include "os/shard.h"

namespace pabal::os {
namespace {

// Three rounds: what a shard found ready while the first passed is seen by the third.
constexpr int quiet_rounds = 3;
// Clients that go on keep a cluster busy for ever; the disk is worth a longer wait.
constexpr auto longest_traffic = std::chrono::milliseconds(20);
constexpr auto longest_disk_work = std::chrono::seconds(5);

}  // namespace

Instant PolicyTime::link_time_of(Instant policy) const {
    if (frozen_.load(std::memory_order_acquire) != 0 || policy == Instant::never()) {
        return Instant::never();
    }
    return policy + Duration::nanoseconds(-offset_.load(std::memory_order_acquire));
}

void PolicyTime::join(Shard* shard) {
    const std::lock_guard lock(shards_mutex_);
    shards_.push_back(shard);
}

void PolicyTime::leave(Shard* shard) {
    const std::lock_guard lock(shards_mutex_);
    std::erase(shards_, shard);
}

Instant PolicyTime::drain() {
    const auto start = std::chrono::steady_clock::now();
    Instant earliest = Instant::never();
    for (int quiet = 0; quiet < quiet_rounds;) {
        const Shard::Survey all = survey();
        earliest = all.earliest_policy_timer;
        quiet = all.moved || all.awaits_disk ? 0 : quiet + 1;
        const auto elapsed = std::chrono::steady_clock::now() - start;
        if (elapsed >= longest_disk_work) break;
        if (elapsed >= longest_traffic && !all.awaits_disk) break;
        if (all.awaits_disk && !all.moved) {
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
    }
    return earliest;
}

Shard::Survey PolicyTime::survey() {
    const std::lock_guard shards_lock(shards_mutex_);
    // Posts the survey to all shards, then waits for all.
    std::mutex mutex;
    std::condition_variable done;
    std::size_t missing = shards_.size();
    Shard::Survey all;
    for (Shard* shard : shards_) {
        shard->post([&, shard] {
            const Shard::Survey one = shard->survey();
            const std::lock_guard lock(mutex);
            all.moved = all.moved || one.moved;
            all.awaits_disk = all.awaits_disk || one.awaits_disk;
            all.earliest_policy_timer =
                std::min(all.earliest_policy_timer, one.earliest_policy_timer);
            if (--missing == 0) done.notify_one();
        });
    }
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return missing == 0; });
    return all;
}

void PolicyTime::advance(Duration by) {
    ASSERT(!Shard::on_any(), "policy time is advanced from outside of the shards");
    const std::lock_guard lock(advancing_);
    if (by <= Duration()) return;
    const Instant start = at(Shard::steady_now());
    const Instant target = start + by;
    Instant standing = start;
    frozen_.store(standing.to_nanoseconds(), std::memory_order_release);
    for (;;) {
        const Instant next = drain();
        if (next > target) break;
        standing = std::max(standing, next);
        frozen_.store(standing.to_nanoseconds(), std::memory_order_release);
    }
    frozen_.store(target.to_nanoseconds(), std::memory_order_release);
    drain();
    offset_.store((target - Shard::steady_now()).to_nanoseconds(), std::memory_order_release);
    frozen_.store(0, std::memory_order_release);
    drain();  // Wakes the shards, so that they set their alarms by the new offset.
}

}  // namespace pabal::os
