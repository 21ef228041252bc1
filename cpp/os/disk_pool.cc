#include "os/disk_pool.h"

#include <pthread.h>
#include <signal.h>

#include <coroutine>

#include "os/shard.h"

namespace pabal::os {
namespace {

// Suspends a coroutine of `shard` while `work` is done elsewhere.
class Away {
public:
    Away(DiskPool* pool, Shard* shard, std::function<void()>* work)
        : pool_(pool), shard_(shard), work_(work) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) {
        shard_->left();
        pool_->submit([shard = shard_, work = work_, waiter] {
            (*work)();
            shard->post([shard, waiter] {
                shard->returned();
                waiter.resume();
            });
        });
    }
    void await_resume() const noexcept {}

private:
    DiskPool* pool_;
    Shard* shard_;
    std::function<void()>* work_;
};

}  // namespace

DiskPool::~DiskPool() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    ready_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void DiskPool::submit(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
    if (idle_count_ >= queue_.size() || threads_.size() == thread_count_) {
        ready_.notify_one();
        return;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    threads_.emplace_back([this] { main(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

io::Task<void> DiskPool::run(Shard* shard, std::function<void()> work) {
    Away away(this, shard, &work);
    co_await away;
}

void DiskPool::main() {
#ifdef __linux__
    pthread_setname_np(pthread_self(), "pabal-disk");
#else
    pthread_setname_np("pabal-disk");
#endif
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_count_;
        ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        --idle_count_;
        if (queue_.empty()) return;
        auto work = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        work();
        work = nullptr;
        lock.lock();
    }
}

}  // namespace pabal::os
