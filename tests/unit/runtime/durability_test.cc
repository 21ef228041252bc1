// The commit journal behind flush.messages=1: what it saves, and that nothing acknowledged is lost
// whatever a loss of power takes.

#include <gtest/gtest.h>

#include "tests/unit/runtime/data_world.h"

namespace pabal::runtime {
namespace {

using replication::RequiredAcks;
using Values = std::vector<std::string>;

const std::string journal_path = "/data/pabal-journal";
const std::map<std::string, std::string> synced_topic{{"flush.messages", "1"}};

std::map<std::string, std::string> small_journal() {
    return {{"pabal.journal.bytes", "65536"}};
}

// Appends one batch to each partition, then waits for all acknowledgements.
void produce_to_all(DataWorld& world, int count, const std::string& value) {
    std::vector<AppendOutcome> outcomes;
    for (int i = 0; i < count; ++i) {
        outcomes.push_back(
            world.partition("orders", i)->append(world.batch({value}), RequiredAcks::all, true));
        ASSERT_EQ(outcomes.back().error, ErrorCode::none);
    }
    const auto deadline = world.ports->clock.now() + Duration::seconds(10);
    for (int i = 0; i < count; ++i) {
        const auto& outcome = outcomes[static_cast<std::size_t>(i)];
        EXPECT_EQ(world.run(world.partition("orders", i)
                                ->acknowledged(outcome.end_offset, outcome.awaits_flush,
                                               outcome.reign, RequiredAcks::all, deadline)),
                  ErrorCode::none);
    }
}

TEST(Durability, one_sync_serves_all_partitions) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 20, synced_topic);
    // The first acknowledgement makes each partition's files and names durable.
    produce_to_all(world, 20, "first");
    const auto before = world.partitions->traffic();
    EXPECT_GE(before.file_syncs, 20u);
    produce_to_all(world, 20, "second");
    const auto after = world.partitions->traffic();
    EXPECT_EQ(after.file_syncs, before.file_syncs);
    EXPECT_LE(after.journal_syncs - before.journal_syncs, 2u);
    EXPECT_EQ(after.durable_acknowledgements - before.durable_acknowledgements, 20u);
    world.crash(sim::Death::power_lost);
    ASSERT_TRUE(world.start().ok());
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(world.values(world.partition("orders", i)), (Values{"first", "second"})) << i;
}

TEST(Durability, without_a_journal_each_partition_is_flushed) {
    DataWorld world(1, {{"pabal.journal.bytes", "0"}});
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 5, synced_topic);
    produce_to_all(world, 5, "first");
    const auto before = world.partitions->traffic().file_syncs;
    produce_to_all(world, 5, "second");
    EXPECT_GE(world.partitions->traffic().file_syncs, before + 5);
    EXPECT_EQ(world.partitions->traffic().journal_syncs, 0u);
    EXPECT_FALSE(world.exists(journal_path));
}

TEST(Durability, what_the_journal_holds_survives_losses_of_power) {
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
        DataWorld world(seed, small_journal());
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", 3, synced_topic);
        Prng random(seed);
        std::vector<Values> written(3);
        for (int round = 0; round < 3; ++round) {
            // Several laps of the journal, with segments being flushed behind them.
            for (int i = 0; i < 60; ++i) {
                const auto index = static_cast<int>(random.below(3));
                const std::string value(1 + random.below(6000), static_cast<char>('a' + i % 26));
                ASSERT_EQ(world.produce(world.partition("orders", index), {value}),
                          ErrorCode::none);
                written[static_cast<std::size_t>(index)].push_back(value);
            }
            const auto death = random.chance(3, 4) ? sim::Death::power_lost : sim::Death::killed;
            world.crash(death);
            ASSERT_TRUE(world.start().ok());
            for (int i = 0; i < 3; ++i) {
                ASSERT_EQ(world.values(world.partition("orders", i)),
                          written[static_cast<std::size_t>(i)])
                    << "seed " << seed << ", round " << round << ", partition " << i;
            }
        }
        EXPECT_FALSE(world.exists(journal_path)) << "it was replayed, and not needed again yet";
    }
}

