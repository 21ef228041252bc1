// What a node counts and times, and its Prometheus text. One Metrics object per node; parts ask it
// once for their counters and keep the references, which live as long as it does. Counting is a
// relaxed atomic addition and may happen on any thread; asking and rendering take a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.h"

namespace pabal {

// Only ever grows.
class Counter {
public:
    void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

class Gauge {
public:
    void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
    void add(std::int64_t change) { value_.fetch_add(change, std::memory_order_relaxed); }
    std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::int64_t> value_{0};
};

// Durations in log-linear buckets: 32 to each doubling, so that what is read back is at most 1.6 %
// away from what was recorded, from a microsecond to a minute; what is shorter or longer counts
// into the ends. Takes its 7 KiB with the first record.
class LatencyHistogram {
public:
    LatencyHistogram() = default;
    ~LatencyHistogram() { delete buckets_.load(std::memory_order_acquire); }
    LatencyHistogram(const LatencyHistogram&) = delete;
    LatencyHistogram& operator=(const LatencyHistogram&) = delete;

    void record(Duration duration);

    std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }
    Duration sum() const {
        return Duration::nanoseconds(sum_nanoseconds_.load(std::memory_order_relaxed));
    }
    // The duration that `fraction` (0 to 1) of all records do not exceed; zero without records.
    Duration quantile(double fraction) const;
    // Records of at most 2^exponent nanoseconds, exactly (within the recorded range).
    std::uint64_t count_up_to(int exponent) const;

    static constexpr int least_exponent = 10;     // 1 µs.
    static constexpr int greatest_exponent = 36;  // 69 s.

private:
    static constexpr int parts_of_doubling = 32;
    static constexpr int bucket_count =
        (greatest_exponent - least_exponent) * parts_of_doubling + 1;
    struct Buckets {
        std::atomic<std::uint64_t> counts[bucket_count] = {};
    };

    static int bucket_of(std::int64_t nanoseconds);
    static std::int64_t middle_of(int bucket);
    Buckets& buckets();

    std::atomic<Buckets*> buckets_{nullptr};
    std::atomic<std::uint64_t> count_{0};
    std::atomic<std::int64_t> sum_nanoseconds_{0};
};

class Metrics {
public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    Metrics();
    ~Metrics();

    // The metric of this name and labels; made with the first call, the same one afterwards. A name
    // has one kind for ever: pabal_requests_total, pabal_log_bytes, pabal_request_seconds.
    Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
    Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
    LatencyHistogram& latency(std::string_view name, std::string_view help, Labels labels = {});

    // All metrics in Prometheus' text format 0.0.4, ordered by name, then labels.
    std::string render() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace pabal
