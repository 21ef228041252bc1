#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <vector>

#include "base/prng.h"

namespace pabal {
namespace {

using ::testing::HasSubstr;

TEST(Metrics, RendersPrometheusText) {
    Metrics metrics;
    metrics.counter("pabal_requests_total", "Requests answered.", {{"api", "Produce"}}).add(3);
    metrics.counter("pabal_requests_total", "Requests answered.", {{"api", "Fetch"}}).add();
    metrics.gauge("pabal_connections", "Open connections.").set(-2);
    EXPECT_EQ(metrics.render(),
              "# HELP pabal_connections Open connections.\n"
              "# TYPE pabal_connections gauge\n"
              "pabal_connections -2\n"
              "# HELP pabal_requests_total Requests answered.\n"
              "# TYPE pabal_requests_total counter\n"
              "pabal_requests_total{api=\"Fetch\"} 1\n"
              "pabal_requests_total{api=\"Produce\"} 3\n");
}

TEST(Metrics, GivesTheSameMetricForTheSameNameAndLabels) {
    Metrics metrics;
    Counter& first = metrics.counter("pabal_x_total", "X.", {{"a", "1"}});
    EXPECT_EQ(&first, &metrics.counter("pabal_x_total", "X.", {{"a", "1"}}));
    EXPECT_NE(&first, &metrics.counter("pabal_x_total", "X.", {{"a", "2"}}));
}

TEST(Metrics, EscapesLabels) {
    Metrics metrics;
    metrics.gauge("pabal_y", "Y.", {{"path", "a\\b\"c\nd"}}).set(1);
    EXPECT_THAT(metrics.render(), HasSubstr("pabal_y{path=\"a\\\\b\\\"c\\nd\"} 1\n"));
}

TEST(Metrics, RendersCumulativeLatencyBuckets) {
    Metrics metrics;
    auto& latency = metrics.latency("pabal_request_seconds", "Time.", {{"api", "Fetch"}});
    latency.record(Duration::microseconds(10));
    latency.record(Duration::microseconds(20));
    latency.record(Duration::seconds(500));
    const std::string text = metrics.render();
    EXPECT_THAT(text, HasSubstr("# TYPE pabal_request_seconds histogram\n"));
    EXPECT_THAT(text, HasSubstr("_bucket{api=\"Fetch\",le=\"1.6384e-05\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("_bucket{api=\"Fetch\",le=\"3.2768e-05\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("_bucket{api=\"Fetch\",le=\"34.3597384\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("_bucket{api=\"Fetch\",le=\"+Inf\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("pabal_request_seconds_sum{api=\"Fetch\"} 500.00003\n"));
    EXPECT_THAT(text, HasSubstr("pabal_request_seconds_count{api=\"Fetch\"} 3\n"));
}

TEST(LatencyHistogram, ReadsQuantilesBackWithinTwoPercent) {
    Prng random(5);
    LatencyHistogram histogram;
    std::vector<std::int64_t> values;
    for (int i = 0; i < 50'000; ++i) {
        const auto octave = random.below(24);
        values.push_back(static_cast<std::int64_t>(2'000 + random.below(1ull << (11 + octave))));
        histogram.record(Duration::nanoseconds(values.back()));
    }
    std::sort(values.begin(), values.end());
    for (const double fraction : {0.01, 0.25, 0.5, 0.9, 0.99, 0.999}) {
        const auto index =
            static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(values.size()))) - 1;
        const auto exact = static_cast<double>(values[index]);
        const auto read = static_cast<double>(histogram.quantile(fraction).to_nanoseconds());
        EXPECT_NEAR(read, exact, exact * 0.02) << fraction;
    }
    for (int exponent = 11; exponent <= 35; ++exponent) {
        const auto exact = static_cast<std::uint64_t>(
            std::upper_bound(values.begin(), values.end(), std::int64_t{1} << exponent) -
            values.begin());
        EXPECT_EQ(histogram.count_up_to(exponent), exact) << exponent;
    }
}

TEST(LatencyHistogram, TakesWhatIsOutOfRangeIntoItsEnds) {
    LatencyHistogram histogram;
    EXPECT_EQ(histogram.quantile(0.5), Duration());
    histogram.record(Duration::nanoseconds(-5));
    histogram.record(Duration::nanoseconds(0));
    histogram.record(Duration::nanoseconds(INT64_MAX / 2));
    EXPECT_EQ(histogram.count(), 3u);
    EXPECT_LT(histogram.quantile(0.5).to_microseconds(), 2);
    EXPECT_GT(histogram.quantile(1.0), Duration::seconds(60));
}

TEST(LatencyHistogram, LosesNothingBetweenThreads) {
    LatencyHistogram histogram;
    const auto work = [&] {
        for (int i = 0; i < 20'000; ++i) histogram.record(Duration::microseconds(i));
    };
    std::thread other(work);
    work();
    other.join();
    EXPECT_EQ(histogram.count(), 40'000u);
    EXPECT_EQ(histogram.count_up_to(36), 40'000u);
}

}  // namespace
}  // namespace pabal
