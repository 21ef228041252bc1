#include <gtest/gtest.h>

#include "base/prng.h"
#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

struct Record {
    std::int64_t offset;
    std::int64_t timestamp;
};

TEST(TimestampSearchTest, AgreesWithALinearSearch) {
    constexpr record::Compression codecs[] = {record::Compression::none, record::Compression::zstd,
                                              record::Compression::lz4};
    for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
        SCOPED_TRACE(seed);
        Prng random(seed);
        MemoryDisk disk;
        LogConfig config;
        config.segment_bytes = 4000;
        config.index_interval_bytes = 200;
        auto log = open_log(disk, config);
        std::vector<Record> records;
        std::int64_t time = 1'000'000;
        for (int i = 0; i < 120; ++i) {
            // Mostly forward, sometimes back: producers' clocks disagree.
            time += random.between(-200, 400);
            const auto count = static_cast<int>(1 + random.below(5));
            const std::int64_t step = random.between(-20, 60);
            const std::int64_t base = log->log_end_offset().value();
            must_append(*log, {.records = count,
                               .timestamp = time,
                               .timestamp_step = step,
                               .value_bytes = random.below(80),
                               .compression = codecs[random.below(3)]});
            for (int j = 0; j < count; ++j) records.push_back({base + j, time + j * step});
        }
        if (seed % 2 == 0) log = open_log(disk, config);
        if (seed % 3 == 0) {
            const auto end = log->log_end_offset().value();
            ASSERT_TRUE(log->truncate_to(Offset(end - 20)).ok());
            std::erase_if(records, [&](const Record& record) {
                return record.offset >= log->log_end_offset().value();
            });
        }
        for (int question = 0; question < 400; ++question) {
            if (question == 200) {
                ASSERT_TRUE(
                    log->raise_log_start_offset(Offset(log->log_end_offset().value() / 3)).ok());
            }
            const std::int64_t start = log->log_start_offset().value();
            const std::int64_t end = log->log_end_offset().value();
            // A bound between batches, as the high watermark is.
            const auto spans_left = read_spans(*log, random.between(start, end - 1));
            const std::int64_t bound = random.chance(1, 2) ? end : spans_left.front().base;
            const std::int64_t wanted = random.between(995'000, time + 20'000);
            std::optional<Record> first;
            std::optional<Record> largest;
            for (const Record& record : records) {
                if (record.offset < start || record.offset >= bound) continue;
                if (!first && record.timestamp >= wanted) first = record;
                if (!largest || record.timestamp > largest->timestamp) largest = record;
            }
            const auto found = log->find_timestamp(WallTime{wanted}, Offset(bound));
            ASSERT_TRUE(found.ok()) << found.error().message;
            ASSERT_EQ(found->has_value(), first.has_value()) << wanted << " below " << bound;
            if (first) {
                ASSERT_EQ((*found)->offset.value(), first->offset);
                ASSERT_EQ((*found)->timestamp.milliseconds, first->timestamp);
                ASSERT_EQ((*found)->leader_epoch, LeaderEpoch(0));
            }
            const auto max = log->find_max_timestamp(Offset(bound));
            ASSERT_TRUE(max.ok()) << max.error().message;
            ASSERT_EQ(max->has_value(), largest.has_value());
            if (largest) {
                ASSERT_EQ((*max)->timestamp.milliseconds, largest->timestamp);
                ASSERT_EQ((*max)->offset.value(), largest->offset);
            }
        }
    }
}

TEST(TimestampSearchTest, AnEmptyLogHasNone) {
    MemoryDisk disk;
    auto log = open_log(disk);
    EXPECT_FALSE(log->find_timestamp(WallTime{0}, Offset(0))->has_value());
    EXPECT_FALSE(log->find_max_timestamp(Offset(0))->has_value());
}

}  // namespace
}  // namespace pabal::log
