#include "base/metrics.h"

#include <fmt/format.h>

#include <bit>
#include <iterator>

#include "base/assert.h"

namespace pabal {

void Histogram::record(Duration duration) {
    std::int64_t nanoseconds = duration.to_nanoseconds();
    std::uint64_t microseconds =
        nanoseconds <= 0 ? 0 : (static_cast<std::uint64_t>(nanoseconds) + 999) / 1000;
    // Bucket b holds what is at most 2^b microseconds.
    int bucket = microseconds <= 1 ? 0 : std::bit_width(microseconds - 1);
    buckets_[static_cast<std::size_t>(bucket < bucket_count ? bucket : bucket_count)] += 1;
    count_ += 1;
    sum_ = sum_ + duration;
}

Duration Histogram::percentile(int percent) const {
    if (count_ == 0) return Duration();
    std::uint64_t wanted = (count_ * static_cast<std::uint64_t>(percent) + 99) / 100;
    std::uint64_t seen = 0;
    for (int bucket = 0; bucket < bucket_count; ++bucket) {
        seen += buckets_[static_cast<std::size_t>(bucket)];
        if (seen >= wanted) return bound_of(bucket);
    }
    return bound_of(bucket_count);
}

Metrics::Family& Metrics::family(std::string_view name, std::string_view help, Kind kind) {
    auto found = families_.find(name);
    if (found == families_.end()) {
        found = families_.emplace(std::string(name), Family{}).first;
        found->second.kind = kind;
        found->second.help = help;
    }
    ASSERT(found->second.kind == kind, "a metric's name stands for one kind");
    return found->second;
}

Counter& Metrics::counter(std::string_view name, std::string_view help, std::string labels) {
    auto& slot = family(name, help, Kind::counter).counters[std::move(labels)];
    if (!slot) slot = std::make_unique<Counter>();
    return *slot;
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, std::string labels) {
    auto& slot = family(name, help, Kind::histogram).histograms[std::move(labels)];
    if (!slot) slot = std::make_unique<Histogram>();
    return *slot;
}

void Metrics::gauge(std::string_view name, std::string_view help, std::string labels,
                    std::function<double()> read) {
    family(name, help, Kind::gauge).gauges[std::move(labels)] = std::move(read);
}

void Metrics::remove_gauge(std::string_view name, std::string_view labels) {
    auto found = families_.find(name);
    if (found == families_.end()) return;
    auto gauge = found->second.gauges.find(labels);
    if (gauge != found->second.gauges.end()) found->second.gauges.erase(gauge);
}

std::string Metrics::text() const {
    std::string out;
    auto into = std::back_inserter(out);
    auto sample = [&](std::string_view name, std::string_view suffix, std::string_view labels) {
        out += name;
        out += suffix;
        if (!labels.empty()) fmt::format_to(into, "{{{}}}", labels);
        out += ' ';
    };
    for (const auto& [name, family] : families_) {
        std::string_view kind = family.kind == Kind::counter   ? "counter"
                                : family.kind == Kind::gauge ? "gauge"
                                                             : "histogram";
        fmt::format_to(into, "# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, kind);
        for (const auto& [labels, counter] : family.counters) {
            sample(name, "", labels);
            fmt::format_to(into, "{}\n", counter->value());
        }
        for (const auto& [labels, read] : family.gauges) {
            sample(name, "", labels);
            fmt::format_to(into, "{}\n", read());
        }
        for (const auto& [labels, histogram] : family.histograms) {
            std::uint64_t seen = 0;
            for (int bucket = 0; bucket < Histogram::bucket_count; ++bucket) {
                seen += histogram->buckets_[static_cast<std::size_t>(bucket)];
                double bound =
                    static_cast<double>(Histogram::bound_of(bucket).to_nanoseconds()) / 1e9;
                sample(name, "_bucket",
                       fmt::format("{}{}le=\"{}\"", labels, labels.empty() ? "" : ",", bound));
                fmt::format_to(into, "{}\n", seen);
            }
            sample(name, "_bucket",
                   fmt::format("{}{}le=\"+Inf\"", labels, labels.empty() ? "" : ","));
            fmt::format_to(into, "{}\n", histogram->count_);
            sample(name, "_sum", labels);
            fmt::format_to(into, "{}\n",
                           static_cast<double>(histogram->sum_.to_nanoseconds()) / 1e9);
            sample(name, "_count", labels);
            fmt::format_to(into, "{}\n", histogram->count_);
        }
    }
    return out;
}

}  // namespace pabal
