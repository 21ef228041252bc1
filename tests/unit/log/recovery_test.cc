#include "log/recovery.h"

#include <gtest/gtest.h>

#include "log/file_name.h"
#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

const std::string first_segment = directory + "/00000000000000000000.log";

std::vector<Span> everything(const PartitionLog& log) {
    std::vector<Span> all;
    for (std::int64_t next = log.log_start_offset().value(); next < log.log_end_offset().value();) {
        const auto read = read_spans(log, next);
        if (read.empty()) break;
        all.insert(all.end(), read.begin(), read.end());
        next = all.back().last + 1;
    }
    return all;
}

// A log of several segments with producers, epochs and indexes.
LogConfig small_segments() {
    LogConfig config;
    config.segment_bytes = 1200;
    config.index_interval_bytes = 150;
    return config;
}
std::unique_ptr<PartitionLog> written(MemoryDisk& disk, int batches) {
    auto log = open_log(disk, small_segments());
    std::int32_t sequences[3] = {0, 0, 0};
    for (int i = 0; i < batches; ++i) {
        BatchSpec spec{.records = 1 + i % 3,
                       .timestamp = noon.milliseconds + i * 10,
                       .value_bytes = static_cast<std::size_t>(20 + i * 7 % 90)};
        if (const int producer = i % 4; producer < 3) {
            spec.producer = ProducerId(5 + producer);
            spec.epoch = ProducerEpoch(0);
            spec.sequence = sequences[producer];
            sequences[producer] += spec.records;
        }
        must_append(*log, spec, LeaderEpoch(i / 6));
    }
    return log;
}

TEST(RecoveryTest, ACleanStartReadsNoLog) {
    MemoryDisk disk;
    auto log = open_log(disk, small_segments());
    for (int i = 0; i < 30; ++i) must_append(*log, {.value_bytes = 50});
    ASSERT_TRUE(log->close(noon).ok());
    auto checkpoint = log->checkpoint();
    checkpoint.clean_shutdown = true;
    disk.reads = disk.log_reads = 0;
    log = open_log(disk, small_segments(), checkpoint);
    EXPECT_EQ(log->log_end_offset(), Offset(30));
    EXPECT_EQ(disk.log_reads, 0u);
    EXPECT_LE(disk.reads, 1u) << "the epochs";
    EXPECT_EQ(everything(*log).size(), 30u);
    EXPECT_EQ(must_append(*log), Offset(30));
}

TEST(RecoveryTest, AfterAFlushOnlyWhatCameLaterIsRead) {
    MemoryDisk disk;
    LogConfig config;
    auto log = open_log(disk, config);
    for (int i = 0; i < 100; ++i) must_append(*log, {.value_bytes = 5000});
    ASSERT_TRUE(log->flush().ok());
    const auto checkpoint = log->checkpoint();
    MemoryDisk killed = disk;
    killed.log_reads = 0;
    auto again = open_log(killed, config, checkpoint);
    EXPECT_EQ(again->log_end_offset(), Offset(100));
    EXPECT_EQ(killed.log_reads, 0u);

    must_append(*log, {.value_bytes = 5000});
    killed = MemoryDisk(disk);
    again = open_log(killed, config, checkpoint);
    EXPECT_EQ(again->log_end_offset(), Offset(101));
    EXPECT_LE(killed.log_reads, 2u);
    EXPECT_EQ(again->recovery_point(), Offset(100));
    EXPECT_GT(again->unflushed_bytes(), 5000);
    // The index goes on where the flush left it.
    killed.reads = 0;
    EXPECT_EQ(read_spans(*again, 50).front(), (Span{50, 50}));
    EXPECT_LE(killed.reads, 10u);
}

