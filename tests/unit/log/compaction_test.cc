#include "log/compaction.h"

#include <gtest/gtest.h>

#include "tests/unit/log/keyed_log.h"
#include "tests/unit/log/log_world.h"

namespace pabal::log {
namespace {

constexpr std::int64_t hour = 3'600'000;

LogConfig compacted(std::int32_t segment_bytes = 600) {
    LogConfig config;
    config.segment_bytes = segment_bytes;
    config.index_interval_bytes = 100;
    config.compacted = true;
    config.retention_deletes = false;
    config.file_delete_delay = Duration();
    config.delete_retention_milliseconds = hour;
    return config;
}

class CompactionTest : public testing::Test {
protected:
    void open(LogConfig config = compacted()) { log = open_log(disk, config); }
    Offset put(const std::vector<KeyedRecord>& records, record::BatchOptions options = {}) {
        const auto appended = log->append(record::trusted(keyed_batch(records, options)),
                                          LeaderEpoch(0), noon, AppendOrigin::coordinator);
        EXPECT_TRUE(appended.ok()) << appended.error().message;
        return appended.ok() ? appended->base_offset : Offset(-1);
    }
    Offset put(const std::string& key, std::optional<std::string> value,
               record::BatchOptions options = {}) {
        return put({{key, std::move(value), noon.milliseconds}}, options);
    }
    void mark(record::ControlRecordType type, ProducerId producer) {
        ASSERT_TRUE(log->append(marker(type, producer, ProducerEpoch(0)), LeaderEpoch(0), noon,
                                AppendOrigin::coordinator)
                        .ok());
    }
    void roll() { ASSERT_TRUE(log->roll(noon).ok()); }
    CleanOutcome clean_all(WallTime now = noon, CompactionMeans means = {}) {
        EXPECT_TRUE(log->flush().ok());
        auto outcome = clean(*log, cleaned_up_to, log->log_end_offset(), now, means);
        EXPECT_TRUE(outcome.status.ok()) << outcome.status.error().message;
        if (outcome.cleaned) cleaned_up_to = outcome.clean_end;
        return outcome;
    }
    KeyedRecords all() {
        KeyedRecords found;
        EXPECT_EQ(read_all(*log, found), "");
        return found;
    }
    std::vector<std::int64_t> offsets() {
        std::vector<std::int64_t> result;
        for (const auto& [offset, record] : all()) result.push_back(offset);
        return result;
    }
    // As after a kill without any checkpoint: all is read again.
    void reopen() {
        log.reset();
        LogCheckpoint checkpoint;
        checkpoint.writes_survived = true;
        log = open_log(disk, compacted(), checkpoint);
    }

