#include "os/shard.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>
#include <vector>

#include "os/disk_pool.h"
#include "os/policy_time.h"

namespace pabal::os {
namespace {

TEST(ShardTest, posts_of_all_threads_run_on_the_shard_in_the_order_of_each) {
    Shard shard("test", std::make_shared<PolicyTime>());
    constexpr int threads = 4;
    constexpr int posts = 20000;
    std::vector<int> last(threads, -1);
    int total = 0;
    std::vector<std::thread> posting;
    for (int t = 0; t < threads; ++t) {
        posting.emplace_back([&, t] {
            for (int i = 0; i < posts; ++i) {
                shard.post([&, t, i] {
                    EXPECT_TRUE(shard.is_current());
                    EXPECT_EQ(last[t], i - 1);
                    last[t] = i;
                    ++total;
                });
            }
        });
    }
    for (auto& thread : posting) thread.join();
    shard.run([&] { EXPECT_EQ(total, threads * posts); });
}

TEST(ShardTest, an_idle_shard_uses_no_processor_time) {
    Shard shard("test", std::make_shared<PolicyTime>());
    std::atomic<bool> fired{false};
    const auto used = [&shard] {
        rusage usage{};
        shard.run([&usage] { getrusage(RUSAGE_THREAD, &usage); });
        return usage;
    };
    shard.run([&] {
        shard.at(shard.now() + Duration::milliseconds(200), [&] { fired = true; });
        shard.at(shard.now() + Duration::seconds(3600), [] {});
        shard.at_policy(shard.policy_now() + Duration::seconds(3600), [] {});
    });
    const rusage before = used();
    std::atomic<bool> done{false};
    shard.post([&] {
        shard.at(shard.now() + Duration::milliseconds(300), [&] {
            done = true;
            done.notify_one();
        });
    });
    done.wait(false);
    const rusage after = used();
    EXPECT_TRUE(fired);
    EXPECT_LE(after.ru_nvcsw - before.ru_nvcsw, 8);  // Two alarms, three posts.
}

TEST(ShardTest, busy_posting_does_not_starve_timers) {
    Shard shard("test", std::make_shared<PolicyTime>());
    std::atomic<bool> done{false};
    std::function<void()> spin = [&] {
        if (!done) shard.post(spin);
    };
    shard.run([&] {
        shard.at(shard.now() + Duration::milliseconds(5), [&] {
            done = true;
            done.notify_one();
        });
        shard.post(spin);
    });
    done.wait(false);
}

TEST(PolicyTimeTest, advance_fires_the_timers_of_all_shards_in_order) {
    const auto time = std::make_shared<PolicyTime>();
    Shard first("first", time);
    Shard second("second", time);
    DiskPool pool;
    std::mutex mutex;
    std::vector<int> order;
    const auto note = [&](int value) {
        const std::lock_guard lock(mutex);
        order.push_back(value);
    };
    for (int i = 0; i < 20; ++i) {
        Shard& shard = i % 2 ? first : second;
        Shard& other = i % 2 ? second : first;
        shard.run([&, i] {
            shard.at_policy(shard.policy_now() + Duration::seconds(10 * (i + 1)), [&, i] {
                note(2 * i);
                // What it sets off elsewhere comes before the next timer.
                other.post([&, i] { note(2 * i + 1); });
            });
        });
    }
    time->advance(Duration::seconds(100));
    EXPECT_EQ(order.size(), 20u);
    time->advance(Duration::seconds(1000));
    std::vector<int> expected;
    for (int i = 0; i < 40; ++i) expected.push_back(i);
    EXPECT_EQ(order, expected);
}

TEST(PolicyTimeTest, advance_waits_for_the_disk_pool) {
    const auto time = std::make_shared<PolicyTime>();
    Shard shard("test", time);
    DiskPool pool;
    std::vector<int> order;
    const auto work = [](DiskPool* disk_pool, Shard* on, std::vector<int>* noted,
                         int value) -> io::Task<void> {
        std::function<void()> sleep = [] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        };
        co_await disk_pool->run(on, sleep);
        noted->push_back(value);
    };
    shard.run([&] {
        shard.at_policy(shard.policy_now() + Duration::seconds(10),
                        [&] { io::detach(work(&pool, &shard, &order, 1)); });
        shard.at_policy(shard.policy_now() + Duration::seconds(20), [&] { order.push_back(2); });
    });
    time->advance(Duration::seconds(30));
    EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(PolicyTimeTest, advancing_a_busy_shard_ends) {
    const auto time = std::make_shared<PolicyTime>();
    Shard shard("test", time);
    std::atomic<bool> done{false};
    std::function<void()> spin = [&] {
        if (!done) shard.post(spin);
    };
    shard.post([&] { spin(); });
    Instant before;
    shard.run([&] { before = shard.policy_now(); });
    time->advance(Duration::seconds(60));
    shard.run([&] { EXPECT_GE(shard.policy_now() - before, Duration::seconds(60)); });
    done = true;
    shard.run([] {});
}

TEST(PolicyTimeTest, policy_time_never_goes_back) {
    const auto time = std::make_shared<PolicyTime>();
    Shard shard("test", time);
    std::atomic<bool> done{false};
    Instant last;
    std::function<void()> look = [&] {
        const Instant now = shard.policy_now();
        EXPECT_GE(now, last);
        last = now;
        if (!done) shard.at(shard.now() + Duration::microseconds(10), look);
    };
    shard.post([&] { look(); });
    for (int i = 0; i < 50; ++i) time->advance(Duration::milliseconds(10));
    done = true;
    shard.run([] {});
}

}  // namespace
}  // namespace pabal::os
