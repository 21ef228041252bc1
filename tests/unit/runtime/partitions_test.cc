// The life of partitions on a simulated machine: created, written, crashed, reopened, deleted.
#include "runtime/partitions.h"

#include <gtest/gtest.h>

#include "tests/unit/runtime/data_world.h"

namespace pabal::runtime {
namespace {

using replication::RequiredAcks;
using Values = std::vector<std::string>;

TEST(Partitions, a_created_topic_takes_and_gives_records) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    const auto id = world.create_topic("orders", 3);
    ASSERT_NE(world.partitions->topic("orders"), nullptr);
    EXPECT_EQ(world.partitions->topic(id), world.partitions->topic("orders"));
    EXPECT_EQ(world.partitions->partition_count(), 3u);
    EXPECT_EQ(world.partitions->topic("nothing"), nullptr);
    EXPECT_EQ(world.partition("orders", 3), nullptr);

    auto* partition = world.partition("orders", 1);
    const auto appended = partition->append(world.batch({"a", "b"}), RequiredAcks::all, true);
    EXPECT_EQ(appended.error, ErrorCode::none);
    EXPECT_EQ(appended.base_offset, Offset(0));
    EXPECT_EQ(appended.end_offset, Offset(2));
    EXPECT_FALSE(partition->must_wait(appended, RequiredAcks::all));
    EXPECT_EQ(partition->high_watermark(), Offset(2));
    EXPECT_EQ(world.values(partition), (Values{"a", "b"}));
    EXPECT_EQ(world.partition("orders", 0)->high_watermark(), Offset(0));
}

TEST(Partitions, a_batch_that_is_none_is_refused_with_a_reason) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    const auto outcome =
        world.partition("orders")->append(Bytes::copy_of("garbage"), RequiredAcks::all, true);
    EXPECT_NE(outcome.error, ErrorCode::none);
    EXPECT_FALSE(outcome.message.empty());
    EXPECT_EQ(world.partition("orders")->high_watermark(), Offset(0));
    EXPECT_EQ(world.partitions->traffic().batches_rejected, 1u);
}

TEST(Partitions, a_clean_shutdown_leaves_kafkas_files_and_needs_no_store) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 2);
    ASSERT_EQ(world.produce(world.partition("orders", 1), {"a", "b", "c"}), ErrorCode::none);
    ASSERT_TRUE(world.partition("orders", 1)->delete_records(Offset(2)).ok());
    world.stop();

    world.process = world.machine.boot();
    auto& disk = world.process->ports().disk;
    EXPECT_TRUE(*disk.exists("/data/.kafka_cleanshutdown"));
    EXPECT_EQ(*io::read_file(disk, "/data/recovery-point-offset-checkpoint", 1000),
              "0\n2\norders 0 0\norders 1 3\n");
    EXPECT_EQ(*io::read_file(disk, "/data/log-start-offset-checkpoint", 1000),
              "0\n1\norders 1 2\n");
    EXPECT_EQ(*io::read_file(disk, "/data/replication-offset-checkpoint", 1000),
              "0\n2\norders 0 0\norders 1 3\n");
    world.process.reset();

    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.partitions->previous_broker_epoch(), BrokerEpoch(11));
    auto* partition = world.partition("orders", 1);
    EXPECT_EQ(partition->high_watermark(), Offset(3));
    EXPECT_EQ(partition->log()->log_start_offset(), Offset(2));
    EXPECT_EQ(world.values(partition, 2), (Values{"c"}));
    EXPECT_FALSE(world.exists("/data/.kafka_cleanshutdown"));
    // The store takes over, and the files are silent from then on.
    world.wait([&] {
        return *io::read_file(world.ports->disk, "/data/log-start-offset-checkpoint", 1000) ==
               "0\n0\n";
    });
    world.crash(sim::Death::killed);
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.partition("orders", 1)->log()->log_start_offset(), Offset(2));
    // Whoever was killed does not know in which epoch its logs were whole (KIP-966).
    EXPECT_EQ(world.partitions->previous_broker_epoch(), BrokerEpoch(-1));
}

