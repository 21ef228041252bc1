// Counters, gauges and latency histograms of one node, written out in the text form that Prometheus
// reads. Lives on the node's shard; a counter is found by name once and then kept by reference.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"

namespace pabal {

class Counter {
public:
    void add(std::uint64_t count = 1) { value_ += count; }
    std::uint64_t value() const { return value_; }

private:
    std::uint64_t value_ = 0;
};

// Durations in buckets whose upper bounds double, from one microsecond to over a minute.
class Histogram {
public:
    static constexpr int bucket_count = 27;
    void record(Duration duration);
    std::uint64_t count() const { return count_; }
    Duration sum() const { return sum_; }
    // Upper bound of the bucket below which `percent` of the recorded durations lie; 0 if none are.
    Duration percentile(int percent) const;

private:
    friend class Metrics;
    static Duration bound_of(int bucket) { return Duration::microseconds(std::int64_t{1} << bucket); }

    std::array<std::uint64_t, bucket_count + 1> buckets_{};  // The last is without bound.
    std::uint64_t count_ = 0;
    Duration sum_;
};

class Metrics {
public:
    // `labels` as Prometheus writes them, without braces: `api="Produce"`. The same name and labels
    // give the same object; references stay valid as long as the registry lives.
    Counter& counter(std::string_view name, std::string_view help, std::string labels = {});
    Histogram& histogram(std::string_view name, std::string_view help, std::string labels = {});
    // `read` is called on the shard whenever the metrics are written; it must outlive the registry
    // or be taken back with `remove_gauge`.
    void gauge(std::string_view name, std::string_view help, std::string labels,
               std::function<double()> read);
    void remove_gauge(std::string_view name, std::string_view labels);

    std::string text() const;

private:
    enum class Kind { counter, gauge, histogram };
    struct Family {
        Kind kind = Kind::counter;
        std::string help;
        std::map<std::string, std::unique_ptr<Counter>> counters;
        std::map<std::string, std::unique_ptr<Histogram>> histograms;
        std::map<std::string, std::function<double()>, std::less<>> gauges;
    };
    Family& family(std::string_view name, std::string_view help, Kind kind);

    std::map<std::string, Family, std::less<>> families_;
};

}  // namespace pabal
