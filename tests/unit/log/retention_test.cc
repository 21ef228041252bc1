#include <gtest/gtest.h>

#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

constexpr std::int64_t hour = 3'600'000;

// Four closed segments of two batches and an active one of one; the segments are an hour apart.
std::unique_ptr<PartitionLog> five_segments(MemoryDisk& disk, LogConfig config) {
    const auto size = static_cast<std::int32_t>(batch_bytes({.value_bytes = 400}).size());
    config.segment_bytes = 2 * size;
    auto log = open_log(disk, config);
    for (int i = 0; i < 9; ++i) {
        must_append(*log, {.timestamp = noon.milliseconds + i / 2 * hour, .value_bytes = 400});
    }
    EXPECT_EQ(log->segment_count(), 5u);
    return log;
}

WallTime after_hours(std::int64_t hours, std::int64_t milliseconds = 0) {
    return WallTime{noon.milliseconds + hours * hour + milliseconds};
}

TEST(RetentionTest, ByTimeTakesSegmentsWhoseNewestRecordIsTooOld) {
    MemoryDisk disk;
    LogConfig config;
    config.retention_milliseconds = 2 * hour;
    auto log = five_segments(disk, config);
    EXPECT_FALSE(*log->apply_retention(Offset(9), after_hours(2)));
    EXPECT_TRUE(*log->apply_retention(Offset(9), after_hours(3, 1)));
    EXPECT_EQ(log->log_start_offset(), Offset(4));
    EXPECT_EQ(log->segment_count(), 3u);
    EXPECT_EQ(read_spans(*log, 4).front(), (Span{4, 4}));
    // The last one too, by rolling it.
    EXPECT_TRUE(*log->apply_retention(Offset(9), after_hours(7)));
    EXPECT_EQ(log->log_start_offset(), Offset(9));
    EXPECT_EQ(log->log_end_offset(), Offset(9));
    EXPECT_EQ(log->segment_count(), 1u);
    EXPECT_EQ(must_append(*log), Offset(9));
    EXPECT_FALSE(*log->apply_retention(Offset(9), after_hours(0)));
}

TEST(RetentionTest, NeverAboveTheHighWatermark) {
    MemoryDisk disk;
    LogConfig config;
    config.retention_milliseconds = 0;
    auto log = five_segments(disk, config);
    EXPECT_TRUE(*log->apply_retention(Offset(5), after_hours(100)));
    EXPECT_EQ(log->log_start_offset(), Offset(4));
}

TEST(RetentionTest, BySizeKeepsAtLeastThatMuch) {
    MemoryDisk disk;
    LogConfig config;
    config.retention_milliseconds = -1;
    auto log = five_segments(disk, config);
    const std::int64_t batch_size = log->size_bytes() / 9;
    config = log->config();
    config.retention_bytes = 5 * batch_size;
    log->set_config(config);
    EXPECT_TRUE(*log->apply_retention(Offset(9), noon));
    EXPECT_EQ(log->size_bytes(), 5 * batch_size);
    EXPECT_EQ(log->log_start_offset(), Offset(4));
    EXPECT_FALSE(*log->apply_retention(Offset(9), noon));
    config.retention_bytes = -1;
    log->set_config(config);
    EXPECT_FALSE(*log->apply_retention(Offset(9), after_hours(1000)));
}

TEST(RetentionTest, CompactedTopicsLoseOnlyWhatLiesBelowTheirStart) {
    MemoryDisk disk;
    LogConfig config;
    config.retention_deletes = false;
    config.retention_milliseconds = 0;
    config.retention_bytes = 0;
    auto log = five_segments(disk, config);
    EXPECT_FALSE(*log->apply_retention(Offset(9), after_hours(1000)));
    ASSERT_TRUE(log->raise_log_start_offset(Offset(5)).ok());
    EXPECT_FALSE(*log->apply_retention(Offset(9), noon)) << "the start did not move";
    EXPECT_EQ(log->segment_count(), 3u);
    EXPECT_EQ(log->log_start_offset(), Offset(5));
}

TEST(RetentionTest, DeletedFilesStayForAWhile) {
    MemoryDisk disk;
    LogConfig config;
    config.retention_milliseconds = hour;
    config.file_delete_delay = Duration::seconds(60);
    auto log = five_segments(disk, config);
    const auto before = log->read(Offset(0), Offset(2), INT32_MAX, true);
    const WallTime now = after_hours(1, 1);
    ASSERT_TRUE(*log->apply_retention(Offset(9), now));
    const std::string deleted = directory + "/00000000000000000000.log.deleted";
    EXPECT_TRUE(disk.has(deleted));
    EXPECT_FALSE(disk.has(directory + "/00000000000000000000.log"));
    EXPECT_EQ(spans(before->records).size(), 2u) << "a read in flight ends well";
    EXPECT_TRUE(log->take_deleted_files(WallTime{now.milliseconds + 59'999}).empty());
    const auto due = log->take_deleted_files(WallTime{now.milliseconds + 60'000});
    EXPECT_TRUE(std::find(due.begin(), due.end(), deleted) != due.end());
    EXPECT_TRUE(log->take_deleted_files(after_hours(1000)).empty());
}

TEST(RetentionTest, IdleProducersAreForgottenAndStayForgotten) {
    MemoryDisk disk;
    LogConfig config;
    config.producer_id_expiration = Duration::seconds(10);
    auto log = open_log(disk, config);
    must_append(*log, {.producer = ProducerId(1), .epoch = ProducerEpoch(0), .sequence = 0});
    ASSERT_TRUE(log->flush().ok());
    EXPECT_EQ(log->active_producers().size(), 1u);
    ASSERT_TRUE(log->apply_retention(Offset(1), WallTime{noon.milliseconds + 10'000}).ok());
    EXPECT_TRUE(log->active_producers().empty());
    // Its numbers begin anew.
    must_append(*log, {.producer = ProducerId(1), .epoch = ProducerEpoch(0), .sequence = 40});
}

}  // namespace
}  // namespace pabal::log