// A crash at any byte: whatever prefix of the last writes stands, recovery finds the whole batches
// of it, and finds the same when it is asked again.
TEST(RecoveryTest, ACutAtAnyByteLeavesAPrefix) {
    MemoryDisk disk;
    std::vector<Span> all;
    {
        auto log = written(disk, 16);
        all = everything(*log);
    }
    std::vector<std::string> segments;
    for (const auto& [path, content] : disk.files) {
        if (path.ends_with(".log")) segments.push_back(path);
    }
    ASSERT_GE(segments.size(), 2u);
    const std::string last = segments.back();
    const std::size_t full = disk.bytes(last).size();
    for (std::size_t size = 0; size <= full; ++size) {
        SCOPED_TRACE(size);
        MemoryDisk crashed = disk;
        crashed.bytes(last).resize(size);
        auto log = open_log(crashed, small_segments());
        ASSERT_TRUE(log);
        const auto found = everything(*log);
        ASSERT_LE(found.size(), all.size());
        ASSERT_TRUE(std::equal(found.begin(), found.end(), all.begin()));
        ASSERT_EQ(log->log_end_offset().value(), found.back().last + 1);
        ASSERT_TRUE(size < full || found.size() == all.size());
        const auto producers = log->active_producers();
        const auto latest = log->latest_epoch();

        MemoryDisk killed_again = crashed;
        auto again = open_log(killed_again, small_segments());
        ASSERT_EQ(everything(*again), found);
        ASSERT_EQ(again->latest_epoch(), latest);
        ASSERT_EQ(again->active_producers().size(), producers.size());
        for (std::size_t i = 0; i < producers.size(); ++i) {
            ASSERT_EQ(again->active_producers()[i].last_sequence, producers[i].last_sequence);
        }
        ASSERT_FALSE(again->repair().has_value());
        must_append(*again);
    }
}

TEST(RecoveryTest, ProducersAreFoundAgainWithoutTheirSnapshot) {
    MemoryDisk disk;
    auto log = written(disk, 24);
    ASSERT_TRUE(log->flush().ok());
    const auto checkpoint = log->checkpoint();
    ASSERT_TRUE(checkpoint.standing && checkpoint.standing->has_producers);
    std::erase_if(disk.files, [](const auto& file) { return file.first.ends_with(".snapshot"); });
    auto again = open_log(disk, small_segments(), checkpoint);
    ASSERT_TRUE(again);
    ASSERT_EQ(again->active_producers().size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(again->active_producers()[i].last_sequence,
                  log->active_producers()[i].last_sequence);
    }
}

TEST(RecoveryTest, ATornEndOfZerosIsCut) {
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 10; ++i) must_append(*log, {.value_bytes = 3000});
    const auto size = disk.bytes(first_segment).size();
    // The machine lost power: the file has its length, but sectors of it were never written, even
    // ones in the middle.
    for (const std::size_t sector : {size / 512, size / 512 - 1, std::size_t{20}, std::size_t{8}}) {
        MemoryDisk crashed = disk;
        auto& bytes = crashed.bytes(first_segment);
        std::fill(bytes.begin() + static_cast<long>(sector * 512),
                  bytes.begin() + static_cast<long>(std::min(size, sector * 512 + 512)), 0);
        auto again = open_log(crashed);
        ASSERT_TRUE(again);
        const std::size_t lost_batch = sector * 512 / (size / 10);
        EXPECT_EQ(again->log_end_offset(), Offset(static_cast<std::int64_t>(lost_batch)));
        ASSERT_TRUE(again->repair().has_value());
        EXPECT_EQ(again->repair()->path, first_segment);
        EXPECT_EQ(again->repair()->position, static_cast<std::int64_t>(lost_batch * (size / 10)));
    }
}

// After a loss of power any write since the last sync may be missing, whatever came after it.
TEST(RecoveryTest, TheLogIsCutAtTheFirstDamagedBatch) {
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 10; ++i) must_append(*log, {.value_bytes = 300});
    const auto size = disk.bytes(first_segment).size() / 10;
    for (const std::size_t at : {std::size_t{200}, std::size_t{11}, std::size_t{8}, std::size_t{16},
                                 std::size_t{18}, std::size_t{7}}) {
        MemoryDisk torn = disk;
        torn.bytes(first_segment)[4 * size + at] ^= 0x10;
        const auto syncs = torn.syncs;
        auto again = open_log(torn);
        ASSERT_TRUE(again);
        EXPECT_EQ(again->log_end_offset(), Offset(4));
        EXPECT_GT(torn.syncs, syncs) << "what was cut could come back behind what is appended now";
        ASSERT_TRUE(again->repair().has_value());
        EXPECT_EQ(again->repair()->path, first_segment);
        EXPECT_EQ(again->repair()->position, static_cast<std::int64_t>(4 * size));
        EXPECT_EQ(again->repair()->offset, Offset(4));
        EXPECT_EQ(again->repair()->dropped_bytes, static_cast<std::int64_t>(6 * size));
        EXPECT_EQ(torn.bytes(first_segment).size(), 4 * size);
        EXPECT_EQ(must_append(*again), Offset(4));
    }
}