// Kafka creates its checkpoint files empty: where it was killed before it wrote them, they say
// nothing.
TEST(Partitions, an_empty_checkpoint_file_is_as_good_as_none) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b"}), ErrorCode::none);
    for (const char* file :
         {"/data/recovery-point-offset-checkpoint", "/data/log-start-offset-checkpoint",
          "/data/replication-offset-checkpoint"}) {
        ASSERT_TRUE(io::replace_file(world.ports->disk, file, "").ok());
    }
    world.crash(sim::Death::killed);
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.values(world.partition("orders")), (Values{"a", "b"}));
}

TEST(Partitions, a_killed_broker_loses_nothing_that_it_acknowledged) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        DataWorld world(seed);
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", 2, {{"segment.bytes", "1048576"}});
        Values written;
        for (int round = 0; round < 3; ++round) {
            for (int i = 0; i < 20; ++i) {
                const auto value = std::to_string(round) + ":" + std::to_string(i);
                ASSERT_EQ(world.produce(world.partition("orders"), {value}), ErrorCode::none);
                written.push_back(value);
            }
            world.crash(sim::Death::killed);
            ASSERT_TRUE(world.start().ok());
            ASSERT_EQ(world.values(world.partition("orders")), written) << "seed " << seed;
        }
    }
}

// A bit flips in the midst of what a killed broker had not synced. The machine stayed up, so it is
// no trace of the crash, and nothing of the log may go.
TEST(Partitions, a_log_that_rotted_while_its_broker_was_dead_stays_offline_and_whole) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 2);
    Values written;
    for (int i = 0; i < 20; ++i) {
        written.push_back("value " + std::to_string(i));
        ASSERT_EQ(world.produce(world.partition("orders"), {written.back()}), ErrorCode::none);
    }
    const std::string file = "/data/orders-0/00000000000000000000.log";
    for (int start = 0; start < 3; ++start) {
        world.crash(sim::Death::killed);
        const bool rotten = start != 2;
        if (start != 1) {
            ASSERT_TRUE(world.machine.disk().rot(file, 500, 2).ok());
        }
        ASSERT_TRUE(world.start().ok());
        EXPECT_TRUE(world.partition("orders", 1)->log());
        ASSERT_EQ(world.partition("orders")->log() == nullptr, rotten) << "start " << start;
    }
    EXPECT_EQ(world.values(world.partition("orders")), written);
}

// Few are synced one by one, many with their file system.
TEST(Partitions, what_a_clean_shutdown_left_survives_a_loss_of_power) {
    for (const std::int32_t count : {3, 100}) {
        DataWorld world;
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", count);
        for (std::int32_t i = 0; i < count; ++i)
            ASSERT_EQ(world.produce(world.partition("orders", i), {"value"}), ErrorCode::none);
        world.stop();
        world.machine.lose_power();
        ASSERT_TRUE(world.start().ok());
        for (std::int32_t i = 0; i < count; ++i) {
            ASSERT_EQ(world.values(world.partition("orders", i)), Values{"value"}) << i;
            EXPECT_EQ(world.partition("orders", i)->log()->recovery_point(), Offset(1));
        }
    }
}