    MemoryDisk disk;
    std::unique_ptr<PartitionLog> log;
    std::optional<Offset> cleaned_up_to;
};

TEST(KeyMapTest, RemembersTheNewestOffsetOfAsManyKeysAsFit) {
    KeyMap map(KeyMap::slot_bytes * 5000, 0.8, {1, 2});
    std::int64_t offset = 0;
    for (int round = 0; round < 2; ++round) {
        for (int key = 0; key < 4000; ++key)
            map.put(as_bytes("key-" + std::to_string(key)), Offset(offset++));
    }
    EXPECT_TRUE(map.full());
    EXPECT_EQ(map.size(), 4000u);
    EXPECT_EQ(map.find(as_bytes("key-7")), Offset(4007));
    EXPECT_EQ(map.find(as_bytes("another")), std::nullopt);
}

// The first vectors of the reference implementation of SipHash-2-4-128, key 00 01 .. 0f.
TEST(KeyMapTest, TheDigestIsSipHash) {
    const DigestSecret secret{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    EXPECT_EQ(digest_of({}, secret), (KeyDigest{0xe6a825ba047f81a3ULL, 0x930255c71472f66dULL}));
    const std::uint8_t zero[] = {0};
    EXPECT_EQ(digest_of(zero, secret), (KeyDigest{0x44af996bd8c187daULL, 0x45fc229b11597634ULL}));
}

TEST_F(CompactionTest, KeepsTheNewestValueOfEachKeyAtItsOffset) {
    open();
    for (int i = 0; i < 30; ++i) put("key-" + std::to_string(i % 3), "value-" + std::to_string(i));
    const auto before = all();
    ASSERT_GT(log->segment_count(), 3u);
    const auto outcome = clean_all();
    ASSERT_TRUE(outcome.cleaned);
    const auto after = all();
    std::map<std::string, std::int64_t> newest;
    for (const auto& [offset, record] : before) {
        if (offset < outcome.clean_end.value()) newest[record.key] = offset;
    }
    for (const auto& [offset, record] : before) {
        const bool kept = offset >= outcome.clean_end.value() || newest[record.key] == offset;
        EXPECT_EQ(after.count(offset), kept) << offset;
        if (!kept) continue;
        EXPECT_EQ(after.at(offset), record);
    }
    EXPECT_EQ(log->log_start_offset(), Offset(0));
    EXPECT_EQ(log->log_end_offset(), Offset(30));
    // Nothing is dirty any more.
    EXPECT_FALSE(clean_all().cleaned);
    reopen();
    EXPECT_EQ(all(), after);
    EXPECT_EQ(log->log_end_offset(), Offset(30));
}

TEST_F(CompactionTest, SmallSegmentsBecomeOne) {
    open(compacted(4000));
    for (int i = 0; i < 5; ++i) {
        put("same", "value");
        roll();
    }
    EXPECT_EQ(log->segment_count(), 6u);
    ASSERT_TRUE(clean_all().cleaned);
    EXPECT_EQ(log->segment_count(), 2u);
    EXPECT_EQ(offsets(), std::vector<std::int64_t>{4});
    EXPECT_EQ(read_spans(*log, 0).front(), (Span{4, 4}));
    for (const auto& path : log->take_deleted_files(noon)) {
        EXPECT_TRUE(disk.has(path)) << path;
        ASSERT_TRUE(disk.remove(path).ok());
    }
    for (const auto& [path, content] : disk.files) {
        EXPECT_FALSE(path.ends_with(".cleaned") || path.ends_with(".swap") ||
                     path.ends_with(".deleted"))
            << path;
    }
}

TEST_F(CompactionTest, ReadersKeepTheOldFile) {
    open();
    put("same", "old");
    put("same", "new");
    roll();
    const auto range = log->read(Offset(0), Offset(2), 1 << 20, true);
    ASSERT_TRUE(range.ok());
    ASSERT_TRUE(clean_all().cleaned);
    EXPECT_EQ(spans(range->records), (std::vector<Span>{{0, 0}, {1, 1}}));
    EXPECT_EQ(offsets(), std::vector<std::int64_t>{1});
}

TEST_F(CompactionTest, TombstonesGoAfterTheirTime) {
    open();
    put("gone", "value");
    put("gone", std::nullopt);
    put("stays", "value");
    roll();
    put("other", "value");
    ASSERT_TRUE(clean_all().cleaned);
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{1, 2, 3}));
    const auto bytes = log->read(Offset(1), Offset(2), 1 << 20, true)->records.flatten();
    const auto batch = record::RecordBatchView::parse(*bytes);
    EXPECT_EQ(batch->delete_horizon(), WallTime{noon.milliseconds + hour});
    EXPECT_EQ(all().at(1).timestamp, noon.milliseconds) << "the record's own time is as it was";

    // A cleaning within the hour leaves it, the next one after it takes it.
    roll();
    ASSERT_TRUE(clean_all(WallTime{noon.milliseconds + hour - 1}).cleaned);
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{1, 2, 3}));
    put("more", "value");
    roll();
    ASSERT_TRUE(clean_all(WallTime{noon.milliseconds + hour}).cleaned);
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{2, 3, 4}));
    reopen();
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{2, 3, 4}));
}

