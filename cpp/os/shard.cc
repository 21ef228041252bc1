#include "os/shard.h"

#include <pthread.h>
#include <signal.h>

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>

#include "base/assert.h"

namespace pabal::os {
namespace {

thread_local Shard* current_shard = nullptr;

// Rounds of posted work between two looks at the sockets, and how long they may take.
constexpr int posted_rounds = 16;
constexpr Duration posted_time = Duration::microseconds(200);

// Signals are the main thread's. SIGPIPE, which sendfile raises, stays blocked for good.
void block_signals() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) {
        sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

struct Shard::Loop {
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work =
        asio::make_work_guard(context);
    asio::steady_timer alarm{context};
};

Shard::Shard(std::string name, std::shared_ptr<PolicyTime> policy_time)
    : name_(name.substr(0, 15)),
      policy_time_(std::move(policy_time)),
      loop_(std::make_unique<Loop>()) {
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    block_signals();  // Inherited: the thread never runs without.
    thread_ = std::thread([this] { main(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    policy_time_->join(this);
}

Shard::~Shard() {
    ASSERT(!is_current(), "a shard is not destroyed on itself");
    policy_time_->leave(this);
    stopping_.store(true, std::memory_order_release);
    asio::post(loop_->context, [] {});
    thread_.join();
    ASSERT(outstanding_.load(std::memory_order_acquire) == 0,
           "a shard outlives the work that will come back to it");
}

Instant Shard::steady_now() {
    return Instant::from_nanoseconds(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                         std::chrono::steady_clock::now().time_since_epoch())
                                         .count());
}

Instant Shard::policy_now() const {
    const Instant policy = policy_time_->at(steady_now());
    if (policy > last_policy_now_) last_policy_now_ = policy;
    return last_policy_now_;
}

WallTime Shard::wall_now() const {
    const auto wall = std::chrono::duration_cast<std::chrono::nanoseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count();
    const Duration moved = policy_now() - steady_now();
    return WallTime{(wall + moved.to_nanoseconds()) / 1'000'000};
}

io::TimerId Shard::at(Instant when, std::function<void()> action) {
    ASSERT(is_current(), "timers are set on their shard");
    return timers_.add(when, std::move(action));
}

io::TimerId Shard::at_policy(Instant when, std::function<void()> action) {
    ASSERT(is_current(), "timers are set on their shard");
    return policy_timers_.add(when, std::move(action));
}

void Shard::cancel(io::TimerId timer) {
    ASSERT(is_current(), "timers are cancelled on their shard");
    (TimerQueue::tag_of(timer) == 0 ? timers_ : policy_timers_).cancel(timer);
}

void Shard::post(std::function<void()> action) {
    if (is_current()) {
        posted_.push_back(std::move(action));
        return;
    }
    bool first = false;
    {
        const std::lock_guard lock(remote_mutex_);
        first = remote_.empty();
        remote_.push_back(std::move(action));
        remote_waiting_.store(true, std::memory_order_release);
    }
    // Whoever finds the queue empty wakes the shard; it takes all there is then.
    if (first) asio::post(loop_->context, [] {});
}

void Shard::run(std::function<void()> action) {
    if (is_current()) {
        action();
        return;
    }
    std::mutex mutex;
    std::condition_variable done;
    bool ended = false;
    post([&] {
        action();
        const std::lock_guard lock(mutex);
        ended = true;
        done.notify_one();
    });
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return ended; });
}

bool Shard::is_current() const {
    return current_shard == this;
}

bool Shard::on_any() {
    return current_shard != nullptr;
}

asio::io_context& Shard::loop() {
    return loop_->context;
}

Shard::Survey Shard::survey() {
    Survey result;
    // The survey itself is one thing handled.
    result.moved = handled_ - surveyed_ > 1 || !posted_.empty();
    result.awaits_disk = outstanding_.load(std::memory_order_acquire) != 0;
    result.earliest_policy_timer = policy_timers_.earliest();
    surveyed_ = handled_;
    return result;
}

void Shard::main() {
    current_shard = this;
#ifdef __linux__
    pthread_setname_np(pthread_self(), name_.c_str());
#else
    pthread_setname_np(name_.c_str());
#endif
    while (!stopping_.load(std::memory_order_acquire)) {
        const Instant link = steady_now();
        if (timers_.earliest() <= link) handled_ += timers_.fire_due(link);
        if (!policy_timers_.empty()) {
            const Instant policy = policy_now();
            if (policy_timers_.earliest() <= policy) handled_ += policy_timers_.fire_due(policy);
        }
        if (run_posted()) {
            loop_->context.poll_one();
        } else {
            set_alarm();
            loop_->context.run_one();
        }
    }
    current_shard = nullptr;
}

void Shard::take_remote() {
    if (!remote_waiting_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(remote_mutex_);
    if (posted_.empty()) {
        posted_.swap(remote_);
    } else {
        for (auto& action : remote_) posted_.push_back(std::move(action));
        remote_.clear();
    }
    remote_waiting_.store(false, std::memory_order_relaxed);
}

bool Shard::run_posted() {
    take_remote();
    if (posted_.empty()) return false;
    const Instant until = steady_now() + posted_time;
    for (int round = 0; round < posted_rounds; ++round) {
        running_.swap(posted_);
        for (auto& action : running_) {
            action();
            action = nullptr;  // What it holds goes before the next one starts.
            ++handled_;
        }
        running_.clear();
        take_remote();
        if (posted_.empty()) return false;
        if (steady_now() >= until) break;
    }
    return true;
}

void Shard::set_alarm() {
    const Instant policy = policy_time_->link_time_of(policy_timers_.earliest());
    const Instant next = timers_.earliest() < policy ? timers_.earliest() : policy;
    // An alarm that comes too early costs one turn; setting it anew costs a system call.
    if (next >= alarm_) return;
    alarm_ = next;
    loop_->alarm.expires_at(
        std::chrono::steady_clock::time_point(std::chrono::nanoseconds(next.to_nanoseconds())));
    loop_->alarm.async_wait([this](const std::error_code& error) {
        if (!error) alarm_ = Instant::never();
    });
}

}  // namespace pabal::os
