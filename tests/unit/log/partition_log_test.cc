#include "log/partition_log.h"

#include <gtest/gtest.h>

#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

const std::string first_segment = directory + "/00000000000000000000.log";

TEST(PartitionLogTest, APartitionNeverWrittenIsItsDirectory) {
    MemoryDisk disk;
    auto log = open_log(disk);
    EXPECT_TRUE(disk.directories.contains(directory));
    EXPECT_TRUE(disk.files.empty());
    EXPECT_EQ(log->log_start_offset(), Offset(0));
    EXPECT_EQ(log->log_end_offset(), Offset(0));
    EXPECT_EQ(read_spans(*log, 0), std::vector<Span>{});
    EXPECT_FALSE(log->read(Offset(1), Offset(1), 100, true).ok());
    ASSERT_TRUE(log->close(noon).ok());
    EXPECT_TRUE(disk.files.empty());
}

TEST(PartitionLogTest, AppendsAssignOffsetsAndEpochAndReadsGiveTheBytesBack) {
    MemoryDisk disk;
    auto log = open_log(disk);
    EXPECT_EQ(must_append(*log, {.records = 3}, LeaderEpoch(4)), Offset(0));
    EXPECT_EQ(must_append(*log, {.records = 2}, LeaderEpoch(5)), Offset(3));
    EXPECT_EQ(log->log_end_offset(), Offset(5));
    EXPECT_EQ(read_spans(*log, 0), (std::vector<Span>{{0, 2}, {3, 4}}));
    EXPECT_EQ(read_spans(*log, 1), (std::vector<Span>{{0, 2}, {3, 4}})) << "whole batches";
    EXPECT_EQ(read_spans(*log, 3), (std::vector<Span>{{3, 4}}));
    EXPECT_EQ(read_spans(*log, 0, 3), (std::vector<Span>{{0, 2}})) << "not beyond the bound";
    EXPECT_EQ(read_spans(*log, 5), std::vector<Span>{});
    EXPECT_EQ(read_spans(*log, 4, 3), std::vector<Span>{});
    EXPECT_EQ(log->read(Offset(6), Offset(6), 100, true).error().code,
              ErrorCode::offset_out_of_range);

    const auto records = log->read(Offset(0), Offset(5), INT32_MAX, true)->records.flatten();
    const Bytes sent = batch_bytes({.records = 3});
    EXPECT_EQ(Bytes(*records).slice(16, sent.size() - 16), sent.slice(16));
    const auto view = record::RecordBatchView::parse(*records);
    EXPECT_EQ(view->leader_epoch(), LeaderEpoch(4));
    EXPECT_EQ(log->latest_epoch(), LeaderEpoch(5));
    EXPECT_EQ(log->end_of_epoch(LeaderEpoch(4)),
              (PartitionLog::EpochEnd{LeaderEpoch(4), Offset(3)}));
    EXPECT_EQ(log->size_bytes(), static_cast<std::int64_t>(disk.bytes(first_segment).size()));
}

TEST(PartitionLogTest, ReadsStopAtTheLimitButForTheFirstBatch) {
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 4; ++i) must_append(*log, {.value_bytes = 100});
    const auto size = static_cast<std::int32_t>(batch_bytes({.value_bytes = 100}).size());
    EXPECT_EQ(read_spans(*log, 0, 4, 2 * size), (std::vector<Span>{{0, 0}, {1, 1}}));
    EXPECT_EQ(read_spans(*log, 1, 4, 3 * size - 1), (std::vector<Span>{{1, 1}, {2, 2}}));
    EXPECT_EQ(read_spans(*log, 2, 4, size - 1, false), std::vector<Span>{});
    EXPECT_EQ(read_spans(*log, 2, 4, 0, true), (std::vector<Span>{{2, 2}}));
    auto first = log->read(Offset(2), Offset(4), size - 1, true);
    EXPECT_TRUE(first->first_batch_larger_than_limit);
    EXPECT_FALSE(log->read(Offset(2), Offset(4), size, true)->first_batch_larger_than_limit);
}