// The kernel keeps what a killed process wrote: what is damaged before whole batches rotted.
TEST(RecoveryTest, DamageWhileTheMachineStayedUpIsAnErrorThatNamesThePlace) {
    LogCheckpoint checkpoint;
    checkpoint.writes_survived = true;
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 10; ++i) must_append(*log, {.value_bytes = 300});
    const auto size = disk.bytes(first_segment).size() / 10;
    // In the records, the length, the magic, the checksum, and the base offset of batch 4.
    for (const std::size_t at : {std::size_t{200}, std::size_t{11}, std::size_t{8}, std::size_t{16},
                                 std::size_t{18}, std::size_t{7}}) {
        MemoryDisk rotten = disk;
        rotten.bytes(first_segment)[4 * size + at] ^= 0x10;
        const auto before = rotten.bytes(first_segment);
        auto opened = PartitionLog::open(rotten, directory, {}, checkpoint, noon);
        ASSERT_FALSE(opened.ok()) << at;
        EXPECT_NE(opened.error().message.find(first_segment), std::string::npos);
        EXPECT_NE(opened.error().message.find("position " + std::to_string(4 * size)),
                  std::string::npos)
            << opened.error().message;
        EXPECT_NE(opened.error().message.find("offset 4"), std::string::npos);
        EXPECT_EQ(rotten.bytes(first_segment), before) << "nothing is changed";
    }
    // The last batch cannot be told from a torn write.
    MemoryDisk rotten = disk;
    rotten.bytes(first_segment)[9 * size + 200] ^= 0x10;
    auto opened = open_log(rotten, {}, checkpoint);
    EXPECT_EQ(opened->log_end_offset(), Offset(9));
    // Nor a segment that lost its end from one that was never written to it, but that others
    // follow.
    MemoryDisk holed;
    written(holed, 24).reset();
    const std::size_t whole = holed.bytes(first_segment).size();
    for (const std::size_t left : {whole - 5, whole / 2, std::size_t{0}}) {
        holed.bytes(first_segment).resize(left);
        auto refused = PartitionLog::open(holed, directory, small_segments(), checkpoint, noon);
        ASSERT_FALSE(refused.ok()) << left;
        EXPECT_NE(refused.error().message.find(first_segment), std::string::npos);
    }
}

TEST(RecoveryTest, BelowTheRecoveryPointNothingMayBeMissing) {
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 10; ++i) must_append(*log, {.value_bytes = 300});
    ASSERT_TRUE(log->flush().ok());
    LogCheckpoint checkpoint = log->checkpoint();
    checkpoint.standing.reset();  // As from Kafka's files.
    const auto size = disk.bytes(first_segment).size() / 10;
    disk.bytes(first_segment)[9 * size + 200] ^= 0x10;
    auto opened = PartitionLog::open(disk, directory, {}, checkpoint, noon);
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find("recovery point 10"), std::string::npos);
}

TEST(RecoveryTest, ALostEndOfAnEarlierSegmentTakesTheLaterOnes) {
    MemoryDisk disk;
    std::vector<Span> all;
    {
        auto log = written(disk, 24);
        all = everything(*log);
    }
    std::string second;
    for (const auto& [path, content] : disk.files) {
        if (path.ends_with(".log") && path != first_segment) {
            second = path;
            break;
        }
    }
    disk.bytes(second).resize(disk.bytes(second).size() - 5);
    auto log = open_log(disk, small_segments());
    const auto found = everything(*log);
    EXPECT_LT(found.size(), all.size());
    EXPECT_TRUE(std::equal(found.begin(), found.end(), all.begin()));
    EXPECT_EQ(log->segment_count(), 2u);
    ASSERT_TRUE(log->repair().has_value());
    EXPECT_EQ(log->repair()->path, second);
    EXPECT_EQ(must_append(*log), Offset(found.back().last + 1));
}