TEST(Partitions, what_is_flushed_before_its_acknowledgement_survives_a_loss_of_power) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        DataWorld world(seed);
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", 1, {{"flush.messages", "1"}});
        Values written;
        for (int round = 0; round < 2; ++round) {
            for (int i = 0; i < 5; ++i) {
                const auto value = std::to_string(round) + ":" + std::to_string(i);
                const auto acks = i % 2 == 0 ? RequiredAcks::all : RequiredAcks::leader;
                ASSERT_EQ(world.produce(world.partition("orders"), {value}, acks), ErrorCode::none);
                written.push_back(value);
            }
            // Not acknowledged, and not to be seen before it is on disk.
            auto* partition = world.partition("orders");
            const auto pending =
                partition->append(world.batch({"pending"}), RequiredAcks::leader, true);
            EXPECT_TRUE(partition->must_wait(pending, RequiredAcks::leader));
            EXPECT_EQ(partition->high_watermark(), pending.base_offset);
            world.crash(sim::Death::power_lost);
            ASSERT_TRUE(world.start().ok());
            auto kept = world.values(world.partition("orders"));
            if (kept.size() == written.size() + 1) {
                EXPECT_EQ(kept.back(), "pending");
                written.push_back("pending");
            }
            ASSERT_EQ(kept, written) << "seed " << seed;
        }
    }
}

TEST(Partitions, one_sync_serves_all_who_wait_for_it) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, {{"flush.messages", "1"}});
    auto* partition = world.partition("orders");
    std::vector<AppendOutcome> outcomes;
    for (int i = 0; i < 50; ++i)
        outcomes.push_back(partition->append(world.batch({"x"}), RequiredAcks::all, true));
    const auto deadline = world.ports->clock.now() + Duration::seconds(10);
    for (const auto& outcome : outcomes) {
        EXPECT_EQ(world.run(partition->acknowledged(outcome.end_offset, outcome.awaits_flush,
                                                    outcome.reign, RequiredAcks::all, deadline)),
                  ErrorCode::none);
    }
    EXPECT_EQ(partition->high_watermark(), Offset(50));
    EXPECT_LE(world.partitions->traffic().flushes, 3u);
}

TEST(Partitions, a_log_start_that_was_promised_survives_a_loss_of_power) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        DataWorld world(seed);
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", 1, {{"flush.messages", "1"}});
        ASSERT_EQ(world.produce(world.partition("orders"), {"a", "b", "c"}), ErrorCode::none);
        const auto low = world.partition("orders")->delete_records(Offset(-1));
        ASSERT_TRUE(low.ok());
        EXPECT_EQ(*low, Offset(3));
        ASSERT_TRUE(world.run(world.partitions->checkpoints_synced()).ok());
        world.crash(sim::Death::power_lost);
        ASSERT_TRUE(world.start().ok());
        EXPECT_EQ(world.partition("orders")->log()->log_start_offset(), Offset(3));
        EXPECT_EQ(world.partition("orders")->high_watermark(), Offset(3));
    }
}

TEST(Partitions, records_are_deleted_within_bounds_only) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    auto* partition = world.partition("orders");
    ASSERT_EQ(world.produce(partition, {"a", "b", "c"}), ErrorCode::none);
    EXPECT_EQ(partition->delete_records(Offset(4)).error().code, ErrorCode::offset_out_of_range);
    EXPECT_EQ(partition->delete_records(Offset(-2)).error().code, ErrorCode::offset_out_of_range);
    EXPECT_EQ(*partition->delete_records(Offset(2)), Offset(2));
    EXPECT_EQ(*partition->delete_records(Offset(1)), Offset(2)) << "it never goes back";
}

TEST(Partitions, a_full_disk_acknowledges_nothing_and_recovers_when_space_returns) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        DataWorld world(seed);
        ASSERT_TRUE(world.start().ok());
        world.create_topic("orders", 1, {{"max.message.bytes", "1000000"}});
        auto* partition = world.partition("orders");
        ASSERT_EQ(world.produce(partition, {"before"}), ErrorCode::none);
        auto& disk = world.machine.disk();
        disk.set_capacity(disk.used_bytes() + 100);
        const std::string large(100'000, 'x');
        EXPECT_EQ(world.produce(partition, {large}), ErrorCode::kafka_storage_error);
        EXPECT_EQ(world.produce(partition, {large}), ErrorCode::kafka_storage_error);
        EXPECT_EQ(world.values(partition), (Values{"before"}));
        disk.set_capacity(1u << 30);
        world.wait([&] { return partition->log() != nullptr; });
        EXPECT_EQ(world.produce(partition, {"after"}), ErrorCode::none);
        world.crash(sim::Death::killed);
        ASSERT_TRUE(world.start().ok());
        EXPECT_EQ(world.values(world.partition("orders")), (Values{"before", "after"}));
        EXPECT_TRUE(world.fatal.empty());
    }
}

