// The bytes that requests in the memory of one broker may take together (queued.max.request.bytes).
// A frame reserves its length before memory is taken for it; while it cannot, its socket is not
// read. First come, first served. Lives on the broker's shard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "io/gate.h"
#include "io/task.h"

namespace pabal::broker {

class ByteBudget {
public:
    // Zero or less: without limit.
    ByteBudget(io::Clock& clock, std::int64_t limit_bytes)
        : clock_(clock), limit_bytes_(limit_bytes) {}

    // Now or not at all. What alone exceeds the limit is granted when nothing else is reserved.
    bool try_reserve(std::size_t bytes);
    // For bytes that are in memory already: may exceed the limit.
    void reserve_present(std::size_t bytes) { reserved_bytes_ += bytes; }
    // False: the deadline came first, or the budget was closed.
    io::Task<bool> reserve(std::size_t bytes, Instant deadline);
    void release(std::size_t bytes);
    // Every wait ends with false, now and later.
    void close();

    // Nothing more may be read until something is released.
    bool exhausted() const {
        return limit_bytes_ > 0 && reserved_bytes_ >= static_cast<std::size_t>(limit_bytes_);
    }
    std::size_t reserved_bytes() const { return reserved_bytes_; }
    std::size_t waiting_count() const { return waiting_.size(); }

private:
    struct Waiter {
        io::Gate gate;
        std::size_t bytes;
        bool granted = false;
    };
    bool fits(std::size_t bytes) const;
    void grant();

    io::Clock& clock_;
    std::int64_t limit_bytes_;
    std::size_t reserved_bytes_ = 0;
    bool closed_ = false;
    std::deque<Waiter*> waiting_;
};

}  // namespace pabal::broker
