#include "bindings/fork_mark.h"

#include <pthread.h>

#include <atomic>

namespace pabal::bindings {
namespace {

std::atomic<unsigned> count{0};

}  // namespace

unsigned fork_count() {
    [[maybe_unused]] static const int watched =
        pthread_atfork(nullptr, nullptr, [] { count.fetch_add(1, std::memory_order_relaxed); });
    return count.load(std::memory_order_relaxed);
}

}  // namespace pabal::bindings
