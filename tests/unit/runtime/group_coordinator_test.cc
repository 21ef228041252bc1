// The coordinator of groups on the partitions of one simulated machine: what was acknowledged is
// found again, what could not be written is not pretended.
#include "runtime/group_coordinator.h"

#include <gtest/gtest.h>

#include "group/group_record.h"
#include "record/batch_builder.h"
#include "record/control_record.h"
#include "tests/unit/runtime/data_world.h"

namespace pabal::runtime {
namespace {

class GroupCoordinatorTest : public testing::Test {
protected:
    GroupCoordinatorTest() {
        EXPECT_TRUE(world.start().ok());
        world.create_topic("orders", 4);
        begin();
    }
    ~GroupCoordinatorTest() override { end(); }

    void begin() {
        groups = std::make_unique<GroupCoordinator>(&*world.ports, &world.config,
                                                    world.partitions.get(), &world.log);
        follow();
    }
    void follow() { groups->apply(metadata::ClusterDelta::all_of(*world.image), world.image); }
    void end() {
        if (!groups) return;
        world.run(groups->stop());
        groups.reset();
    }
    // The process dies, and another one finds what is on the disk.
    void restart() {
        end();
        world.crash(sim::Death::killed);
        ASSERT_TRUE(world.start().ok());
        begin();
    }

    ErrorCode commit(const std::string& group, std::int64_t offset, std::string metadata = "") {
        wire::OffsetCommitRequest request;
        request.group_id = group;
        auto& topic = request.topics.emplace_back();
        topic.name = "orders";
        auto& partition = topic.partitions.emplace_back();
        partition.partition_index = PartitionIndex(1);
        partition.committed_offset = Offset(offset);
        partition.committed_metadata = std::move(metadata);
        const auto response = world.run(groups->commit(std::move(request), 9));
        return response.topics.at(0).partitions.at(0).error_code;
    }
    // The heartbeat of the only member of the group "g", whose session is ten seconds long.
    wire::HeartbeatRequest lone_member() {
        wire::JoinGroupRequest join;
        join.group_id = "g";
        join.protocol_type = "consumer";
        join.session_timeout_ms = 10'000;
        join.rebalance_timeout_ms = 10'000;
        join.protocols.push_back({"range", Bytes()});
        group::Joiner joiner;
        joiner.client_id = "client";
        const auto joined = world.run(groups->join(join, joiner));
        EXPECT_EQ(joined.error_code, ErrorCode::none);
        wire::SyncGroupRequest sync;
        sync.group_id = "g";
        sync.member_id = joined.member_id;
        sync.generation_id = joined.generation_id;
        sync.assignments.push_back({joined.member_id, Bytes::copy_of("all")});
        EXPECT_EQ(world.run(groups->sync(sync)).error_code, ErrorCode::none);
        wire::HeartbeatRequest beat;
        beat.group_id = "g";
        beat.member_id = joined.member_id;
        beat.generation_id = joined.generation_id;
        return beat;
    }
    ErrorCode heartbeat(const wire::HeartbeatRequest& beat) {
        io::Gate* parked = nullptr;
        const auto code = world.run(groups->heartbeat(beat, &parked)).error_code;
        EXPECT_EQ(parked, nullptr);
        return code;
    }
    // -1 if nothing was committed; an error as -2.
    std::int64_t committed(const std::string& group) {
        wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
        request.group_id = group;
        auto& topic = request.topics.emplace().emplace_back();
        topic.name = "orders";
        topic.partition_indexes = {PartitionIndex(1)};
        const auto response = world.run(groups->fetch(std::move(request), false));
        if (response.error_code != ErrorCode::none) return -2;
        return response.topics.at(0).partitions.at(0).committed_offset.value();
    }
    static record::KeyValue offset_record(std::int64_t offset) {
        wire::OffsetCommitValue value;
        value.offset = Offset(offset);
        value.commit_timestamp = 1;
        return group::offset_commit_record("g", "orders", PartitionIndex(1), value);
    }
    void append(const record::KeyValue& record, record::BatchOptions options) {
        record::RecordBatchBuilder builder(options);
        builder.append(WallTime{1}, record.key.view(), record.value->view());
        append(builder.build());
    }
    void append(const Bytes& batch) {
        const auto appended = world.partition(group_topic)
                                  ->append_trusted(batch, replication::RequiredAcks::all,
                                                   log::AppendOrigin::coordinator);
        ASSERT_EQ(appended.error, ErrorCode::none);
    }

