#include "io/task.h"

namespace pabal::io {
namespace {

struct Detached {
    struct promise_type {
        Detached get_return_object() const noexcept { return {}; }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_never final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept { std::terminate(); }
    };
};

Detached run(Task<void> task) {
    co_await task;
}

}  // namespace

void detach(Task<void> task) {
    run(std::move(task));
}

}  // namespace pabal::io
