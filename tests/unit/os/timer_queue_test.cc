#include "os/timer_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/prng.h"

namespace pabal::os {
namespace {

Instant at(std::int64_t nanoseconds) {
    return Instant::from_nanoseconds(nanoseconds);
}

TEST(TimerQueueTest, agrees_with_an_ordered_map) {
    Prng random(7);
    TimerQueue queue(1);
    // What the naive twin holds: (when, creation) to what is noted.
    std::map<std::pair<std::int64_t, int>, int> twin;
    std::map<int, io::TimerId> ids;
    std::vector<int> fired;
    std::int64_t now = 0;
    for (int step = 0; step < 50000; ++step) {
        const auto draw = random.below(10);
        if (draw < 5) {
            const std::int64_t when = now + random.between(-5, 200);
            ids[step] = queue.add(at(when), [&fired, step] { fired.push_back(step); });
            EXPECT_EQ(TimerQueue::tag_of(ids[step]), 1u);
            twin.emplace(std::pair(when, step), step);
        } else if (draw < 8 && !ids.empty()) {
            auto victim = ids.begin();
            std::advance(victim, random.below(std::min<std::size_t>(ids.size(), 50)));
            const auto entry = std::find_if(twin.begin(), twin.end(), [&](const auto& timer) {
                return timer.second == victim->first;
            });
            EXPECT_EQ(queue.cancel(victim->second), entry != twin.end());
            if (entry != twin.end()) twin.erase(entry);
            ids.erase(victim);
        } else {
            now += random.between(0, 30);
            fired.clear();
            std::vector<int> expected;
            while (!twin.empty() && twin.begin()->first.first <= now) {
                expected.push_back(twin.begin()->second);
                twin.erase(twin.begin());
            }
            EXPECT_EQ(queue.fire_due(at(now)), expected.size());
            EXPECT_EQ(fired, expected);
        }
        EXPECT_EQ(queue.earliest(),
                  twin.empty() ? Instant::never() : at(twin.begin()->first.first));
    }
}

TEST(TimerQueueTest, a_timer_that_sets_itself_anew_fires_once_a_time) {
    TimerQueue queue(0);
    int fired = 0;
    std::function<void()> again = [&] {
        ++fired;
        queue.add(at(0), again);
    };
    queue.add(at(0), again);
    EXPECT_EQ(queue.fire_due(at(10)), 1u);
    EXPECT_EQ(queue.fire_due(at(10)), 1u);
    EXPECT_EQ(fired, 2);
}

TEST(TimerQueueTest, a_timer_that_never_comes_can_be_set_and_cancelled) {
    TimerQueue queue(0);
    const auto id = queue.add(Instant::never(), [] {});
    EXPECT_EQ(queue.fire_due(at(INT64_MAX - 1)), 0u);
    EXPECT_TRUE(queue.cancel(id));
    EXPECT_FALSE(queue.cancel(id));
    EXPECT_TRUE(queue.empty());
}

TEST(TimerQueueTest, what_a_cancelled_timer_held_is_freed) {
    TimerQueue queue(0);
    const auto held = std::make_shared<int>(1);
    const auto id = queue.add(at(1), [held] {});
    EXPECT_EQ(held.use_count(), 2);
    queue.cancel(id);
    EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace pabal::os
