// Durations, instants and wall time. An Instant counts on a steady clock and only differences mean
// something; a WallTime is the milliseconds since 1970 that Kafka writes into records.
#pragma once

#include <compare>
#include <cstdint>

namespace pabal {

class Duration {
public:
    constexpr Duration() = default;
    static constexpr Duration nanoseconds(std::int64_t count) { return Duration(count); }
    static constexpr Duration microseconds(std::int64_t count) { return Duration(count * 1000); }
    // Saturates: Kafka writes "for ever" as Long.MAX_VALUE milliseconds.
    static constexpr Duration milliseconds(std::int64_t count) {
        if (count > INT64_MAX / 1'000'000) return Duration(INT64_MAX);
        if (count < INT64_MIN / 1'000'000) return Duration(INT64_MIN);
        return Duration(count * 1'000'000);
    }
    static constexpr Duration seconds(std::int64_t count) {
        if (count > INT64_MAX / 1000) return Duration(INT64_MAX);
        return milliseconds(count * 1000);
    }

    constexpr std::int64_t to_nanoseconds() const { return nanoseconds_; }
    constexpr std::int64_t to_microseconds() const { return nanoseconds_ / 1000; }
    constexpr std::int64_t to_milliseconds() const { return nanoseconds_ / 1'000'000; }

    constexpr auto operator<=>(const Duration&) const = default;
    friend constexpr Duration operator+(Duration a, Duration b) {
        return Duration(a.nanoseconds_ + b.nanoseconds_);
    }
    friend constexpr Duration operator-(Duration a, Duration b) {
        return Duration(a.nanoseconds_ - b.nanoseconds_);
    }

private:
    constexpr explicit Duration(std::int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
    std::int64_t nanoseconds_ = 0;
};

class Instant {
public:
    constexpr Instant() = default;
    static constexpr Instant from_nanoseconds(std::int64_t count) { return Instant(count); }
    // Later than every other instant: a wait without a deadline.
    static constexpr Instant never() { return Instant(INT64_MAX); }

    constexpr std::int64_t to_nanoseconds() const { return nanoseconds_; }

    constexpr auto operator<=>(const Instant&) const = default;
    // Saturates at never().
    friend constexpr Instant operator+(Instant a, Duration b) {
        std::int64_t sum = 0;
        if (__builtin_add_overflow(a.nanoseconds_, b.to_nanoseconds(), &sum)) return never();
        return Instant(sum);
    }
    friend constexpr Duration operator-(Instant a, Instant b) {
        return Duration::nanoseconds(a.nanoseconds_ - b.nanoseconds_);
    }

private:
    constexpr explicit Instant(std::int64_t nanoseconds) : nanoseconds_(nanoseconds) {}
    std::int64_t nanoseconds_ = 0;
};

struct WallTime {
    std::int64_t milliseconds = -1;  // Since 1970-01-01 UTC; -1 where a record has none.

    constexpr auto operator<=>(const WallTime&) const = default;
};

}  // namespace pabal
