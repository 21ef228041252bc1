// Compaction of a broker's logs on a simulated machine: when it happens, what it leaves, and what a
// crash in its midst cannot break.
#include "runtime/cleaner.h"

#include <gtest/gtest.h>

#include "tests/unit/log/keyed_log.h"
#include "tests/unit/runtime/data_world.h"

namespace pabal::runtime {
namespace {

using log::KeyedRecord;
using log::KeyedRecords;
using replication::RequiredAcks;

const std::string checkpoint_path = "/data/cleaner-offset-checkpoint";

// A topic whose every batch begins a segment, since the records are seconds apart.
class CompactedWorld : public DataWorld {
public:
    explicit CompactedWorld(std::uint64_t seed = 1,
                            std::map<std::string, std::string> properties = {})
        : DataWorld(seed, std::move(properties)) {}

    void create(std::map<std::string, std::string> settings = {}) {
        settings.emplace("cleanup.policy", "compact");
        settings.emplace("segment.ms", "100");
        create_topic("table", 1, settings);
    }
    void put(const std::string& key, std::optional<std::string> value) {
        if (next_timestamp == 0) next_timestamp = ports->clock.wall_now().milliseconds - 1'000'000;
        next_timestamp += 1000;
        const KeyedRecord record{key, std::move(value), next_timestamp};
        const auto outcome =
            partition("table")->append(log::keyed_batch({record}, {}), RequiredAcks::all, true);
        ASSERT_EQ(outcome.error, ErrorCode::none) << outcome.message;
        all[outcome.base_offset.value()] = record;
    }
    KeyedRecords found() {
        KeyedRecords records;
        EXPECT_EQ(log::read_all(*partition("table")->log(), records), "");
        return records;
    }
    // What must be left when everything below `clean_end` is clean.
    KeyedRecords expected(std::int64_t clean_end) const {
        std::map<std::string, std::int64_t> newest;
        for (const auto& [offset, record] : all) {
            if (offset < clean_end) newest[record.key] = offset;
        }
        KeyedRecords left;
        for (const auto& [offset, record] : all) {
            if (offset >= clean_end || newest[record.key] == offset) left[offset] = record;
        }
        return left;
    }
    std::string checkpoint() {
        if (!exists(checkpoint_path)) return {};
        return *io::read_file(ports->disk, checkpoint_path, 1000);
    }
    void wait_until_clean(std::int64_t up_to) {
        const auto content = "0\n1\ntable 0 " + std::to_string(up_to) + "\n";
        wait([&] { return checkpoint() == content; });
    }
    void sleep(Duration duration) {
        const auto until = scheduler.now() + duration;
        scheduler.run_until([] { return false; }, until);
    }

    KeyedRecords all;
    std::int64_t next_timestamp = 0;
};

TEST(CleanerTest, a_compacted_topic_keeps_the_newest_of_each_key) {
    CompactedWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create();
    for (int i = 0; i < 9; ++i) world.put("key-" + std::to_string(i % 3), std::to_string(i));
    EXPECT_EQ(world.found().size(), 9u);
    world.wait_until_clean(8);
    EXPECT_EQ(world.found(), world.expected(8));
    EXPECT_EQ(world.partition("table")->log()->segment_count(), 2u);
    EXPECT_EQ(world.partition("table")->high_watermark(), Offset(9));

    // What is clean is known after a restart, whichever way the broker ended.
    world.stop();
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.found(), world.expected(8));
    const auto names = world.names_in("/data/table-0");
    world.sleep(Duration::seconds(100));
    EXPECT_EQ(world.names_in("/data/table-0"), names) << "nothing was dirty";
    world.crash(sim::Death::power_lost);
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.found(), world.expected(8));
    for (int i = 9; i < 30; ++i) world.put("key-" + std::to_string(i % 3), std::to_string(i));
    world.wait_until_clean(29);
    EXPECT_EQ(world.found(), world.expected(29));
}

TEST(CleanerTest, old_files_go_and_a_deleted_topic_is_forgotten) {
    CompactedWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create({{"file.delete.delay.ms", "1000"}});
    for (int i = 0; i < 5; ++i) world.put("key", std::to_string(i));
    world.wait_until_clean(4);
    world.sleep(Duration::seconds(2));
    for (const auto& name : world.names_in("/data/table-0"))
        EXPECT_FALSE(name.ends_with(".deleted") || name.ends_with(".cleaned")) << name;
    world.delete_topic(world.partitions->topic("table")->id());
    world.wait([&] { return world.checkpoint() == "0\n0\n"; });
}

TEST(CleanerTest, it_waits_for_the_dirty_ratio_or_the_lag) {
    CompactedWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create({{"min.cleanable.dirty.ratio", "0.9"}});
    for (int i = 0; i < 4; ++i) world.put("key-" + std::to_string(i), "first");
    world.wait_until_clean(3);
    // As many again are not nine tenths.
    for (int i = 0; i < 5; ++i) world.put("key-" + std::to_string(i), "second");
    world.sleep(Duration::seconds(100));
    EXPECT_EQ(world.checkpoint(), "0\n1\ntable 0 3\n");
    world.apply({DataWorld::setting("table", "max.compaction.lag.ms", "1000")});
    world.wait_until_clean(8);
    EXPECT_EQ(world.found(), world.expected(8));
    // And nothing younger than min.compaction.lag.ms.
    world.apply({DataWorld::setting("table", "min.compaction.lag.ms", "100000000000")});
    for (int i = 0; i < 5; ++i) world.put("key-" + std::to_string(i), "third");
    world.sleep(Duration::seconds(100));
    EXPECT_EQ(world.checkpoint(), "0\n1\ntable 0 8\n");
}