TEST_F(CompactionTest, ProducersAreKnownByTheirLastBatch) {
    open();
    record::BatchOptions options;
    options.producer_id = ProducerId(7);
    options.producer_epoch = ProducerEpoch(3);
    options.base_sequence = 0;
    put({{"a", "1", noon.milliseconds}, {"b", "1", noon.milliseconds}}, options);
    options.base_sequence = 2;
    put({{"a", "2", noon.milliseconds}, {"b", "2", noon.milliseconds}}, options);
    put({{"a", "3", noon.milliseconds}, {"b", "3", noon.milliseconds}});
    roll();
    put("c", "1");
    ASSERT_TRUE(clean_all().cleaned);
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{4, 5, 6}));
    EXPECT_EQ(read_spans(*log, 0).front(), (Span{2, 3})) << "without records, for its sequence";
    const auto known = log->active_producers();
    for (auto at = disk.files.begin(); at != disk.files.end();) {
        at = at->first.ends_with(".snapshot") ? disk.files.erase(at) : std::next(at);
    }
    reopen();
    ASSERT_EQ(log->active_producers().size(), 1u);
    EXPECT_EQ(log->active_producers()[0].last_sequence, 3);
    EXPECT_EQ(log->active_producers()[0].epoch, ProducerEpoch(3));
    EXPECT_EQ(known[0].last_sequence, 3);
    // The retry of the batch is known, the next one is taken.
    options.base_sequence = 4;
    EXPECT_TRUE(
        log->append(record::trusted(keyed_batch({{"a", "4", 1}}, options)), LeaderEpoch(0), noon)
            .ok());
}

TEST_F(CompactionTest, AbortedRecordsGoAtOnceAndTheirMarkerLater) {
    open(compacted(4000));
    record::BatchOptions options;
    options.producer_id = ProducerId(7);
    options.producer_epoch = ProducerEpoch(0);
    options.transactional = true;
    put("key", "committed before");  // 0
    options.base_sequence = 0;
    put("key", "aborted", options);                         // 1
    mark(record::ControlRecordType::abort, ProducerId(7));  // 2
    options.base_sequence = 1;
    put("other", "committed", options);                      // 3
    mark(record::ControlRecordType::commit, ProducerId(7));  // 4
    options.base_sequence = 2;
    put("last", "keeps the producer's sequence", options);   // 5
    mark(record::ControlRecordType::commit, ProducerId(7));  // 6
    put("end", "value");                                     // 7
    roll();
    put("active", "value");
    ASSERT_EQ(log->aborted_transactions(Offset(0), Offset(9))->size(), 1u);
    ASSERT_TRUE(clean_all().cleaned);
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{0, 3, 5, 7, 8}));
    EXPECT_EQ(log->aborted_transactions(Offset(0), Offset(9))->size(), 1u);
    const auto has_batch = [&](std::int64_t offset) {
        return read_spans(*log, offset).front().base == offset;
    };
    EXPECT_TRUE(has_batch(2)) << "seen before: somebody may be in the midst of it";

    // Now nothing of the transaction is left before its marker: it waits like a tombstone.
    put("active", "again");
    roll();
    ASSERT_TRUE(clean_all().cleaned);
    EXPECT_TRUE(has_batch(2));
    EXPECT_TRUE(has_batch(4));
    EXPECT_TRUE(log->aborted_transactions(Offset(0), Offset(9))->empty());
    put("active", "once more");
    roll();
    ASSERT_TRUE(clean_all(WallTime{noon.milliseconds + hour}).cleaned);
    EXPECT_FALSE(has_batch(2));
    EXPECT_TRUE(has_batch(4)) << "its transaction's record is there";
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{0, 3, 5, 7, 10}));
    EXPECT_EQ(log->last_stable_offset(log->log_end_offset()), log->log_end_offset());
}