// A producer that has several batches under way is not blamed for the gap that the disk made.
TEST(Partitions, what_follows_a_batch_that_the_disk_refused_is_refused_as_it_was) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    auto* partition = world.partition("orders");
    const auto send = [&](std::int32_t sequence, std::int64_t producer = 7) {
        record::BatchOptions options;
        options.producer_id = ProducerId(producer);
        options.producer_epoch = ProducerEpoch(0);
        options.base_sequence = sequence;
        record::RecordBatchBuilder builder(options);
        builder.append(world.ports->clock.wall_now(), as_bytes("key"),
                       as_bytes(std::string(1000, 'x')));
        return partition->append(builder.build(), replication::RequiredAcks::all, true).error;
    };
    EXPECT_EQ(send(0), ErrorCode::none);
    EXPECT_EQ(send(2), ErrorCode::out_of_order_sequence_number);
    auto& disk = world.machine.disk();
    disk.set_capacity(disk.used_bytes());
    EXPECT_EQ(send(1), ErrorCode::kafka_storage_error);
    disk.set_capacity(1u << 30);
    EXPECT_EQ(send(2), ErrorCode::kafka_storage_error);
    EXPECT_EQ(send(0, 8), ErrorCode::none);
    EXPECT_EQ(send(2, 8), ErrorCode::out_of_order_sequence_number) << "that is its own gap";
    EXPECT_EQ(send(1), ErrorCode::none);
    EXPECT_EQ(send(2), ErrorCode::none);
    EXPECT_EQ(send(4), ErrorCode::out_of_order_sequence_number);
}

TEST(Partitions, a_topic_created_on_a_full_disk_works_when_space_returns) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    auto& disk = world.machine.disk();
    disk.set_capacity(disk.used_bytes());
    world.create_topic("orders");
    auto* partition = world.partition("orders");
    ASSERT_NE(partition, nullptr);
    if (!partition->log()) {
        EXPECT_EQ(world.produce(partition, {"a"}), ErrorCode::kafka_storage_error);
        disk.set_capacity(1u << 30);
        world.wait([&] { return partition->log() != nullptr; });
    }
    disk.set_capacity(1u << 30);
    EXPECT_EQ(world.produce(partition, {"a"}), ErrorCode::none);
}

TEST(Partitions, a_failed_sync_takes_the_directory_offline) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 2, {{"flush.messages", "1"}});
    auto* partition = world.partition("orders");
    ASSERT_EQ(world.produce(partition, {"a"}), ErrorCode::none);
    world.machine.disk().faults.sync_errors_per_million = 1'000'000;
    EXPECT_EQ(world.produce(partition, {"b"}), ErrorCode::kafka_storage_error);
    EXPECT_EQ(world.produce(partition, {"c"}), ErrorCode::kafka_storage_error);
    EXPECT_EQ(world.partition("orders", 1)->unavailable(), ErrorCode::kafka_storage_error);
    EXPECT_FALSE(world.partitions->log_directories().front()->online());
    EXPECT_FALSE(world.fatal.empty());
}