    DataWorld world;
    std::unique_ptr<GroupCoordinator> groups;
};

TEST_F(GroupCoordinatorTest, groups_belong_to_the_partitions_that_kafka_puts_them_in) {
    // As Kafka 4.3 placed them.
    EXPECT_EQ(coordinating_partition("", 50), PartitionIndex(0));
    EXPECT_EQ(coordinating_partition("classic", 50), PartitionIndex(32));
    EXPECT_EQ(coordinating_partition("consumer", 50), PartitionIndex(22));  // Its hash is negative.
    EXPECT_EQ(coordinating_partition("a", 50), PartitionIndex(97 % 50));
    EXPECT_EQ(coordinating_partition("ab", 50), PartitionIndex((97 * 31 + 98) % 50));
    EXPECT_EQ(coordinating_partition("\xC3\xA4", 50), PartitionIndex(0xE4 % 50));
    EXPECT_EQ(coordinating_partition("\xF0\x9F\x98\x80", 50),
              PartitionIndex((0xD83D * 31 + 0xDE00) % 50));
}

TEST_F(GroupCoordinatorTest, without_its_topic_nothing_is_coordinated_here) {
    EXPECT_EQ(commit("g", 1), ErrorCode::not_coordinator);
    EXPECT_EQ(committed("g"), -2);
}

TEST_F(GroupCoordinatorTest, what_was_acknowledged_is_found_after_a_kill) {
    world.create_topic(std::string(group_topic), 4);
    follow();
    for (int i = 0; i < 20; ++i)
        ASSERT_EQ(commit("group-" + std::to_string(i), i), ErrorCode::none);
    ASSERT_EQ(commit("group-7", 77), ErrorCode::none);
    restart();
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(committed("group-" + std::to_string(i)), i == 7 ? 77 : i);
    EXPECT_EQ(committed("stranger"), -1);
}

TEST_F(GroupCoordinatorTest, a_member_keeps_its_place_over_a_kill_and_loses_it_with_its_session) {
    world.create_topic(std::string(group_topic), 1);
    follow();
    const wire::HeartbeatRequest beat = lone_member();
    restart();
    EXPECT_EQ(heartbeat(beat), ErrorCode::none);
    world.scheduler.run_for(Duration::seconds(20));
    EXPECT_EQ(world.run(groups->describe("g")).group_state, "Empty");
    EXPECT_EQ(heartbeat(beat), ErrorCode::unknown_member_id);
}

TEST_F(GroupCoordinatorTest, a_session_does_not_pass_while_the_coordinator_cannot_load) {
    const TopicId id = world.create_topic(std::string(group_topic), 1);
    follow();
    const wire::HeartbeatRequest beat = lone_member();
    // What is in the log counts once a follower that is away has it, or is out of sync.
    wire::PartitionChangeRecord change;
    change.topic_id = id;
    change.partition_id = PartitionIndex(0);
    change.replicas = {BrokerId(0), BrokerId(1)};
    change.directories = {DirectoryId(), DirectoryId()};
    change.isr = {BrokerId(0), BrokerId(1)};
    world.apply({metadata::Record(change)});
    restart();
    world.scheduler.run_for(Duration::seconds(20));
    const auto* partition = world.partition(group_topic);
    ASSERT_LT(partition->high_watermark(), partition->log()->log_end_offset());
    wire::PartitionChangeRecord alone;
    alone.topic_id = id;
    alone.partition_id = PartitionIndex(0);
    alone.isr = {BrokerId(0)};
    world.apply({metadata::Record(alone)});
    follow();
    world.scheduler.run_for(Duration::seconds(1));
    EXPECT_EQ(heartbeat(beat), ErrorCode::none);
}

TEST_F(GroupCoordinatorTest, of_a_transaction_only_what_was_committed_is_loaded) {
    world.create_topic(std::string(group_topic), 1);
    record::BatchOptions transactional;
    transactional.transactional = true;
    transactional.producer_id = ProducerId(5);
    transactional.producer_epoch = ProducerEpoch(0);
    append(offset_record(10), {});
    append(offset_record(20), transactional);
    append(record::end_transaction_marker(record::ControlRecordType::commit, ProducerId(5),
                                          ProducerEpoch(0), 0, WallTime{1}));
    append(offset_record(30), transactional);
    append(record::end_transaction_marker(record::ControlRecordType::abort, ProducerId(5),
                                          ProducerEpoch(0), 0, WallTime{1}));
    append(offset_record(40), transactional);
    follow();
    EXPECT_EQ(committed("g"), 20);
}

TEST_F(GroupCoordinatorTest, what_cannot_be_written_is_refused_and_forgotten) {
    world.create_topic(std::string(group_topic), 1);
    follow();
    ASSERT_EQ(commit("g", 1), ErrorCode::none);
    auto& disk = world.machine.disk();
    disk.set_capacity(disk.used_bytes() + 10);
    EXPECT_EQ(commit("g", 2, std::string(4'000, 'x')), ErrorCode::not_coordinator);
    EXPECT_EQ(committed("g"), 1);
    disk.set_capacity(1u << 30);
    EXPECT_EQ(commit("g", 3), ErrorCode::none);
    EXPECT_EQ(committed("g"), 3);
}

}  // namespace
}  // namespace pabal::runtime