TEST_F(CompactionTest, NothingUnstableYoungOrActiveIsCleaned) {
    auto config = compacted();
    config.min_compaction_lag_milliseconds = hour;
    open(config);
    for (int i = 0; i < 3; ++i) {
        put({{"key", "value", noon.milliseconds + i * hour}});
        roll();
    }
    const auto end = [&](std::int64_t stable, std::int64_t now) {
        const auto range = log->cleanable(std::nullopt, Offset(stable), WallTime{now});
        EXPECT_TRUE(range.ok());
        return range->end.value();
    };
    EXPECT_EQ(end(3, noon.milliseconds + 10 * hour), 3);
    EXPECT_EQ(end(2, noon.milliseconds + 10 * hour), 2);
    EXPECT_EQ(end(3, noon.milliseconds + 2 * hour), 2);
    EXPECT_EQ(end(3, noon.milliseconds), 0);

    config.min_compaction_lag_milliseconds = 0;
    config.max_compaction_lag_milliseconds = 2 * hour;
    log->set_config(config);
    const auto overdue = [&](std::optional<Offset> from, std::int64_t now) {
        return log->cleanable(from, Offset(3), WallTime{now})->overdue;
    };
    EXPECT_FALSE(overdue(std::nullopt, noon.milliseconds + 2 * hour));
    EXPECT_TRUE(overdue(std::nullopt, noon.milliseconds + 2 * hour + 1));
    EXPECT_FALSE(overdue(Offset(1), noon.milliseconds + 2 * hour + 1));
    // What cannot be is taken as nothing.
    EXPECT_EQ(log->cleanable(Offset(77), Offset(3), noon)->first_dirty, Offset(0));
}

TEST_F(CompactionTest, AMapThatIsTooSmallTakesSeveralPasses) {
    open();
    for (int i = 0; i < 60; ++i) put("key-" + std::to_string(i % 20), std::to_string(i));
    roll();
    CompactionMeans means;
    means.key_map_bytes = KeyMap::slot_bytes * 8;
    int passes = 0;
    while (clean_all(noon, means).cleaned) ++passes;
    EXPECT_GT(passes, 3);
    EXPECT_EQ(cleaned_up_to, Offset(60));
    std::vector<std::int64_t> newest;
    for (int i = 40; i < 60; ++i) newest.push_back(i);
    EXPECT_EQ(offsets(), newest);
}

TEST_F(CompactionTest, ATruncationInTheMidstMakesItVoid) {
    open();
    for (int i = 0; i < 20; ++i) put("key", std::to_string(i));
    ASSERT_TRUE(log->flush().ok());
    const auto range = log->cleanable(std::nullopt, log->log_end_offset(), noon);
    auto compaction = log->prepare_compaction(*range, {}, noon);
    ASSERT_TRUE(compaction.ok());
    while (*(*compaction)->step(1 << 20) != Compaction::Progress::segment_ready) {
    }
    ASSERT_TRUE(log->truncate_to(Offset(3)).ok());
    const auto replaced = log->replace_segments(**compaction, noon);
    ASSERT_TRUE(replaced.ok());
    EXPECT_FALSE(*replaced);
    (*compaction)->discard();
    EXPECT_EQ(offsets(), (std::vector<std::int64_t>{0, 1, 2}));
    for (const auto& [path, content] : disk.files) EXPECT_FALSE(path.ends_with(".cleaned"));
}

TEST_F(CompactionTest, DamageIsNamedAndNothingIsChanged) {
    open();
    for (int i = 0; i < 20; ++i) put("key", std::to_string(i));
    ASSERT_TRUE(log->flush().ok());
    const std::string first = directory + "/00000000000000000000.log";
    disk.bytes(first)[record::header_size + 3] ^= 1;
    const auto outcome = clean(*log, std::nullopt, log->log_end_offset(), noon);
    ASSERT_FALSE(outcome.status.ok());
    EXPECT_EQ(outcome.status.error().errno_value, 0);
    EXPECT_NE(outcome.status.error().message.find(first + " cannot be compacted at position 0"),
              std::string::npos)
        << outcome.status.error().message;
    for (const auto& [path, content] : disk.files) EXPECT_FALSE(path.ends_with(".cleaned"));
}

