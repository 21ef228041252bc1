#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>
#include <variant>

#include "base/assert.h"

namespace pabal {
namespace {

// Doublings from 16 µs to 34 s: the buckets that Prometheus is told.
constexpr int first_rendered_exponent = 14;
constexpr int last_rendered_exponent = 35;

std::string rendered_labels(Metrics::Labels labels) {
    std::string text;
    for (const auto& [key, value] : labels) {
        if (!text.empty()) text += ',';
        text += key;
        text += "=\"";
        for (const char c : value) {
            if (c == '\\' || c == '"') text += '\\';
            if (c == '\n') {
                text += "\\n";
            } else {
                text += c;
            }
        }
        text += '"';
    }
    return text;
}

}  // namespace

int LatencyHistogram::bucket_of(std::int64_t nanoseconds) {
    if (nanoseconds <= (std::int64_t{1} << least_exponent)) return 0;
    if (nanoseconds > (std::int64_t{1} << greatest_exponent)) return bucket_count - 1;
    // A bucket holds its upper bound: a power of two closes the doubling below it.
    const auto value = static_cast<std::uint64_t>(nanoseconds - 1);
    const int exponent = static_cast<int>(std::bit_width(value)) - 1;
    constexpr int part_bits = 5;
    static_assert(1 << part_bits == parts_of_doubling);
    const auto part = static_cast<int>((value >> (exponent - part_bits)) & (parts_of_doubling - 1));
    return (exponent - least_exponent) * parts_of_doubling + part;
}

std::int64_t LatencyHistogram::middle_of(int bucket) {
    if (bucket == bucket_count - 1) return std::int64_t{1} << greatest_exponent;
    const int exponent = least_exponent + bucket / parts_of_doubling;
    const std::int64_t width = (std::int64_t{1} << exponent) / parts_of_doubling;
    return (std::int64_t{1} << exponent) + width * (bucket % parts_of_doubling) + width / 2;
}

LatencyHistogram::Buckets& LatencyHistogram::buckets() {
    Buckets* buckets = buckets_.load(std::memory_order_acquire);
    if (buckets) return *buckets;
    auto made = std::make_unique<Buckets>();
    // Another thread may have been first; its buckets are kept then.
    if (buckets_.compare_exchange_strong(buckets, made.get(), std::memory_order_acq_rel)) {
        return *made.release();
    }
    return *buckets;
}

void LatencyHistogram::record(Duration duration) {
    const std::int64_t nanoseconds = std::max<std::int64_t>(duration.to_nanoseconds(), 0);
    buckets().counts[bucket_of(nanoseconds)].fetch_add(1, std::memory_order_relaxed);
    count_.fetch_add(1, std::memory_order_relaxed);
    sum_nanoseconds_.fetch_add(nanoseconds, std::memory_order_relaxed);
}

Duration LatencyHistogram::quantile(double fraction) const {
    const Buckets* buckets = buckets_.load(std::memory_order_acquire);
    if (!buckets) return {};
    std::uint64_t total = 0;
    for (const auto& count : buckets->counts) total += count.load(std::memory_order_relaxed);
    const auto wanted = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(total))));
    std::uint64_t passed = 0;
    for (int bucket = 0; bucket < bucket_count; ++bucket) {
        passed += buckets->counts[bucket].load(std::memory_order_relaxed);
        if (passed >= wanted) return Duration::nanoseconds(middle_of(bucket));
    }
    return {};
}

std::uint64_t LatencyHistogram::count_up_to(int exponent) const {
    const Buckets* buckets = buckets_.load(std::memory_order_acquire);
    if (!buckets) return 0;
    const int end = (exponent - least_exponent) * parts_of_doubling;
    std::uint64_t count = 0;
    for (int bucket = 0; bucket < end; ++bucket) {
        count += buckets->counts[bucket].load(std::memory_order_relaxed);
    }
    return count;
}

namespace {

using Metric = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>,
                            std::unique_ptr<LatencyHistogram>>;

struct Family {
    std::string help;
    std::size_t kind = 0;                             // Index into Metric.
    std::map<std::string, Metric, std::less<>> rows;  // By rendered labels.
};

void render_latency(std::string& text, std::string_view name, std::string_view labels,
                    const LatencyHistogram& histogram) {
    const auto out = std::back_inserter(text);
    const std::string_view comma = labels.empty() ? "" : ",";
    // Counted first: a record that arrives meanwhile must not make a bucket larger than the total.
    std::string buckets;
    for (int exponent = first_rendered_exponent; exponent <= last_rendered_exponent; ++exponent) {
        fmt::format_to(std::back_inserter(buckets), "{}_bucket{{{}{}le=\"{:.9g}\"}} {}\n", name,
                       labels, comma, std::ldexp(1e-9, exponent), histogram.count_up_to(exponent));
    }
    const std::uint64_t count = histogram.count();
    const double sum = static_cast<double>(histogram.sum().to_nanoseconds()) / 1e9;
    text += buckets;
    fmt::format_to(out, "{}_bucket{{{}{}le=\"+Inf\"}} {}\n", name, labels, comma, count);
    const std::string braces = labels.empty() ? "" : fmt::format("{{{}}}", labels);
    fmt::format_to(out, "{}_sum{} {:.9g}\n{}_count{} {}\n", name, braces, sum, name, braces, count);
}

}  // namespace

struct Metrics::State {
    mutable std::mutex mutex;
    std::map<std::string, Family, std::less<>> families;

    template <class T>
    T& find(std::string_view name, std::string_view help, Labels labels) {
        const std::lock_guard lock(mutex);
        auto family = families.find(name);
        Metric fresh = std::make_unique<T>();
        if (family == families.end()) {
            family = families.emplace(name, Family{std::string(help), fresh.index(), {}}).first;
        }
        ASSERT(family->second.kind == fresh.index(), "a metric's name has one kind");
        auto row = family->second.rows.try_emplace(rendered_labels(labels), std::move(fresh)).first;
        return **std::get_if<std::unique_ptr<T>>(&row->second);
    }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
    return state_->find<Counter>(name, help, labels);
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
    return state_->find<Gauge>(name, help, labels);
}

LatencyHistogram& Metrics::latency(std::string_view name, std::string_view help, Labels labels) {
    return state_->find<LatencyHistogram>(name, help, labels);
}

std::string Metrics::render() const {
    const std::lock_guard lock(state_->mutex);
    std::string text;
    const auto out = std::back_inserter(text);
    constexpr std::string_view kinds[] = {"counter", "gauge", "histogram"};
    for (const auto& [name, family] : state_->families) {
        fmt::format_to(out, "# HELP {} {}\n# TYPE {} {}\n", name, family.help, name,
                       kinds[family.kind]);
        for (const auto& [labels, metric] : family.rows) {
            const std::string braces = labels.empty() ? "" : fmt::format("{{{}}}", labels);
            if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&metric)) {
                fmt::format_to(out, "{}{} {}\n", name, braces, (*counter)->value());
            } else if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&metric)) {
                fmt::format_to(out, "{}{} {}\n", name, braces, (*gauge)->value());
            } else {
                render_latency(text, name, labels,
                               **std::get_if<std::unique_ptr<LatencyHistogram>>(&metric));
            }
        }
    }
    return text;
}

}  // namespace pabal