TEST(Durability, a_clean_stop_leaves_no_journal) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, synced_topic);
    for (const auto* value : {"a", "b", "c"})
        ASSERT_EQ(world.produce(world.partition("orders"), {value}), ErrorCode::none);
    EXPECT_TRUE(world.exists(journal_path));
    world.stop();
    ASSERT_TRUE(world.start().ok());
    EXPECT_FALSE(world.exists(journal_path));
    EXPECT_EQ(world.values(world.partition("orders")), (Values{"a", "b", "c"}));
}

TEST(Durability, a_journal_is_void_once_somebody_closed_the_directory) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, synced_topic);
    for (const auto* value : {"a", "b"})
        ASSERT_EQ(world.produce(world.partition("orders"), {value}), ErrorCode::none);
    const auto left = *io::read_file(world.ports->disk, journal_path, 1 << 26);
    world.stop();
    // Kafka has been here since: it took records away, and stopped in order.
    world.process = world.machine.boot();
    world.ports.emplace(world.process->ports());
    ASSERT_TRUE(io::replace_file(world.ports->disk, journal_path, left).ok());
    ASSERT_TRUE(world.ports->disk.remove("/data/orders-0/00000000000000000000.log").ok());
    ASSERT_TRUE(
        io::replace_file(world.ports->disk, "/data/orders-0/00000000000000000002.log", "").ok());
    world.process->die(sim::Death::killed);
    world.ports.reset();
    world.process.reset();
    ASSERT_TRUE(world.start().ok());
    EXPECT_FALSE(world.exists(journal_path));
    EXPECT_EQ(world.values(world.partition("orders"), 2), Values{});
}

// A journal that cannot grow is no reason to refuse what the segments still take.
TEST(Durability, a_full_disk_leads_to_flushes_and_the_journal_comes_back) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, synced_topic);
    ASSERT_EQ(world.produce(world.partition("orders"), {"a"}), ErrorCode::none);
    auto& disk = world.machine.disk();
    disk.set_capacity(disk.used_bytes() + 3000);
    ASSERT_EQ(world.produce(world.partition("orders"), {"b"}), ErrorCode::none);
    ASSERT_EQ(world.produce(world.partition("orders"), {"c"}), ErrorCode::none);
    EXPECT_EQ(world.partitions->traffic().journal_syncs, 0u);
    disk.set_capacity(1u << 30);
    const auto later = world.ports->clock.now() + Duration::seconds(3);
    world.wait([&] { return world.ports->clock.now() >= later; });
    ASSERT_EQ(world.produce(world.partition("orders"), {"d"}), ErrorCode::none);
    EXPECT_GE(world.partitions->traffic().journal_syncs, 1u);
    world.crash(sim::Death::power_lost);
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.values(world.partition("orders")), (Values{"a", "b", "c", "d"}));
}

TEST(Durability, a_batch_larger_than_the_journal_takes_is_flushed) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        DataWorld world(seed, small_journal());
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", 1, synced_topic);
        Values written;
        for (const std::size_t size : {10u, 100u, 60'000u, 50u, 40'000u, 20u, 30u}) {
            written.emplace_back(size, 'x');
            ASSERT_EQ(world.produce(world.partition("orders"), {written.back()}), ErrorCode::none);
        }
        world.crash(sim::Death::power_lost);
        ASSERT_TRUE(world.start().ok());
        ASSERT_EQ(world.values(world.partition("orders")), written) << seed;
    }
}