TEST_F(CompactionTest, GapsAreLawfulWhereCompactionWas) {
    open();
    for (int i = 0; i < 40; ++i) put("key-" + std::to_string(i % 3), std::to_string(i));
    ASSERT_TRUE(clean_all().cleaned);
    const auto left = all();
    ASSERT_TRUE(log->checkpoint().was_compacted);
    log.reset();
    // Now the topic only deletes, and nothing else is known of it.
    auto config = compacted();
    config.compacted = false;
    LogCheckpoint checkpoint;
    checkpoint.writes_survived = true;
    EXPECT_FALSE(PartitionLog::open(disk, directory, config, checkpoint, noon).ok());
    checkpoint.was_compacted = true;
    log = open_log(disk, config, checkpoint);
    EXPECT_FALSE(log->repair().has_value());
    EXPECT_EQ(all(), left);
    EXPECT_TRUE(log->checkpoint().was_compacted);
}

TEST_F(CompactionTest, ALostEndOfASegmentIsNoGap) {
    open();
    put("key", "first");
    ASSERT_TRUE(log->flush().ok());
    auto checkpoint = log->checkpoint();
    for (int i = 0; i < 20; ++i) put("key", std::to_string(i));
    ASSERT_GT(log->segment_count(), 2u);
    log.reset();
    // The power took the last batch of the first segment, but not what follows.
    auto& bytes = disk.bytes(directory + "/00000000000000000000.log");
    record::BatchWalker walker(bytes);
    std::size_t last = 0;
    std::int64_t offset = 0;
    while (true) {
        const std::size_t position = walker.position();
        const auto batch = walker.next();
        if (!batch.ok() || !*batch) break;
        last = position;
        offset = (*batch)->base_offset().value();
    }
    bytes.resize(last);
    MemoryDisk before(disk);
    log = open_log(disk, compacted(), checkpoint);
    ASSERT_TRUE(log->repair().has_value());
    EXPECT_EQ(log->log_end_offset(), Offset(offset));
    log.reset();
    // Where the machine stayed up nothing can be lost: a follower took it over like this.
    disk = before;
    checkpoint.writes_survived = true;
    log = open_log(disk, compacted(), checkpoint);
    EXPECT_FALSE(log->repair().has_value());
    EXPECT_EQ(log->log_end_offset(), Offset(21));
}

TEST_F(CompactionTest, AnEmptySegmentDoesNotHoldUpRetention) {
    auto config = compacted(150);
    config.retention_deletes = true;
    config.retention_milliseconds = hour;
    open(config);
    for (int i = 0; i < 8; ++i) put("key", "value");
    ASSERT_TRUE(clean_all().cleaned);
    // Of the first segments nothing is left, but their names hold the log's start.
    EXPECT_EQ(log->log_start_offset(), Offset(0));
    ASSERT_TRUE(log->apply_retention(Offset(8), WallTime{noon.milliseconds + 2 * hour}).ok());
    EXPECT_EQ(log->log_start_offset(), Offset(8));
}

// Random histories beside a model. What must hold after each cleaning: nothing changed its offset
// or its content, the newest value of each key is there, all from the clean end on is there, below
// it no key stands twice, nothing comes back, tombstones stay for their time.
class History {
public:
    explicit History(std::uint64_t seed) : random_(seed) {
        config_ = compacted(static_cast<std::int32_t>(random_.between(300, 5000)));
        config_.index_interval_bytes = static_cast<std::int32_t>(random_.between(0, 2000));
        log_ = open_log(disk_, config_);
    }

    void step() {
        switch (random_.below(12)) {
            default: return append();
            case 8: return clean_once();
            case 9: now_ += static_cast<std::int64_t>(random_.below(hour)); return;
            case 10: return restart();
            case 11: return lookup();
        }
    }

