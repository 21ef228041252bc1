// A one-shot signal that a coroutine awaits with a deadline. Opened by whoever has the news (the
// high watermark passed, the file is synced, the node shuts down). Lives on one shard.
#pragma once

#include <coroutine>

#include "io/clock.h"

namespace pabal::io {

class Gate {
public:
    explicit Gate(Clock& clock) : clock_(clock) {}
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    ~Gate();

    // Lets the waiter go on at the shard's next turn, never inside this call. Opening twice is
    // fine.
    void open();
    bool is_open() const { return open_; }

    class Awaiter {
    public:
        Awaiter(Gate& gate, Instant deadline) : gate_(gate), deadline_(deadline) {}
        bool await_ready() const noexcept { return gate_.open_; }
        void await_suspend(std::coroutine_handle<> waiter);
        // True if the gate was opened, false if the deadline (link time) came first.
        bool await_resume() const noexcept { return gate_.open_; }

    private:
        Gate& gate_;
        Instant deadline_;
    };
    // One waiter at a time; the gate must outlive its wait.
    Awaiter opened(Instant deadline) { return Awaiter(*this, deadline); }

private:
    void resume();

    Clock& clock_;
    bool open_ = false;
    bool resuming_ = false;
    TimerId timer_ = 0;
    std::coroutine_handle<> waiter_;
};

// Ends at `when` (link time).
class Sleep {
public:
    Sleep(Clock& clock, Instant when) : clock_(clock), when_(when) {}
    bool await_ready() const noexcept { return when_ <= clock_.now(); }
    void await_suspend(std::coroutine_handle<> waiter) {
        clock_.at(when_, [waiter] { waiter.resume(); });
    }
    void await_resume() const noexcept {}

private:
    Clock& clock_;
    Instant when_;
};

// The next turn of the shard: lets others run between two pieces of long work.
class Turn {
public:
    explicit Turn(Clock& clock) : clock_(clock) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
        clock_.post([waiter] { waiter.resume(); });
    }
    void await_resume() const noexcept {}

private:
    Clock& clock_;
};

}  // namespace pabal::io