TEST(Partitions, a_deleted_topic_goes_after_its_delay) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    const auto id = world.create_topic("orders", 2, {{"file.delete.delay.ms", "60000"}});
    ASSERT_EQ(world.produce(world.partition("orders"), {"a"}), ErrorCode::none);
    const auto kept = world.partitions->find({id, PartitionIndex(0)});
    world.delete_topic(id);
    EXPECT_EQ(world.partitions->topic("orders"), nullptr);
    EXPECT_EQ(world.partitions->partition_count(), 0u);
    EXPECT_TRUE(kept->deleted());
    EXPECT_EQ(kept->unavailable(), ErrorCode::unknown_topic_or_partition);
    const auto deleted_directories = [&] {
        int count = 0;
        for (const auto& name : world.names_in("/data"))
            count += name.starts_with("orders-") && name.ends_with("-delete");
        return count;
    };
    EXPECT_FALSE(world.exists("/data/orders-0"));
    EXPECT_EQ(deleted_directories(), 2);

    // Made again at once, it is another topic.
    world.create_topic("orders", 1);
    EXPECT_EQ(world.values(world.partition("orders")), Values{});
    world.process->clock().advance_policy(Duration::seconds(61));
    world.wait([&] { return deleted_directories() == 0; });
    EXPECT_TRUE(world.exists("/data/orders-0"));
}

TEST(Partitions, what_a_crash_left_of_a_deletion_goes_at_the_next_start) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    const auto id = world.create_topic("orders", 2);
    world.delete_topic(id);
    world.crash(sim::Death::killed);
    ASSERT_TRUE(world.start().ok());
    world.wait([&] {
        for (const auto& name : world.names_in("/data")) {
            if (name.ends_with("-delete")) return false;
        }
        return true;
    });
}

TEST(Partitions, what_the_metadata_does_not_know_is_set_aside) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"a"}), ErrorCode::none);
    world.stop();
    world.image = std::make_shared<metadata::ClusterImage>();
    ASSERT_TRUE(world.start().ok());
    EXPECT_FALSE(world.exists("/data/orders-0"));
    bool stray = false;
    for (const auto& name : world.names_in("/data"))
        stray |= name.starts_with("orders-0.") && name.ends_with("-stray");
    EXPECT_TRUE(stray);
}

TEST(Partitions, a_directory_of_another_topic_of_that_name_is_set_aside) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    ASSERT_EQ(world.produce(world.partition("orders"), {"old"}), ErrorCode::none);
    world.crash(sim::Death::killed);
    world.image = std::make_shared<metadata::ClusterImage>();
    world.create_topic("orders");
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.values(world.partition("orders")), Values{});
    ASSERT_EQ(world.produce(world.partition("orders"), {"new"}), ErrorCode::none);
    EXPECT_EQ(world.values(world.partition("orders")), Values{"new"});
}

TEST(Partitions, settings_take_effect_when_they_change) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders");
    auto* partition = world.partition("orders");
    EXPECT_EQ(world.produce(partition, {std::string(2000, 'x')}), ErrorCode::none);
    world.apply({metadata::Record(DataWorld::setting("orders", "max.message.bytes", "1000"))});
    EXPECT_EQ(world.produce(partition, {std::string(2000, 'x')}), ErrorCode::message_too_large);
    world.apply({metadata::Record(DataWorld::setting("orders", "min.insync.replicas", "2"))});
    // No more are asked for than the partition has.
    EXPECT_EQ(world.produce(partition, {"x"}), ErrorCode::none);
    EXPECT_EQ(world.produce(partition, {"x"}, RequiredAcks::leader), ErrorCode::none);
}

TEST(Partitions, retention_follows_policy_time) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, {{"retention.ms", "3600000"}, {"segment.ms", "600000"}});
    auto* partition = world.partition("orders");
    ASSERT_EQ(world.produce(partition, {"a", "b"}), ErrorCode::none);
    world.process->clock().advance_policy(Duration::seconds(24 * 3600));
    world.wait([&] { return partition->log()->log_start_offset() == Offset(2); });
    EXPECT_EQ(partition->high_watermark(), Offset(2));
}