    void finish() {
        now_ += 2 * hour;
        for (int i = 0; i < 3; ++i) {
            append();
            ASSERT_TRUE(log_->roll(WallTime{now_}).ok());
            while (clean_once_more()) {
            }
            now_ += 2 * hour;
        }
        // The time of all tombstones below has come, but for those of the last round.
        KeyedRecords found;
        ASSERT_EQ(read_all(*log_, found), "");
        std::map<std::string, std::int64_t> newest;
        for (const auto& [offset, record] : all_) newest[record.key] = offset;
        std::size_t tombstones = 0;
        for (const auto& [offset, record] : found) {
            EXPECT_EQ(newest[record.key], offset);
            if (!record.value && offset < old_end_) ++tombstones;
        }
        EXPECT_EQ(tombstones, 0u);
    }

private:
    void append() {
        old_end_ = log_->log_end_offset().value();
        std::vector<KeyedRecord> records;
        const std::size_t count = 1 + random_.below(5);
        for (std::size_t i = 0; i < count; ++i) {
            KeyedRecord record;
            record.key = "k" + std::to_string(random_.below(12));
            if (!random_.chance(1, 4)) record.value = std::string(random_.below(80), 'v');
            record.timestamp = now_ - static_cast<std::int64_t>(random_.below(1000));
            records.push_back(record);
        }
        record::BatchOptions options;
        options.compression = static_cast<record::Compression>(random_.below(5));
        if (random_.chance(1, 3)) {
            const auto producer = random_.below(3);
            options.producer_id = ProducerId(static_cast<std::int64_t>(producer));
            options.producer_epoch = ProducerEpoch(0);
            options.base_sequence = sequences_[producer];
            sequences_[producer] += static_cast<std::int32_t>(count);
        }
        const auto appended = log_->append(record::trusted(keyed_batch(records, options)),
                                           LeaderEpoch(0), WallTime{now_});
        ASSERT_TRUE(appended.ok()) << appended.error().message;
        ASSERT_FALSE(appended->duplicate);
        for (std::size_t i = 0; i < count; ++i)
            all_[appended->base_offset.value() + static_cast<std::int64_t>(i)] = records[i];
    }

    void clean_once() { (void)clean_once_more(); }

    bool clean_once_more() {
        EXPECT_TRUE(log_->flush().ok());
        checkpoint_ = log_->checkpoint();
        KeyedRecords before;
        Horizons horizons;
        EXPECT_EQ(read_all(*log_, before, &horizons), "");
        CompactionMeans means;
        if (random_.chance(1, 3)) means.key_map_bytes = KeyMap::slot_bytes * random_.between(2, 12);
        means.secret = {random_.next(), random_.next()};
        const auto outcome = clean(*log_, cleaned_up_to_, log_->log_end_offset(), WallTime{now_},
                                   means, static_cast<std::int64_t>(1 + random_.below(3000)));
        EXPECT_TRUE(outcome.status.ok()) << outcome.status.error().message;
        if (!outcome.cleaned) return false;
        EXPECT_GT(outcome.clean_end, cleaned_up_to_.value_or(Offset(0)));
        cleaned_up_to_ = outcome.clean_end;
        KeyedRecords after;
        EXPECT_EQ(read_all(*log_, after), "");
        compare(before, horizons, after, outcome.clean_end.value());
        Horizons now;
        EXPECT_EQ(read_all(*log_, after, &now), "");
        for (const auto& [offset, horizon] : now) {
            const bool known = horizons.count(offset) > 0;
            EXPECT_EQ(horizon.milliseconds, known ? horizons.at(offset).milliseconds : now_ + hour);
        }
        return true;
    }

