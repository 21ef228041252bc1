#include "broker/byte_budget.h"

#include <algorithm>

namespace pabal::broker {

bool ByteBudget::fits(std::size_t bytes) const {
    if (limit_bytes_ <= 0 || reserved_bytes_ == 0) return true;
    auto limit = static_cast<std::size_t>(limit_bytes_);
    return bytes <= limit && reserved_bytes_ <= limit - bytes;
}

bool ByteBudget::try_reserve(std::size_t bytes) {
    if (closed_ || !waiting_.empty() || !fits(bytes)) return false;
    reserved_bytes_ += bytes;
    return true;
}

io::Task<bool> ByteBudget::reserve(std::size_t bytes, Instant deadline) {
    if (try_reserve(bytes)) co_return true;
    if (closed_) co_return false;
    Waiter waiter{io::Gate(clock_), bytes};
    waiting_.push_back(&waiter);
    co_await waiter.gate.opened(deadline);
    if (!waiter.granted) {
        auto place = std::find(waiting_.begin(), waiting_.end(), &waiter);
        if (place != waiting_.end()) waiting_.erase(place);
        grant();
    }
    co_return waiter.granted;
}

void ByteBudget::release(std::size_t bytes) {
    ASSERT(bytes <= reserved_bytes_, "only what was reserved is released");
    reserved_bytes_ -= bytes;
    if (!waiting_.empty()) grant();
}

void ByteBudget::grant() {
    while (!closed_ && !waiting_.empty() && fits(waiting_.front()->bytes)) {
        Waiter* waiter = waiting_.front();
        waiting_.pop_front();
        reserved_bytes_ += waiter->bytes;
        waiter->granted = true;
        waiter->gate.open();
    }
}

void ByteBudget::close() {
    closed_ = true;
    for (Waiter* waiter : waiting_) waiter->gate.open();
    waiting_.clear();
}

}  // namespace pabal::broker
