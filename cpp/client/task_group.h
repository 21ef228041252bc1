// Tasks that run beside their owner, counted so that the owner can await the end of all of them
// before it goes. Lives on one shard.
#pragma once

#include <vector>

#include "io/gate.h"
#include "io/task.h"

namespace pabal::client {

class TaskGroup {
public:
    explicit TaskGroup(io::Clock* clock) : clock_(*clock) {}
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;

    // Runs `task` now, up to its first wait.
    void start(io::Task<void> task) {
        ++running_;
        io::detach(run(this, std::move(task)));
    }
    // Ends when none runs any more; nobody starts another one meanwhile.
    io::Task<void> ended() {
        while (running_ > 0) {
            io::Gate gate(clock_);
            waiter_ = &gate;
            co_await gate.opened(Instant::never());
            waiter_ = nullptr;
        }
    }

private:
    static io::Task<void> run(TaskGroup* group, io::Task<void> task) {
        co_await task;
        if (--group->running_ == 0 && group->waiter_ != nullptr) group->waiter_->open();
    }

    io::Clock& clock_;
    int running_ = 0;
    io::Gate* waiter_ = nullptr;
};

}  // namespace pabal::client