// A loss of power may take the file that is replaced just then; without epochs a replica would not
// know where its log parts from its leader's.
TEST(RecoveryTest, LostEpochsAreLearntFromAllBatches) {
    MemoryDisk disk;
    auto log = written(disk, 30);
    ASSERT_TRUE(log->flush().ok());
    ASSERT_GE(log->segment_count(), 2u);
    const auto checkpoint = log->checkpoint();
    const std::string epochs = directory + "/leader-epoch-checkpoint";
    ASSERT_TRUE(disk.files.count(epochs));
    for (const bool there : {true, false}) {
        MemoryDisk crashed = disk;
        if (there) {
            crashed.bytes(epochs).assign(10, 0);
        } else {
            crashed.files.erase(epochs);
        }
        const auto again = open_log(crashed, small_segments(), checkpoint);
        ASSERT_EQ(again->log_end_offset(), log->log_end_offset());
        EXPECT_EQ(again->latest_epoch(), LeaderEpoch(4));
        for (int epoch = 0; epoch < 5; ++epoch)
            EXPECT_EQ(again->end_of_epoch(LeaderEpoch(epoch)),
                      log->end_of_epoch(LeaderEpoch(epoch)))
                << epoch;
    }
}

TEST(RecoveryTest, LostOrWrongIndexesAreMadeAgain) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_bytes = 200'000;
    auto log = open_log(disk, config);
    for (int i = 0; i < 100; ++i) {
        must_append(*log, {.timestamp = noon.milliseconds + i, .value_bytes = 5000});
    }
    ASSERT_TRUE(log->close(noon).ok());
    auto checkpoint = log->checkpoint();
    checkpoint.clean_shutdown = true;
    std::map<std::string, std::vector<std::uint8_t>> indexes;
    for (const auto& [path, content] : disk.files) {
        if (path.ends_with("index")) indexes[path] = content->bytes;
    }
    ASSERT_GE(indexes.size(), 4u);

    const auto check = [&](MemoryDisk& changed) {
        auto again = open_log(changed, config, checkpoint);
        ASSERT_TRUE(again);
        for (const std::int64_t offset : {0, 1, 17, 38, 50, 77, 99}) {
            EXPECT_EQ(read_spans(*again, offset, offset + 1),
                      (std::vector<Span>{{offset, offset}}));
            auto found = again->find_timestamp(WallTime{noon.milliseconds + offset}, Offset(100));
            ASSERT_TRUE(found.ok() && *found);
            EXPECT_EQ((*found)->offset, Offset(offset));
        }
    };
    for (const auto& [path, content] : indexes) {
        SCOPED_TRACE(path);
        MemoryDisk changed = disk;
        changed.files.erase(path);
        check(changed);
        changed = MemoryDisk(disk);
        changed.bytes(path).assign(content.size(), 0xff);
        check(changed);
        changed = MemoryDisk(disk);
        changed.bytes(path).resize(content.size() / 2 + 3);
        check(changed);
        changed = MemoryDisk(disk);
        changed.bytes(path).resize(10 << 20);  // As Kafka preallocates them.
        check(changed);
    }
}

TEST(RecoveryTest, LeftoversOfDeletionsAndOrphansGo) {
    MemoryDisk disk;
    auto log = open_log(disk);
    must_append(*log);
    for (const char* name : {"00000000000000000000.log.deleted", "00000000000000000007.index",
                             "00000000000000000003.log.cleaned", "leader-epoch-checkpoint.tmp"}) {
        disk.files[directory + "/" + name] = std::make_shared<MemoryDisk::Content>();
    }
    const std::string kept = directory + "/00000000000000000001-0000000001.checkpoint.deleted";
    disk.files[kept] = std::make_shared<MemoryDisk::Content>();
    log = open_log(disk);
    EXPECT_TRUE(disk.has(kept)) << "the quorum's own";
    EXPECT_EQ(disk.files.size(), 2u);
}