TEST(PartitionLogTest, AConsumerAtTheEndReadsNothingFromTheDiskToFindItsPlace) {
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 500; ++i) must_append(*log, {.value_bytes = 3000});
    disk.reads = 0;
    for (int i = 500; i < 600; ++i) {
        must_append(*log, {.value_bytes = 3000});
        auto read = log->read(Offset(i), Offset(i + 1), INT32_MAX, true);
        ASSERT_TRUE(read.ok());
        ASSERT_FALSE(read->records.empty());
    }
    EXPECT_EQ(disk.reads, 0u);
    // And one far behind does so with a few.
    ASSERT_TRUE(log->read(Offset(123), Offset(600), 30000, true).ok());
    EXPECT_LE(disk.reads, 20u);
}

TEST(PartitionLogTest, RollsBySizeAndWritesIndexesOfClosedSegments) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_bytes = 20000;
    auto log = open_log(disk, config);
    bool told = false;
    for (int i = 0; i < 30; ++i) {
        auto appended = log->append(batch({.value_bytes = 2000}), LeaderEpoch(0), noon);
        ASSERT_TRUE(appended.ok());
        told = told || appended->flush_is_due;
    }
    EXPECT_TRUE(told);
    EXPECT_EQ(log->segment_count(), 4u);
    EXPECT_TRUE(disk.has(directory + "/00000000000000000009.log"));
    EXPECT_TRUE(disk.has(directory + "/00000000000000000009.index"));
    EXPECT_TRUE(disk.has(directory + "/00000000000000000000.timeindex"));
    EXPECT_FALSE(disk.has(directory + "/00000000000000000027.index")) << "not before its entries";
    for (const auto& [path, content] : disk.files) {
        if (path.ends_with(".log")) {
            EXPECT_LE(content->bytes.size(), 20000u);
        }
    }
    std::vector<Span> all;
    for (std::int64_t next = 0; next < 30;) {
        const auto read = read_spans(*log, next);
        ASSERT_FALSE(read.empty());
        EXPECT_EQ(read.front().base, next);
        next = read.back().last + 1;
    }
}

TEST(PartitionLogTest, RollsByTheTimeInTheBatches) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_age = Duration::milliseconds(1000);
    auto log = open_log(disk, config);
    must_append(*log, {.timestamp = 5000});
    must_append(*log, {.timestamp = 6000});
    EXPECT_EQ(log->segment_count(), 1u);
    must_append(*log, {.timestamp = 6001});
    EXPECT_EQ(log->segment_count(), 2u);
    // Also after a restart, which has to look at the first batch for it.
    log = open_log(disk, config);
    must_append(*log, {.timestamp = 7001});
    EXPECT_EQ(log->segment_count(), 2u);
    must_append(*log, {.timestamp = 7002});
    EXPECT_EQ(log->segment_count(), 3u);
}

TEST(PartitionLogTest, RollsWhenAnIndexIsFull) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_index_bytes = 120;
    config.index_interval_bytes = 0;
    auto log = open_log(disk, config);
    for (int i = 0; i < 40; ++i) must_append(*log, {.timestamp = noon.milliseconds + i});
    EXPECT_GE(log->segment_count(), 4u);
    for (const auto& [path, content] : disk.files) {
        if (path.ends_with("index")) {
            EXPECT_LE(content->bytes.size(), 120u) << path;
        }
    }
}

