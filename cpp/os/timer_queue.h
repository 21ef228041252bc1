// The timers of one shard on one of its two times: a four-ary heap that knows where each timer
// stands, so that the thousands of deadlines that never pass cost little to set and to cancel.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/time.h"
#include "io/clock.h"

namespace pabal::os {

class TimerQueue {
public:
    // Two queues of one clock have different `tag`s (0 or 1), which their ids carry.
    explicit TimerQueue(unsigned tag) : tag_(tag) {}

    io::TimerId add(Instant when, std::function<void()> action);
    // False if the timer is unknown, fired or cancelled.
    bool cancel(io::TimerId id);
    static unsigned tag_of(io::TimerId id) { return static_cast<unsigned>(id & 1); }

    bool empty() const { return heap_.empty(); }
    // never() when empty.
    Instant earliest() const { return heap_.empty() ? Instant::never() : heap_.front().when; }
    // Fires what is due at `now`, in order of time, then of creation; not what is added meanwhile.
    // Returns how many.
    std::size_t fire_due(Instant now);

private:
    struct Entry {
        Instant when;
        std::uint64_t sequence;  // Earlier timers first among equals.
        std::uint32_t slot;
        bool before(const Entry& other) const {
            return when != other.when ? when < other.when : sequence < other.sequence;
        }
    };
    struct Slot {
        std::function<void()> action;
        std::uint32_t generation = 1;  // An id is good for one generation of its slot.
        std::uint32_t position = 0;    // In the heap; the next free slot while it is free.
        bool used = false;
    };

    void place(std::uint32_t position, const Entry& entry) {
        heap_[position] = entry;
        slots_[entry.slot].position = position;
    }
    void sift_up(std::uint32_t position, Entry entry);
    void sift_down(std::uint32_t position, Entry entry);
    // Takes the timer out of the heap and frees its slot.
    std::function<void()> take(std::uint32_t position);

    static constexpr std::uint32_t no_slot = ~std::uint32_t{0};

    unsigned tag_;
    std::vector<Entry> heap_;
    std::vector<Slot> slots_;
    std::uint32_t free_slot_ = no_slot;
    std::uint64_t next_sequence_ = 0;
};

}  // namespace pabal::os
