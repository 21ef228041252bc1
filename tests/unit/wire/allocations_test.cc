#include "tests/unit/wire/allocations.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <new>
#include <vector>

namespace {

std::size_t held_bytes = 0;
std::size_t peak = 0;

void* allocate(std::size_t size) {
    void* memory = std::malloc(size);
    if (!memory) std::abort();
    held_bytes += malloc_usable_size(memory);
    if (held_bytes > peak) peak = held_bytes;
    return memory;
}

void release(void* memory) {
    if (!memory) return;
    held_bytes -= malloc_usable_size(memory);
    std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) {
    return allocate(size);
}
void operator delete(void* memory) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    release(memory);
}

namespace pabal::wire {

Allocations::Allocations() : before_(held_bytes) {
    peak = held_bytes;
}
std::size_t Allocations::peak_bytes() const {
    return peak - before_;
}

namespace {

TEST(Allocations, AreCounted) {
    Allocations allocations;
    {
        std::vector<char> some(100'000);
    }
    EXPECT_GE(allocations.peak_bytes(), 100'000u);
    EXPECT_LT(allocations.peak_bytes(), 200'000u);
}

}  // namespace
}  // namespace pabal::wire