TEST(RecoveryTest, AnInterruptedSwapOfKafkasCleanerIsFinished) {
    MemoryDisk disk;
    LogConfig config;
    config.segment_bytes = 400;
    {
        auto log = open_log(disk, config);
        for (int i = 0; i < 12; ++i) must_append(*log, {.value_bytes = 30});
        ASSERT_GE(log->segment_count(), 3u);
    }
    // Segments up to the last were cleaned into one, which holds only offset 2.
    std::vector<std::string> logs;
    for (const auto& [path, content] : disk.files) {
        if (path.ends_with(".log")) logs.push_back(path);
    }
    auto cleaned = std::make_shared<MemoryDisk::Content>();
    const Bytes kept = batch_bytes({.value_bytes = 30, .base = Offset(2)});
    cleaned->bytes.assign(kept.begin(), kept.end());
    disk.files[first_segment + ".swap"] = cleaned;
    config.compacted = true;
    auto log = open_log(disk, config);
    EXPECT_EQ(disk.bytes(first_segment).size(), kept.size());
    EXPECT_EQ(log->log_end_offset(), Offset(12));
    EXPECT_EQ(read_spans(*log, 0, 3).front(), (Span{2, 2}));
}

TEST(RecoveryTest, ProducersSurviveAKillWithAndWithoutSnapshot) {
    MemoryDisk disk;
    auto log = open_log(disk);
    const auto send = [&](PartitionLog& to, int sequence) {
        return to.append(
            batch({.producer = ProducerId(1), .epoch = ProducerEpoch(0), .sequence = sequence}),
            LeaderEpoch(0), noon);
    };
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(send(*log, i).ok());
    MemoryDisk killed = disk;
    auto again = open_log(killed);
    EXPECT_TRUE(send(*again, 7)->duplicate);
    EXPECT_TRUE(send(*again, 3)->duplicate) << "all five are replayed";
    EXPECT_EQ(send(*again, 2).error().code, ErrorCode::out_of_order_sequence_number);
    EXPECT_FALSE(send(*again, 8)->duplicate);

    ASSERT_TRUE(log->flush().ok());
    EXPECT_TRUE(disk.has(directory + "/00000000000000000008.snapshot"));
    ASSERT_TRUE(send(*log, 8).ok());
    ASSERT_TRUE(log->flush().ok());
    EXPECT_FALSE(disk.has(directory + "/00000000000000000008.snapshot")) << "one is enough";
    const auto checkpoint = log->checkpoint();
    EXPECT_TRUE(checkpoint.standing->has_producers);
    ASSERT_TRUE(send(*log, 9).ok());
    killed = MemoryDisk(disk);
    again = open_log(killed, {}, checkpoint);
    EXPECT_TRUE(send(*again, 9)->duplicate);
    EXPECT_FALSE(send(*again, 10)->duplicate);
    // A snapshot that is damaged is not needed.
    killed = MemoryDisk(disk);
    killed.bytes(directory + "/00000000000000000009.snapshot")[12] ^= 1;
    again = open_log(killed, {}, checkpoint);
    EXPECT_TRUE(send(*again, 9)->duplicate);
    EXPECT_TRUE(send(*again, 6)->duplicate);
}

TEST(RecoveryTest, AStandingThatDoesNotFitIsNotBelieved) {
    MemoryDisk disk;
    auto log = open_log(disk);
    for (int i = 0; i < 5; ++i) must_append(*log);
    ASSERT_TRUE(log->flush().ok());
    auto checkpoint = log->checkpoint();
    checkpoint.clean_shutdown = true;
    for (int i = 0; i < 5; ++i) must_append(*log);
    log = open_log(disk, {}, checkpoint);
    EXPECT_EQ(log->log_end_offset(), Offset(10)) << "it grew, whatever the marker says";
    disk.bytes(first_segment).resize(10);
    auto opened = PartitionLog::open(disk, directory, {}, checkpoint, noon);
    EXPECT_FALSE(opened.ok()) << "what was synced is gone";
}

}  // namespace
}  // namespace pabal::log