// A follower that takes back what another leader never had: the journal must not bring it again.
TEST(Durability, what_a_follower_cut_off_does_not_come_back_over_what_replaced_it) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        DataWorld world(seed);
        ASSERT_TRUE(world.start().ok());
        std::vector<metadata::Record> records;
        wire::TopicRecord topic;
        topic.name = "orders";
        topic.topic_id = TopicId(Uuid::random(world.ids));
        records.emplace_back(topic);
        auto row = DataWorld::partition_record(topic.topic_id, 0);
        row.replicas = row.isr = {BrokerId(0), BrokerId(1)};
        row.directories = {DirectoryId(), DirectoryId()};
        row.leader = BrokerId(1);
        records.emplace_back(row);
        records.emplace_back(DataWorld::setting("orders", "flush.messages", "1"));
        world.apply(std::move(records));

        Values written;
        const auto replicate = [&](const std::string& value, std::int32_t epoch) {
            auto* partition = world.partition("orders");
            record::BatchOptions options;
            options.base_offset = partition->log()->log_end_offset();
            options.leader_epoch = LeaderEpoch(epoch);
            record::RecordBatchBuilder builder(options);
            builder.append(world.ports->clock.wall_now(), as_bytes("key"), as_bytes(value));
            replication::LeaderAnswer answer;
            const auto outcome = partition->replicate(builder.build(), answer);
            ASSERT_EQ(outcome.error, ErrorCode::none);
            EXPECT_TRUE(outcome.awaits_flush);
            const auto deadline = world.ports->clock.now() + Duration::seconds(10);
            ASSERT_EQ(world.run(partition->durable(partition->log()->log_end_offset(), deadline)),
                      ErrorCode::none);
            EXPECT_TRUE(partition->may_claim_end());
            written.push_back(value);
        };
        for (int i = 0; i < 6; ++i) replicate(std::string(40, static_cast<char>('a' + i)), 0);
        const auto journaled = world.partitions->traffic().journal_syncs;
        EXPECT_GE(journaled, 3u);
        ASSERT_TRUE(world.partition("orders")->cut(Offset(3)).ok());
        written.resize(3);
        ASSERT_TRUE(world.run(world.partitions->checkpoints_synced()).ok());
        for (int i = 0; i < 5; ++i) replicate(std::string(40, static_cast<char>('p' + i)), 1);
        EXPECT_GT(world.partitions->traffic().journal_syncs, journaled);
        world.crash(sim::Death::power_lost);
        ASSERT_TRUE(world.start().ok());
        const auto* partition = world.partition("orders");
        ASSERT_EQ(partition->log()->log_end_offset(), Offset(8)) << "seed " << seed;
        const auto read = partition->log()->read(Offset(0), Offset(8), 1 << 20, true);
        ASSERT_TRUE(read.ok());
        const auto bytes = read->records.flatten();
        record::BatchWalker walker(*bytes);
        for (const auto& value : written) {
            auto batch = walker.next();
            ASSERT_TRUE(batch.ok() && *batch);
            record::RecordReader reader(**batch, (*batch)->records());
            const auto record = reader.next();
            ASSERT_TRUE(record.ok() && *record);
            ASSERT_EQ(as_text(*(*record)->value), value) << "seed " << seed;
        }
    }
}

TEST(Durability, a_topic_that_is_deleted_is_not_waited_for) {
    DataWorld world(1, small_journal());
    ASSERT_TRUE(world.start().ok());
    const auto gone = world.create_topic("gone", 1, synced_topic);
    world.create_topic("orders", 1, synced_topic);
    for (int i = 0; i < 3; ++i) {
        ASSERT_EQ(world.produce(world.partition("gone"), {"x"}), ErrorCode::none);
        ASSERT_EQ(world.produce(world.partition("orders"), {"y"}), ErrorCode::none);
    }
    world.delete_topic(gone);
    Values written(3, "y");
    for (int i = 0; i < 60; ++i) {
        written.emplace_back(5000, 'z');
        ASSERT_EQ(world.produce(world.partition("orders"), {written.back()}), ErrorCode::none);
    }
    world.crash(sim::Death::power_lost);
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.values(world.partition("orders")), written);
}

}  // namespace
}  // namespace pabal::runtime