TEST(CleanerTest, it_can_be_switched_off) {
    CompactedWorld world(1, {{"log.cleaner.enable", "false"}});
    ASSERT_TRUE(world.start().ok());
    world.create();
    for (int i = 0; i < 5; ++i) world.put("key", std::to_string(i));
    world.sleep(Duration::seconds(100));
    EXPECT_EQ(world.found().size(), 5u);
}

TEST(CleanerTest, its_reads_and_writes_are_throttled) {
    CompactedWorld world(1, {{"log.cleaner.io.max.bytes.per.second", "100"}});
    ASSERT_TRUE(world.start().ok());
    world.create();
    for (int i = 0; i < 20; ++i) world.put("key", std::string(200, 'v'));
    const auto begin = world.scheduler.now();
    world.wait_until_clean(19);
    // Some 5,000 bytes were read twice.
    EXPECT_GT(world.scheduler.now() - begin, Duration::seconds(60));
}

TEST(CleanerTest, a_record_without_a_key_is_refused) {
    CompactedWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create();
    record::RecordBatchBuilder builder;
    builder.append(world.ports->clock.wall_now(), as_bytes("key"), as_bytes("a"));
    builder.append(world.ports->clock.wall_now(), std::nullopt, as_bytes("b"));
    const auto outcome = world.partition("table")->append(builder.build(), RequiredAcks::all, true);
    EXPECT_EQ(outcome.error, ErrorCode::invalid_record);
    ASSERT_EQ(outcome.record_errors.size(), 1u);
    EXPECT_EQ(outcome.record_errors[0].batch_index, 1);
    EXPECT_EQ(world.partition("table")->log()->log_end_offset(), Offset(0));
}

TEST(CleanerTest, a_damaged_checkpoint_means_that_nothing_is_clean) {
    CompactedWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create();
    for (int i = 0; i < 5; ++i) world.put("key", std::to_string(i));
    world.wait_until_clean(4);
    ASSERT_TRUE(io::replace_file(world.ports->disk, checkpoint_path, "nonsense").ok());
    world.stop();
    ASSERT_TRUE(world.start().ok());
    for (int i = 0; i < 5; ++i) world.put("key", std::to_string(i));
    world.wait_until_clean(9);
    EXPECT_EQ(world.found(), world.expected(9));
}

// The process is killed, or the power goes, in each call that changes the disk during a cleaning.
TEST(CleanerTest, a_crash_in_its_midst_loses_nothing_and_brings_nothing_back) {
    for (const auto death : {sim::Death::killed, sim::Death::power_lost}) {
        int crashes = 0;
        for (std::uint64_t fuse = 1;; ++fuse) {
            SCOPED_TRACE("operation " + std::to_string(fuse) +
                         (death == sim::Death::killed ? ", killed" : ", power lost"));
            CompactedWorld world(fuse);
            ASSERT_TRUE(world.start().ok());
            world.create({{"segment.bytes", "1048576"},
                          {"index.interval.bytes", "0"},
                          {"delete.retention.ms", "1000"},
                          {"file.delete.delay.ms", "0"}});
            // A clean part with a tombstone, and a dirty one.
            world.put("gone", "once");
            world.put("gone", std::nullopt);
            for (int i = 0; i < 4; ++i) world.put("key-" + std::to_string(i), "first");
            world.wait_until_clean(5);
            world.sleep(Duration::seconds(2));
            for (int i = 0; i < 12; ++i)
                world.put("key-" + std::to_string(i % 5), std::to_string(i));
            ASSERT_EQ(world.run(world.partition("table")->durable(Offset(18), Instant::never())),
                      ErrorCode::none);
            ASSERT_TRUE(world.run(world.partitions->checkpoints_synced()).ok());
            auto must_stay = world.expected(17);
            must_stay.erase(1);
            bool crashed = false;
            world.machine.disk().blow_after(fuse, [&] {
                crashed = true;
                world.process->die(death);
            });
            world.wait([&] { return crashed || world.checkpoint() == "0\n1\ntable 0 17\n"; });
            if (!crashed) break;
            ++crashes;
            world.crash(death);
            ASSERT_TRUE(world.start().ok());
            ASSERT_NE(world.partition("table")->log(), nullptr);
            EXPECT_FALSE(world.partition("table")->log()->repair().has_value());
            EXPECT_EQ(world.partition("table")->log()->log_end_offset(), Offset(18));
            EXPECT_EQ(world.partition("table")->log()->log_start_offset(), Offset(0));
            const auto found = world.found();
            for (const auto& [offset, record] : found) EXPECT_EQ(record, world.all.at(offset));
            for (const auto& [offset, record] : must_stay) EXPECT_EQ(found.count(offset), 1u);
            EXPECT_EQ(found.count(0), 0u) << "what was cleaned before came back";
            // The next cleaning brings it to its end.
            world.wait([&] {
                const auto now = world.found();
                return now == must_stay;
            });
            for (const auto& name : world.names_in("/data/table-0"))
                EXPECT_FALSE(name.ends_with(".swap")) << name;
            if (testing::Test::HasFailure()) return;
        }
        EXPECT_GT(crashes, 15);
    }
}

}  // namespace
}  // namespace pabal::runtime