TEST(PartitionLogTest, AFullDiskLeavesNothingAndLetsTheNextAppendTryAgain) {
    MemoryDisk disk;
    auto log = open_log(disk);
    must_append(*log, {.value_bytes = 100});
    const auto size = disk.bytes(first_segment).size();
    for (const std::int64_t space : {0, 1, 16, 60, 100}) {
        disk.free_space = space;
        auto refused = log->append(batch({.value_bytes = 100}), LeaderEpoch(0), noon);
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.error().code, ErrorCode::kafka_storage_error);
        EXPECT_EQ(disk.bytes(first_segment).size(), size) << "no byte beyond the end";
        EXPECT_EQ(log->log_end_offset(), Offset(1));
        EXPECT_TRUE(log->usable());
        auto follower =
            log->append_as_follower(batch_bytes({.value_bytes = 100, .base = Offset(1)}), noon);
        EXPECT_FALSE(follower.ok());
        EXPECT_EQ(disk.bytes(first_segment).size(), size);
    }
    disk.free_space = INT64_MAX;
    EXPECT_EQ(must_append(*log), Offset(1));
    EXPECT_EQ(read_spans(*log, 0), (std::vector<Span>{{0, 0}, {1, 1}}));
}

TEST(PartitionLogTest, GoesOfflineWhenWhatStandsCannotBeTakenBack) {
    MemoryDisk disk;
    auto log = open_log(disk);
    must_append(*log);
    disk.free_space = 10;
    disk.truncate_fails = true;
    EXPECT_FALSE(log->append(batch(), LeaderEpoch(0), noon).ok());
    EXPECT_FALSE(log->usable());
    disk.free_space = INT64_MAX;
    disk.truncate_fails = false;
    EXPECT_EQ(log->append(batch(), LeaderEpoch(0), noon).error().code,
              ErrorCode::kafka_storage_error);
    // Opened again it is whole.
    log = open_log(disk);
    EXPECT_EQ(log->log_end_offset(), Offset(1));
    EXPECT_EQ(must_append(*log), Offset(1));
}

TEST(PartitionLogTest, AnswersDuplicatesWithWhereTheyStand) {
    MemoryDisk disk;
    auto log = open_log(disk);
    const BatchSpec first{
        .records = 3, .producer = ProducerId(1), .epoch = ProducerEpoch(0), .sequence = 0};
    must_append(*log);
    must_append(*log, first);
    auto again = log->append(batch(first), LeaderEpoch(0), noon);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(again->duplicate);
    EXPECT_EQ(again->base_offset, Offset(1));
    EXPECT_EQ(again->last_offset, Offset(3));
    EXPECT_EQ(log->log_end_offset(), Offset(4));
    BatchSpec gap = first;
    gap.sequence = 4;
    EXPECT_EQ(log->append(batch(gap), LeaderEpoch(0), noon).error().code,
              ErrorCode::out_of_order_sequence_number);
    // A refused append by a full disk takes no sequence number.
    BatchSpec next = first;
    next.sequence = 3;
    disk.free_space = 5;
    EXPECT_FALSE(log->append(batch(next), LeaderEpoch(0), noon).ok());
    disk.free_space = INT64_MAX;
    auto retried = log->append(batch(next), LeaderEpoch(0), noon);
    ASSERT_TRUE(retried.ok());
    EXPECT_FALSE(retried->duplicate);
}

TEST(PartitionLogTest, FollowersTakeWholeBatchesAsTheyCome) {
    MemoryDisk disk;
    auto log = open_log(disk);
    std::vector<std::uint8_t> bytes;
    const auto add = [&](const BatchSpec& spec) {
        const Bytes one = batch_bytes(spec);
        bytes.insert(bytes.end(), one.begin(), one.end());
    };
    add({.records = 2, .base = Offset(0), .leader_epoch = LeaderEpoch(1)});
    add({.records = 3, .base = Offset(2), .leader_epoch = LeaderEpoch(2)});
    bytes.resize(bytes.size() + 30, 0xff);  // Of a third one only the beginning came.
    bytes[bytes.size() - 30 + 8] = 0;
    bytes[bytes.size() - 30 + 16] = 2;
    const Bytes cut = Bytes::copy_of(ByteView(bytes).first(bytes.size() - 30));
    auto end = log->append_as_follower(cut, noon);
    ASSERT_TRUE(end.ok()) << end.error().message;
    EXPECT_EQ(*end, Offset(5));
    EXPECT_EQ(read_spans(*log, 0), (std::vector<Span>{{0, 1}, {2, 4}}));
    EXPECT_EQ(log->end_of_epoch(LeaderEpoch(1))->end_offset, Offset(2));

    EXPECT_EQ(log->append_as_follower(cut, noon).error().code, ErrorCode::offset_out_of_range);
    auto damaged = std::vector<std::uint8_t>(cut.begin(), cut.end());
    damaged[70] ^= 1;
    EXPECT_EQ(log->append_as_follower(Bytes::copy_of(ByteView(damaged)), noon).error().code,
              ErrorCode::corrupt_message);
    EXPECT_EQ(log->log_end_offset(), Offset(5));
}

