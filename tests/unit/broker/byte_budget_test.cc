// Who gets memory for a request, in which order, and when nobody does.
#include "broker/byte_budget.h"

#include <gtest/gtest.h>

#include <vector>

#include "sim/machine.h"

namespace pabal::broker {
namespace {

class ByteBudgetTest : public testing::Test {
protected:
    ByteBudgetTest()
        : scheduler_(1),
          network_(scheduler_),
          machine_(scheduler_, network_, "alpha", 1 << 20, sim::Skew()),
          process_(machine_.boot()) {}

    io::Clock& clock() { return process_->clock(); }
    // Asks for memory; the result stands at this index, -1 until there is one.
    std::size_t ask(ByteBudget* budget, std::size_t bytes, Instant deadline = Instant::never()) {
        granted_.push_back(-1);
        io::detach(wait(budget, bytes, deadline, &granted_, granted_.size() - 1));
        scheduler_.drain();
        return granted_.size() - 1;
    }
    int result(std::size_t index) {
        scheduler_.drain();
        return granted_[index];
    }
    void release(ByteBudget* budget, std::size_t bytes) {
        budget->release(bytes);
        scheduler_.drain();
    }

    sim::Scheduler scheduler_;
    sim::Network network_;
    sim::Machine machine_;
    std::unique_ptr<sim::Process> process_;
    std::vector<int> granted_;

private:
    static io::Task<void> wait(ByteBudget* budget, std::size_t bytes, Instant deadline,
                               std::vector<int>* results, std::size_t index) {
        const bool granted = co_await budget->reserve(bytes, deadline);
        (*results)[index] = granted ? 1 : 0;
    }
};

TEST_F(ByteBudgetTest, first_come_first_served) {
    ByteBudget budget(clock(), 100);
    EXPECT_TRUE(budget.try_reserve(60));
    const auto large = ask(&budget, 70);
    const auto small = ask(&budget, 10);
    EXPECT_EQ(result(large), -1);
    EXPECT_EQ(result(small), -1) << "the small one would starve the large one";
    EXPECT_FALSE(budget.try_reserve(1));
    EXPECT_EQ(budget.waiting_count(), 2u);
    release(&budget, 30);
    EXPECT_EQ(result(large), 1);
    EXPECT_EQ(result(small), -1);
    EXPECT_EQ(budget.reserved_bytes(), 100u);
    EXPECT_TRUE(budget.exhausted());
    release(&budget, 70);
    EXPECT_EQ(result(small), 1);
    EXPECT_EQ(budget.reserved_bytes(), 40u);
}

TEST_F(ByteBudgetTest, what_is_larger_than_everything_is_granted_alone) {
    ByteBudget budget(clock(), 100);
    EXPECT_TRUE(budget.try_reserve(1000));
    EXPECT_TRUE(budget.exhausted());
    const auto next = ask(&budget, 500);
    release(&budget, 999);
    EXPECT_EQ(result(next), -1);
    release(&budget, 1);
    EXPECT_EQ(result(next), 1);
    release(&budget, 500);
    EXPECT_EQ(budget.reserved_bytes(), 0u);
}

TEST_F(ByteBudgetTest, what_is_in_memory_already_counts_but_never_waits) {
    ByteBudget budget(clock(), 100);
    budget.reserve_present(80);
    budget.reserve_present(80);
    EXPECT_TRUE(budget.exhausted());
    EXPECT_FALSE(budget.try_reserve(1));
    budget.release(80);
    EXPECT_TRUE(budget.try_reserve(20));
}

TEST_F(ByteBudgetTest, a_deadline_ends_the_wait_and_lets_the_next_one_in) {
    ByteBudget budget(clock(), 100);
    EXPECT_TRUE(budget.try_reserve(50));
    const auto large = ask(&budget, 80, clock().now() + Duration::milliseconds(10));
    const auto small = ask(&budget, 40);
    scheduler_.run_for(Duration::milliseconds(20));
    EXPECT_EQ(result(large), 0);
    EXPECT_EQ(result(small), 1);
    EXPECT_EQ(budget.reserved_bytes(), 90u);
    EXPECT_EQ(budget.waiting_count(), 0u);
}

TEST_F(ByteBudgetTest, without_a_limit_nobody_waits) {
    ByteBudget budget(clock(), -1);
    EXPECT_TRUE(budget.try_reserve(1u << 30));
    EXPECT_TRUE(budget.try_reserve(1u << 30));
    EXPECT_FALSE(budget.exhausted());
}

TEST_F(ByteBudgetTest, closing_ends_every_wait) {
    ByteBudget budget(clock(), 10);
    EXPECT_TRUE(budget.try_reserve(10));
    const auto first = ask(&budget, 5);
    const auto second = ask(&budget, 5);
    budget.close();
    EXPECT_EQ(result(first), 0);
    EXPECT_EQ(result(second), 0);
    release(&budget, 10);
    EXPECT_FALSE(budget.try_reserve(1));
    EXPECT_EQ(result(ask(&budget, 1)), 0);
}

}  // namespace
}  // namespace pabal::broker
