// What every Clock promises.
#pragma once

#include <string>
#include <vector>

#include "io/gate.h"
#include "tests/unit/io/world.h"

namespace pabal::io::contract {

class ClockContract : public ContractTest {
protected:
    // Notes `name` when link time reaches `when`.
    TimerId note_at(Instant when, const std::string& name) {
        return clock().at(when, [this, name] { notes_.push_back(name); });
    }
    std::vector<std::string> notes_;
};

TEST_P(ClockContract, timers_fire_in_order_of_time_then_of_creation) {
    run([this]() -> Task<void> {
        const Instant start = clock().now();
        note_at(start + Duration::milliseconds(4), "c");
        note_at(start + Duration::milliseconds(2), "a");
        note_at(start + Duration::milliseconds(4), "d");
        note_at(start + Duration::milliseconds(3), "b");
        EXPECT_TRUE(notes_.empty());
        Sleep sleep(clock(), start + Duration::milliseconds(5));
        co_await sleep;
        EXPECT_GE(clock().now(), start + Duration::milliseconds(5));
        EXPECT_EQ(notes_, (std::vector<std::string>{"a", "b", "c", "d"}));
    });
}

TEST_P(ClockContract, a_timer_never_fires_early) {
    run([this]() -> Task<void> {
        for (int i = 0; i < 20; ++i) {
            const Instant when = after(Duration::microseconds(300));
            Sleep sleep(clock(), when);
            co_await sleep;
            EXPECT_GE(clock().now(), when);
        }
    });
}

TEST_P(ClockContract, a_timer_in_the_past_fires_soon_but_not_inside_the_call) {
    run([this]() -> Task<void> {
        note_at(clock().now(), "now");
        note_at(Instant::from_nanoseconds(1), "past");
        EXPECT_TRUE(notes_.empty());
        Sleep sleep(clock(), after(Duration::milliseconds(1)));
        co_await sleep;
        EXPECT_EQ(notes_.size(), 2u);
    });
}

TEST_P(ClockContract, a_cancelled_timer_never_fires) {
    run([this]() -> Task<void> {
        const Instant when = after(Duration::milliseconds(1));
        const TimerId cancelled = note_at(when, "cancelled");
        EXPECT_NE(cancelled, 0u);
        note_at(when, "kept");
        clock().cancel(cancelled);
        clock().cancel(cancelled);
        clock().cancel(0);
        clock().cancel(~TimerId{0});
        Sleep sleep(clock(), when + Duration::milliseconds(1));
        co_await sleep;
        EXPECT_EQ(notes_, std::vector<std::string>{"kept"});
    });
}

TEST_P(ClockContract, a_timer_can_cancel_another_that_is_due_too) {
    run([this]() -> Task<void> {
        const Instant when = after(Duration::milliseconds(1));
        TimerId second = 0;
        clock().at(when, [this, &second] {
            notes_.push_back("first");
            clock().cancel(second);
        });
        second = note_at(when, "second");
        Sleep sleep(clock(), when + Duration::milliseconds(1));
        co_await sleep;
        EXPECT_EQ(notes_, std::vector<std::string>{"first"});
    });
}

TEST_P(ClockContract, a_spent_id_does_not_cancel_a_later_timer) {
    run([this]() -> Task<void> {
        const TimerId spent = note_at(clock().now(), "spent");
        Sleep sleep(clock(), after(Duration::milliseconds(1)));
        co_await sleep;
        const TimerId next = note_at(after(Duration::milliseconds(1)), "next");
        EXPECT_NE(spent, next);
        clock().cancel(spent);
        Sleep again(clock(), after(Duration::milliseconds(2)));
        co_await again;
        EXPECT_EQ(notes_, (std::vector<std::string>{"spent", "next"}));
    });
}

TEST_P(ClockContract, posted_work_runs_in_order_and_never_inside_post) {
    run([this]() -> Task<void> {
        clock().post([this] {
            notes_.push_back("1");
            clock().post([this] { notes_.push_back("3"); });
            EXPECT_EQ(notes_.size(), 1u);
        });
        clock().post([this] { notes_.push_back("2"); });
        EXPECT_TRUE(notes_.empty());
        for (int i = 0; i < 3; ++i) {
            Turn turn(clock());
            co_await turn;
        }
        EXPECT_EQ(notes_, (std::vector<std::string>{"1", "2", "3"}));
    });
}

TEST_P(ClockContract, endless_turns_do_not_starve_timers) {
    run([this]() -> Task<void> {
        bool done = false;
        const Instant start = clock().now();
        clock().at(start + Duration::milliseconds(1), [&done] { done = true; });
        // In virtual time turns may take none: then other work must let time go on.
        for (int i = 0; i < 1000 && !done; ++i) {
            Turn turn(clock());
            co_await turn;
            if (i % 100 == 99) {
                Sleep sleep(clock(), after(Duration::microseconds(500)));
                co_await sleep;
            }
        }
        EXPECT_TRUE(done);
    });
}

TEST_P(ClockContract, a_gate_is_passed_when_opened_or_at_its_deadline) {
    run([this]() -> Task<void> {
        {
            Gate gate(clock());
            clock().at(after(Duration::milliseconds(1)), [&gate] { gate.open(); });
            auto passed = gate.opened(Instant::never());
            const bool opened = co_await passed;
            EXPECT_TRUE(opened);
        }
        {
            Gate gate(clock());
            const Instant deadline = after(Duration::milliseconds(2));
            auto passed = gate.opened(deadline);
            const bool opened = co_await passed;
            EXPECT_FALSE(opened);
            EXPECT_GE(clock().now(), deadline);
        }
    });
}

TEST_P(ClockContract, advance_moves_policy_time_and_wall_time_but_not_link_time) {
    Instant link;
    Instant policy;
    WallTime wall;
    run_now([&] {
        link = clock().now();
        policy = clock().policy_now();
        wall = clock().wall_now();
    });
    world_->advance(Duration::seconds(24 * 3600));
    run_now([&] {
        EXPECT_LT(clock().now() - link, Duration::seconds(3600));
        EXPECT_GE(clock().policy_now() - policy, Duration::seconds(24 * 3600));
        EXPECT_LT(clock().policy_now() - policy, Duration::seconds(25 * 3600));
        EXPECT_GE(clock().wall_now().milliseconds - wall.milliseconds, 24 * 3600 * 1000);
        EXPECT_LT(clock().wall_now().milliseconds - wall.milliseconds, 25 * 3600 * 1000);
    });
}

TEST_P(ClockContract, advance_steps_from_policy_timer_to_policy_timer) {
    std::vector<std::int64_t> seconds;
    Instant start;
    TimerId cancelled = 0;
    std::function<void()> tick = [&] {
        const auto elapsed = (clock().policy_now() - start).to_milliseconds();
        seconds.push_back((elapsed + 5) / 1000);
        // What a timer posts is done before the next timer fires.
        clock().post([&] {
            const auto now = (clock().policy_now() - start).to_milliseconds();
            EXPECT_EQ((now + 5) / 1000, seconds.back());
        });
        if (seconds.size() < 6)
            clock().at_policy(clock().policy_now() + Duration::seconds(10), tick);
    };
    run_now([&] {
        start = clock().policy_now();
        clock().at_policy(start + Duration::seconds(10), tick);
        clock().at_policy(start + Duration::seconds(25), [&] { seconds.push_back(-25); });
        cancelled =
            clock().at_policy(start + Duration::seconds(26), [&] { seconds.push_back(-26); });
        clock().cancel(cancelled);
        clock().at_policy(start + Duration::seconds(300), [&] { seconds.push_back(-300); });
    });
    world_->advance(Duration::seconds(100));
    run_now([&] { EXPECT_EQ(seconds, (std::vector<std::int64_t>{10, 20, -25, 30, 40, 50})); });
}

TEST_P(ClockContract, policy_timers_fire_without_advance_too) {
    run([this]() -> Task<void> {
        Gate gate(clock());
        clock().at_policy(clock().policy_now() + Duration::milliseconds(2),
                          [&gate] { gate.open(); });
        auto passed = gate.opened(after(Duration::seconds(10)));
        const bool opened = co_await passed;
        EXPECT_TRUE(opened);
    });
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ClockContract);

}  // namespace pabal::io::contract
