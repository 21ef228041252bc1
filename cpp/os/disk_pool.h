// The threads that block for the shards: two per process, started with the first work. One queue,
// in order. It has no bound of its own: each entry is a suspended coroutine of a shard, which its
// owner bounds and which weighs more than the entry.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "io/task.h"

namespace pabal::os {

class Shard;

class DiskPool {
public:
    explicit DiskPool(std::size_t thread_count = 2) : thread_count_(thread_count) {}
    // Does what is queued still, then ends.
    ~DiskPool();
    DiskPool(const DiskPool&) = delete;
    DiskPool& operator=(const DiskPool&) = delete;

    void submit(std::function<void()> work);
    // Awaits `work` from a coroutine on `shard`, which goes on there.
    io::Task<void> run(Shard* shard, std::function<void()> work);

private:
    void main();

    const std::size_t thread_count_;
    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<std::function<void()>> queue_;
    std::vector<std::thread> threads_;
    std::size_t idle_count_ = 0;
    bool stopping_ = false;
};

}  // namespace pabal::os