TEST(PartitionLogTest, OneWriteOfAFollowerMayFillSeveralSegments) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_bytes = 1000;
    auto log = open_log(disk, config);
    std::vector<std::uint8_t> bytes;
    for (int i = 0; i < 50; ++i) {
        const Bytes one = batch_bytes({.value_bytes = 100, .base = Offset(i)});
        bytes.insert(bytes.end(), one.begin(), one.end());
    }
    ASSERT_TRUE(log->append_as_follower(Bytes::copy_of(ByteView(bytes)), noon).ok());
    EXPECT_GE(log->segment_count(), 8u);
    EXPECT_EQ(log->log_end_offset(), Offset(50));
    EXPECT_EQ(log->size_bytes(), static_cast<std::int64_t>(bytes.size()));
}

TEST(PartitionLogTest, OffsetsBeyondAnIndexsReachBeginASegment) {
    MemoryDisk disk;
    LogConfig config;
    config.compacted = true;
    auto log = open_log(disk, config);
    must_append(*log);
    const Offset far(std::int64_t{INT32_MAX} + 10);
    ASSERT_TRUE(log->append_as_follower(batch_bytes({.base = far}), noon).ok());
    EXPECT_EQ(log->segment_count(), 2u);
    EXPECT_TRUE(disk.has(directory + "/00000000002147483657.log"));
    EXPECT_EQ(read_spans(*log, 5), (std::vector<Span>{{far.value(), far.value()}}))
        << "the gap is skipped";
}

TEST(PartitionLogTest, TruncationTakesEverythingBackTogether) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_bytes = 600;
    config.index_interval_bytes = 100;
    auto log = open_log(disk, config);
    for (int i = 0; i < 20; ++i) {
        must_append(
            *log,
            {.records = 2, .producer = ProducerId(1), .epoch = ProducerEpoch(0), .sequence = 2 * i},
            LeaderEpoch(i / 5));
    }
    ASSERT_TRUE(log->flush().ok());
    EXPECT_EQ(log->recovery_point(), Offset(40));
    ASSERT_TRUE(log->truncate_to(Offset(100)).ok());
    EXPECT_EQ(log->log_end_offset(), Offset(40));
    ASSERT_TRUE(log->truncate_to(Offset(23)).ok());
    EXPECT_EQ(log->log_end_offset(), Offset(22)) << "a batch goes as a whole";
    // That the segment is shorter is not on disk yet.
    EXPECT_EQ(log->recovery_point(), Offset(20));
    EXPECT_FALSE(log->checkpoint().standing.has_value());
    EXPECT_EQ(log->latest_epoch(), LeaderEpoch(2));
    const auto producers = log->active_producers();
    ASSERT_EQ(producers.size(), 1u);
    EXPECT_EQ(producers[0].last_sequence, 21);
    auto next = log->append(
        batch({.records = 2, .producer = ProducerId(1), .epoch = ProducerEpoch(0), .sequence = 22}),
        LeaderEpoch(9), noon);
    ASSERT_TRUE(next.ok()) << next.error().message;
    EXPECT_EQ(next->base_offset, Offset(22));

    ASSERT_TRUE(log->truncate_fully_and_start_at(Offset(1000)).ok());
    EXPECT_EQ(log->log_start_offset(), Offset(1000));
    EXPECT_EQ(log->log_end_offset(), Offset(1000));
    EXPECT_EQ(log->latest_epoch(), std::nullopt);
    EXPECT_TRUE(log->active_producers().empty());
    log = open_log(disk, config);
    EXPECT_EQ(log->log_end_offset(), Offset(1000)) << "the name of the empty file says so";
}

