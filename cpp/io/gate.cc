#include "io/gate.h"

#include "base/assert.h"

namespace pabal::io {

Gate::~Gate() {
    ASSERT(!waiter_ && !resuming_, "a gate outlives its wait");
}

void Gate::open() {
    if (open_) return;
    open_ = true;
    resume();
}

void Gate::resume() {
    if (!waiter_ || resuming_) return;
    if (timer_ != 0) clock_.cancel(timer_);
    timer_ = 0;
    resuming_ = true;
    clock_.post([this] {
        auto waiter = waiter_;
        waiter_ = nullptr;
        resuming_ = false;
        waiter.resume();
    });
}

void Gate::Awaiter::await_suspend(std::coroutine_handle<> waiter) {
    ASSERT(!gate_.waiter_, "a gate has one waiter");
    gate_.waiter_ = waiter;
    if (deadline_ != Instant::never()) {
        Gate* gate = &gate_;
        gate_.timer_ = gate_.clock_.at(deadline_, [gate] {
            gate->timer_ = 0;
            gate->resume();
        });
    }
}

}  // namespace pabal::io