TEST(Partitions, what_is_dirty_is_flushed_before_it_is_too_much) {
    DataWorld world;
    world.limits.flush_partition_at_bytes = 50'000;
    world.limits.flush_all_at_bytes = 100'000;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 20);
    const std::string value(5000, 'x');
    for (int i = 0; i < 30; ++i)
        ASSERT_EQ(world.produce(world.partition("orders", 0), {value}), ErrorCode::none);
    world.wait([&] { return world.partition("orders", 0)->log()->unflushed_bytes() < 50'000; });
    EXPECT_GT(world.partition("orders", 0)->log()->recovery_point(), Offset(0));
    for (int i = 0; i < 30; ++i) {
        for (int index = 1; index < 20; ++index)
            ASSERT_EQ(world.produce(world.partition("orders", index), {value}), ErrorCode::none);
        world.scheduler.run_for(Duration::milliseconds(2));
    }
    std::int64_t unflushed = 0;
    for (int index = 0; index < 20; ++index)
        unflushed += world.partition("orders", index)->log()->unflushed_bytes();
    EXPECT_LT(unflushed, 300'000);
}

TEST(Partitions, flush_ms_flushes_what_lies_for_so_long) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, {{"flush.ms", "100"}});
    auto* partition = world.partition("orders");
    ASSERT_EQ(world.produce(partition, {"a"}), ErrorCode::none);
    EXPECT_EQ(partition->log()->recovery_point(), Offset(0));
    world.wait([&] { return partition->log()->recovery_point() == Offset(1); });
}

TEST(Partitions, a_wait_ends_when_the_broker_does) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    world.create_topic("orders", 1, {{"flush.messages", "1"}});
    auto* partition = world.partition("orders");
    const auto kept = partition->shared_from_this();
    const auto outcome = partition->append(world.batch({"a"}), RequiredAcks::all, true);
    std::optional<ErrorCode> answer;
    const auto wait = [](std::shared_ptr<Partition> held, Offset end, Instant deadline,
                         std::optional<ErrorCode>* result) -> io::Task<void> {
        const auto error = co_await held->acknowledged(end, true, 0, RequiredAcks::all, deadline);
        *result = error;
    };
    io::detach(
        wait(kept, outcome.end_offset, world.ports->clock.now() + Duration::seconds(60), &answer));
    EXPECT_FALSE(answer);
    world.process->die(sim::Death::killed);
    world.run(world.partitions->kill());
    world.wait([&] { return answer.has_value(); });
    EXPECT_NE(*answer, ErrorCode::none);
}

TEST(Partitions, an_epoch_ends_where_the_log_says_or_where_it_stands) {
    DataWorld world;
    ASSERT_TRUE(world.start().ok());
    const auto id = world.create_topic("orders");
    auto* partition = world.partition("orders");
    using End = replication::EpochEnd;
    EXPECT_EQ(partition->end_of_epoch(LeaderEpoch(0)), (End{LeaderEpoch(0), Offset(0)}));
    EXPECT_EQ(partition->end_of_epoch(LeaderEpoch(1)), std::nullopt);
    ASSERT_EQ(world.produce(partition, {"a", "b"}), ErrorCode::none);
    wire::PartitionChangeRecord change;
    change.topic_id = id;
    change.partition_id = PartitionIndex(0);
    change.leader = BrokerId(0);
    world.apply({metadata::Record(change)});
    ASSERT_EQ(partition->leader_epoch(), LeaderEpoch(1));
    EXPECT_EQ(partition->end_of_epoch(LeaderEpoch(1)), (End{LeaderEpoch(1), Offset(2)}));
    EXPECT_EQ(partition->end_of_epoch(LeaderEpoch(0)), (End{LeaderEpoch(0), Offset(2)}));
    ASSERT_EQ(world.produce(partition, {"c"}), ErrorCode::none);
    EXPECT_EQ(partition->end_of_epoch(LeaderEpoch(1)), (End{LeaderEpoch(1), Offset(3)}));
    EXPECT_EQ(partition->end_of_epoch(LeaderEpoch(0)), (End{LeaderEpoch(0), Offset(2)}));
    EXPECT_EQ(partition->check_leads(LeaderEpoch(0)), ErrorCode::fenced_leader_epoch);
}

}  // namespace
}  // namespace pabal::runtime
