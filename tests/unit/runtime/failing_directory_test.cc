// A broker with two log directories, of which one fails.
#include <gtest/gtest.h>

#include "tests/unit/runtime/data_world.h"
#include "wire/records/partition_change_record.h"

namespace pabal::runtime {
namespace {

using Values = std::vector<std::string>;

DirectoryId directory_id(std::uint8_t first, std::uint8_t last) {
    Uuid id;
    id.bytes.front() = first;
    id.bytes.back() = last;
    return DirectoryId(id);
}

const DirectoryId first_id = directory_id(7, 6);
const DirectoryId second_id = directory_id(7, 7);

// Two partitions, one in each directory.
class FailingDirectory : public testing::Test {
protected:
    FailingDirectory() {
        world.data_id = first_id;
        LogDirectory second;
        second.path = "/more";
        second.id = second_id;
        world.more_directories.push_back(second);
        EXPECT_TRUE(world.start().ok());
        topic = world.create_topic("orders", 2);
        EXPECT_EQ(world.produce(first(), {"a"}), ErrorCode::none);
        EXPECT_EQ(world.produce(second_one(), {"b"}), ErrorCode::none);
    }
    Partition* first() { return world.partition("orders", 0); }
    Partition* second_one() { return world.partition("orders", 1); }
    LogDirectory& second_directory() { return *world.partitions->log_directories()[1]; }
    void break_second() { world.machine.disk().faults.broken_path = "/more"; }
    void mend() { world.machine.disk().faults.broken_path.clear(); }

    void expect_only_the_second_failed() {
        world.wait([&] { return !second_directory().online(); });
        EXPECT_EQ(world.failed, std::vector{second_id});
        EXPECT_EQ(second_one()->unavailable(), ErrorCode::kafka_storage_error);
        EXPECT_TRUE(world.fatal.empty());
        EXPECT_EQ(world.produce(first(), {"c"}), ErrorCode::none);
        EXPECT_EQ(world.values(first()), (Values{"a", "c"}));
    }
    // The metadata says where the replicas lie, as the controller would once it was told.
    void assign(std::int32_t index, DirectoryId directory) {
        wire::PartitionChangeRecord change;
        change.topic_id = topic;
        change.partition_id = PartitionIndex(index);
        change.directories = {directory};
        world.apply({metadata::Record(change)});
    }

    DataWorld world;
    TopicId topic;
};

TEST_F(FailingDirectory, partitions_tell_where_they_lie) {
    EXPECT_EQ(first()->directory()->path, "/data");
    EXPECT_EQ(second_one()->directory()->path, "/more");
    const TopicPartition one{topic, PartitionIndex(0)}, other{topic, PartitionIndex(1)};
    const std::map<TopicPartition, DirectoryId> told{{one, first_id}, {other, second_id}};
    EXPECT_EQ(world.placed, told);
    world.placed.clear();
    assign(0, first_id);
    assign(1, second_id);
    world.crash(sim::Death::killed);
    ASSERT_TRUE(world.start().ok());
    EXPECT_TRUE(world.placed.empty()) << "they lie where the metadata says";
}

TEST_F(FailingDirectory, a_write_that_fails_takes_it_offline) {
    break_second();
    EXPECT_EQ(world.produce(second_one(), {"x"}), ErrorCode::kafka_storage_error);
    expect_only_the_second_failed();
}

TEST_F(FailingDirectory, a_read_that_fails_takes_it_offline) {
    // What is cached needs no disk: the search reads the file.
    break_second();
    const auto found = second_one()->log()->find_max_timestamp(Offset(1));
    const auto outcome =
        second_one()->read({Offset(0)}, replication::Isolation::read_uncommitted, 1 << 20, true);
    if (found.ok() && outcome.error == ErrorCode::none) {
        EXPECT_EQ(world.produce(second_one(), {"x"}), ErrorCode::kafka_storage_error);
    }
    expect_only_the_second_failed();
}

TEST_F(FailingDirectory, one_that_nobody_uses_is_found_to_have_failed) {
    break_second();
    expect_only_the_second_failed();
}

TEST_F(FailingDirectory, lack_of_room_takes_nothing_offline) {
    auto& disk = world.machine.disk();
    disk.set_capacity(disk.used_bytes() + 100);
    const std::string large(100'000, 'x');
    EXPECT_EQ(world.produce(second_one(), {large}), ErrorCode::kafka_storage_error);
    disk.set_capacity(1u << 30);
    world.wait([&] { return second_one()->log() != nullptr; });
    EXPECT_EQ(world.produce(second_one(), {"c"}), ErrorCode::none);
    EXPECT_TRUE(world.failed.empty());
}

TEST_F(FailingDirectory, what_lies_in_it_is_not_made_anew_elsewhere) {
    assign(0, first_id);
    assign(1, second_id);
    world.crash(sim::Death::killed);
    // Unreadable from the start: not even its id is known.
    world.more_directories[0].failure = "the disk is gone";
    world.more_directories[0].id = DirectoryId();
    world.placed.clear();
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.values(first()), Values{"a"});
    EXPECT_EQ(second_one()->unavailable(), ErrorCode::kafka_storage_error);
    EXPECT_FALSE(world.exists("/data/orders-1"));
    EXPECT_TRUE(world.placed.empty());
    world.stop();

    world.more_directories[0].failure.clear();
    world.more_directories[0].id = second_id;
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(world.values(second_one()), Values{"b"});
}

TEST_F(FailingDirectory, new_topics_go_where_there_is_a_disk) {
    break_second();
    expect_only_the_second_failed();
    world.create_topic("later", 4);
    for (std::int32_t index = 0; index < 4; ++index) {
        EXPECT_EQ(world.partition("later", index)->directory()->path, "/data");
        EXPECT_EQ(world.produce(world.partition("later", index), {"v"}), ErrorCode::none);
    }
}

TEST_F(FailingDirectory, a_damaged_replica_is_reported_lost) {
    for (int i = 0; i < 20; ++i)
        ASSERT_EQ(world.produce(second_one(), {"value " + std::to_string(i)}), ErrorCode::none);
    world.crash(sim::Death::killed);
    const std::string file = "/more/orders-1/00000000000000000000.log";
    ASSERT_TRUE(world.machine.disk().rot(file, 500, 2).ok());
    ASSERT_TRUE(world.start().ok());
    EXPECT_EQ(second_one()->unavailable(), ErrorCode::kafka_storage_error);
    EXPECT_EQ(world.placed.at({topic, PartitionIndex(1)}), directory_id(0, 1));
    EXPECT_TRUE(second_directory().online());
}

}  // namespace
}  // namespace pabal::runtime
