#include "os/timer_queue.h"

#include <utility>

namespace pabal::os {

// An id: generation (32 bits), slot (31 bits), tag (1 bit). Generations start at 1: no id is 0.
io::TimerId TimerQueue::add(Instant when, std::function<void()> action) {
    std::uint32_t index = free_slot_;
    if (index == no_slot) {
        index = static_cast<std::uint32_t>(slots_.size());
        slots_.emplace_back();
    } else {
        free_slot_ = slots_[index].position;
    }
    Slot& slot = slots_[index];
    slot.action = std::move(action);
    slot.used = true;
    const auto position = static_cast<std::uint32_t>(heap_.size());
    heap_.emplace_back();
    sift_up(position, Entry{when, next_sequence_++, index});
    return (static_cast<io::TimerId>(slot.generation) << 32) |
           (static_cast<io::TimerId>(index) << 1) | tag_;
}

bool TimerQueue::cancel(io::TimerId id) {
    const auto index = static_cast<std::uint32_t>((id & 0xffffffffu) >> 1);
    const auto generation = static_cast<std::uint32_t>(id >> 32);
    if (tag_of(id) != tag_ || index >= slots_.size()) return false;
    const Slot& slot = slots_[index];
    if (!slot.used || slot.generation != generation) return false;
    take(slot.position);
    return true;
}

std::size_t TimerQueue::fire_due(Instant now) {
    const std::uint64_t end = next_sequence_;
    std::size_t fired = 0;
    while (!heap_.empty() && heap_.front().when <= now && heap_.front().sequence < end) {
        auto action = take(0);
        action();
        ++fired;
    }
    return fired;
}

std::function<void()> TimerQueue::take(std::uint32_t position) {
    const std::uint32_t index = heap_[position].slot;
    Slot& slot = slots_[index];
    auto action = std::move(slot.action);
    slot.action = nullptr;
    slot.used = false;
    if (++slot.generation == 0) slot.generation = 1;
    slot.position = free_slot_;
    free_slot_ = index;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (position < heap_.size()) {
        if (position > 0 && last.before(heap_[(position - 1) / 4])) {
            sift_up(position, last);
        } else {
            sift_down(position, last);
        }
    }
    return action;
}

void TimerQueue::sift_up(std::uint32_t position, Entry entry) {
    while (position > 0) {
        const std::uint32_t parent = (position - 1) / 4;
        if (!entry.before(heap_[parent])) break;
        place(position, heap_[parent]);
        position = parent;
    }
    place(position, entry);
}

void TimerQueue::sift_down(std::uint32_t position, Entry entry) {
    const auto size = static_cast<std::uint32_t>(heap_.size());
    for (;;) {
        const std::uint32_t first = 4 * position + 1;
        if (first >= size) break;
        std::uint32_t best = first;
        const std::uint32_t end = first + 4 < size ? first + 4 : size;
        for (std::uint32_t child = first + 1; child < end; ++child) {
            if (heap_[child].before(heap_[best])) best = child;
        }
        if (!heap_[best].before(entry)) break;
        place(position, heap_[best]);
        position = best;
    }
    place(position, entry);
}

}  // namespace pabal::os