TEST(PartitionLogTest, NothingBelowTheLogStartIsReadable) {
    MemoryDisk disk;
    auto log = open_log(disk);
    must_append(*log, {.records = 10});
    must_append(*log, {.records = 10}, LeaderEpoch(3));
    ASSERT_TRUE(log->raise_log_start_offset(Offset(12)).ok());
    ASSERT_TRUE(log->raise_log_start_offset(Offset(5)).ok());
    EXPECT_EQ(log->log_start_offset(), Offset(12));
    EXPECT_EQ(log->read(Offset(11), Offset(20), 100, true).error().code,
              ErrorCode::offset_out_of_range);
    EXPECT_EQ(read_spans(*log, 12), (std::vector<Span>{{10, 19}}));
    const auto checkpoint = log->checkpoint();
    log = open_log(disk, {}, checkpoint);
    EXPECT_EQ(log->log_start_offset(), Offset(12));
    EXPECT_EQ(log->log_end_offset(), Offset(20));
}

TEST(PartitionLogTest, CommittedReadersSeeWhereTransactionsStand) {
    MemoryDisk disk;
    auto log = open_log(disk);
    const auto in_transaction = [](std::int64_t producer, int sequence) {
        return BatchSpec{.producer = ProducerId(producer),
                         .epoch = ProducerEpoch(0),
                         .sequence = sequence,
                         .transactional = true};
    };
    const auto end = [&](std::int64_t producer, record::ControlRecordType type) {
        auto appended = log->append(marker(type, ProducerId(producer), ProducerEpoch(0)),
                                    LeaderEpoch(0), noon, AppendOrigin::coordinator);
        EXPECT_TRUE(appended.ok()) << appended.error().message;
    };
    must_append(*log);                        // 0
    must_append(*log, in_transaction(1, 0));  // 1
    must_append(*log, in_transaction(2, 0));  // 2
    must_append(*log, in_transaction(1, 1));  // 3
    EXPECT_EQ(log->last_stable_offset(Offset(4)), Offset(1));
    end(1, record::ControlRecordType::abort);  // 4
    EXPECT_EQ(log->last_stable_offset(Offset(4)), Offset(1));
    EXPECT_EQ(log->last_stable_offset(Offset(5)), Offset(2));
    end(2, record::ControlRecordType::commit);  // 5
    EXPECT_EQ(log->last_stable_offset(Offset(6)), Offset(6));
    must_append(*log, in_transaction(2, 1));   // 6
    end(2, record::ControlRecordType::abort);  // 7

    const auto check = [&] {
        const AbortedTransaction one{ProducerId(1), Offset(1)};
        const AbortedTransaction two{ProducerId(2), Offset(6)};
        EXPECT_EQ(*log->aborted_transactions(Offset(0), Offset(8)), (std::vector{one, two}));
        EXPECT_EQ(*log->aborted_transactions(Offset(0), Offset(6)), (std::vector{one}));
        EXPECT_EQ(*log->aborted_transactions(Offset(5), Offset(8)), (std::vector{two}));
        EXPECT_TRUE(log->aborted_transactions(Offset(0), Offset(1))->empty());
    };
    check();
    // Found again after a kill, and once more from a flush.
    log = open_log(disk);
    check();
    ASSERT_TRUE(log->flush().ok());
    log = open_log(disk, {}, log->checkpoint());
    check();
    EXPECT_EQ(log->last_stable_offset(Offset(8)), Offset(8));
    ASSERT_TRUE(log->truncate_to(Offset(7)).ok());
    EXPECT_EQ(log->last_stable_offset(Offset(7)), Offset(6)) << "open again";
    EXPECT_EQ(log->aborted_transactions(Offset(0), Offset(8))->size(), 1u);
}

}  // namespace
}  // namespace pabal::log