    void compare(const KeyedRecords& before, const Horizons& horizons, const KeyedRecords& after,
                 std::int64_t clean_end) {
        std::map<std::string, std::int64_t> newest;
        for (const auto& [offset, record] : all_) {
            if (offset < clean_end) newest[record.key] = offset;
        }
        std::set<std::string> seen;
        for (const auto& [offset, record] : after) {
            ASSERT_EQ(before.count(offset), 1u) << offset << " came back";
            ASSERT_EQ(record, all_.at(offset)) << offset;
            if (offset >= clean_end) continue;
            ASSERT_TRUE(seen.insert(record.key).second) << record.key;
        }
        for (const auto& [offset, record] : before) {
            if (after.count(offset) > 0) continue;
            ASSERT_LT(offset, clean_end) << "what is dirty stays";
            if (newest[record.key] != offset) continue;
            ASSERT_FALSE(record.value) << "the newest value at " << offset << " is gone";
            ASSERT_EQ(horizons.count(offset), 1u) << "a tombstone that was new";
            ASSERT_LE(horizons.at(offset), WallTime{now_}) << "a tombstone too early";
        }
    }

    // A kill: what was written is there; with or without checkpoint and snapshots.
    void restart() {
        KeyedRecords before;
        ASSERT_EQ(read_all(*log_, before), "");
        const auto end = log_->log_end_offset();
        LogCheckpoint checkpoint = random_.chance(1, 2) ? checkpoint_ : LogCheckpoint();
        checkpoint.writes_survived = true;
        if (random_.chance(1, 2)) {
            ASSERT_TRUE(log_->close(WallTime{now_}).ok());
            checkpoint = log_->checkpoint();
            checkpoint.clean_shutdown = true;
        } else if (!checkpoint.standing) {
            std::erase_if(disk_.files,
                          [](const auto& file) { return file.first.ends_with(".snapshot"); });
        }
        log_.reset();
        log_ = open_log(disk_, config_, checkpoint);
        ASSERT_FALSE(log_->repair().has_value()) << log_->repair()->reason;
        KeyedRecords after;
        ASSERT_EQ(read_all(*log_, after), "");
        ASSERT_EQ(before, after);
        ASSERT_EQ(log_->log_end_offset(), end);
        for (const auto& producer : log_->active_producers()) {
            ASSERT_EQ(producer.last_sequence + 1,
                      sequences_[static_cast<std::size_t>(producer.producer.value())]);
        }
        std::size_t known = 0;
        for (const auto& [producer, sequence] : sequences_) known += sequence > 0;
        ASSERT_EQ(log_->active_producers().size(), known);
    }

    void lookup() {
        KeyedRecords found;
        ASSERT_EQ(read_all(*log_, found), "");
        const std::int64_t time = now_ - static_cast<std::int64_t>(random_.below(hour));
        std::optional<std::int64_t> expected;
        for (const auto& [offset, record] : found) {
            if (record.timestamp < time) continue;
            expected = offset;
            break;
        }
        const auto at = log_->find_timestamp(WallTime{time}, log_->log_end_offset());
        ASSERT_TRUE(at.ok());
        ASSERT_EQ(at->has_value(), expected.has_value());
        if (!expected) return;
        ASSERT_EQ((*at)->offset.value(), *expected);
    }

    Prng random_;
    MemoryDisk disk_;
    LogConfig config_;
    std::unique_ptr<PartitionLog> log_;
    LogCheckpoint checkpoint_;
    KeyedRecords all_;
    std::map<std::uint64_t, std::int32_t> sequences_;
    std::optional<Offset> cleaned_up_to_;
    std::int64_t now_ = noon.milliseconds;
    std::int64_t old_end_ = 0;
};

TEST(CompactionHistoryTest, RandomHistoriesKeepTheNewestAndNothingElse) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        History history(seed);
        for (int i = 0; i < 150; ++i) {
            history.step();
            if (testing::Test::HasFatalFailure()) return;
        }
        history.finish();
        if (testing::Test::HasFailure()) return;
    }
}

}  // namespace
}  // namespace pabal::log
