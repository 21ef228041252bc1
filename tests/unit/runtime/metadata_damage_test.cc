// The metadata log and its snapshots on a disk that rots: a node that cannot find everything it
// once confirmed refuses to start, and says where.
#include <gtest/gtest.h>

#include "io/disk.h"
#include "metadata/snapshot.h"
#include "record/record_batch.h"
#include "runtime/synced_mark.h"
#include "tests/unit/runtime/metadata_world.h"
#include "wire/create_topics.h"

namespace pabal::runtime {
namespace {

const std::string metadata = "/data/__cluster_metadata-0";
const std::string first_segment = metadata + "/00000000000000000000.log";

void create_topics(MetadataWorld& world, int count) {
    for (int i = 0; i < count; ++i) {
        wire::CreateTopicsRequest request;
        auto& topic = request.topics.emplace_back();
        topic.name = "topic-" + std::to_string(i);
        topic.num_partitions = 1;
        topic.replication_factor = 1;
        auto response = world.run<wire::CreateTopicsResponse>(
            [&] { return world.controller().answer(request, 7, CallContext()); });
        ASSERT_EQ(response.topics.at(0).error_code, ErrorCode::none);
    }
}

struct Place {
    std::uint64_t position;
    std::uint64_t size;
    Offset offset;
};

// The batches of a file of the machine's disk.
std::vector<Place> batches_of(MetadataWorld& world, const std::string& path) {
    world.boot();
    auto content = io::read_file(world.ports().disk, path, 1 << 20);
    EXPECT_TRUE(content.ok());
    world.kill();
    std::vector<Place> places;
    const Bytes bytes = Bytes::copy_of(*content);
    record::BatchWalker walker(bytes);
    for (std::uint64_t position = 0;;) {
        auto batch = walker.next();
        if (!batch.ok() || !*batch) return places;
        places.push_back({position, (*batch)->size(), (*batch)->base_offset()});
        position += (*batch)->size();
    }
}

void expect_refusal(MetadataWorld& world, const std::string& file, Offset offset) {
    auto started = world.start();
    ASSERT_FALSE(started.ok()) << file << " was damaged at offset " << offset.value();
    EXPECT_EQ(started.error().code, ErrorCode::kafka_storage_error);
    EXPECT_NE(started.error().message.find(file), std::string::npos) << started.error().message;
    EXPECT_NE(started.error().message.find("offset " + std::to_string(offset.value())),
              std::string::npos)
        << started.error().message;
    world.kill();
}

TEST(MetadataDamage, of_any_batch_stops_the_start_after_a_kill) {
    for (const std::size_t chosen : {0, 1, 4, 9, 99}) {
        MetadataWorld world;
        ASSERT_TRUE(world.start().ok());
        create_topics(world, 10);
        world.kill();
        const auto batches = batches_of(world, first_segment);
        ASSERT_GT(batches.size(), 10u);
        const Place batch = batches[std::min(chosen, batches.size() - 1)];
        ASSERT_TRUE(world.machine().disk().rot(first_segment, batch.position + 70, 3).ok());
        expect_refusal(world, first_segment, batch.offset);
        // Nothing was changed: with the bit put right all is there.
        ASSERT_TRUE(world.machine().disk().rot(first_segment, batch.position + 70, 3).ok());
        auto started = world.start();
        ASSERT_TRUE(started.ok()) << started.error().message;
        EXPECT_TRUE(world.image().topic("topic-9"));
    }
}

TEST(MetadataDamage, below_what_was_synced_stops_the_start_after_a_loss_of_power) {
    int refused = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        MetadataWorld world(seed);
        ASSERT_TRUE(world.start().ok());
        create_topics(world, 10);
        world.kill(sim::Death::power_lost);
        world.boot();
        const auto mark = SyncedMark(&world.ports().disk, metadata).read();
        ASSERT_TRUE(mark.ok());
        world.kill();
        // Nobody synced the mark: some of these losses took it back, or the whole of it.
        if (!*mark) continue;
        EXPECT_FALSE((*mark)->stayed_up);
        for (const Place& batch : batches_of(world, first_segment)) {
            if (batch.offset >= (*mark)->end) break;
            ASSERT_TRUE(world.machine().disk().rot(first_segment, batch.position + 70, 3).ok());
            expect_refusal(world, first_segment, batch.offset);
            ASSERT_TRUE(world.machine().disk().rot(first_segment, batch.position + 70, 3).ok());
            ++refused;
        }
        ASSERT_TRUE(world.start().ok());
    }
    EXPECT_GT(refused, 30);
}

TEST(MetadataDamage, a_lost_end_stops_the_start_until_the_mark_is_removed) {
    MetadataWorld world;
    ASSERT_TRUE(world.start().ok());
    create_topics(world, 10);
    world.kill();
    const auto batches = batches_of(world, first_segment);
    world.boot();
    auto file = world.ports().disk.open(first_segment, io::OpenMode::read_write);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->truncate(batches.back().position).ok());
    world.kill();
    expect_refusal(world, first_segment, batches.back().offset);
    auto started = world.start();
    ASSERT_FALSE(started.ok());
    EXPECT_NE(started.error().message.find("pabal-synced"), std::string::npos);
    world.kill();
    world.boot();
    ASSERT_TRUE(world.ports().disk.remove(metadata + "/pabal-synced").ok());
    world.kill();
    started = world.start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    EXPECT_TRUE(world.image().topic("topic-8"));
    EXPECT_FALSE(world.image().topic("topic-9"));
}

// A quorum of one runs, and ends in order.
void write_forty_records(MetadataWorld* world, const QuorumOptions& options) {
    world->boot();
    {
        Quorum quorum(world->ports(), options);
        ASSERT_TRUE(quorum.open().ok());
        ASSERT_TRUE(quorum.start().ok());
        for (int i = 0; i < 40; ++i) ASSERT_TRUE(quorum.propose({Bytes::copy_of("record")}).ok());
        ASSERT_TRUE(world->wait([&] { return quorum.high_watermark() > Offset(40); }));
        world->finish([&] { return quorum.stop(); });
    }
    world->kill();
}

TEST(MetadataDamage, of_an_earlier_segment_stops_the_start) {
    MetadataWorld world;
    const QuorumOptions options{"/data", BrokerId(0), 2000};
    ASSERT_NO_FATAL_FAILURE(write_forty_records(&world, options));
    const auto batches = batches_of(world, first_segment);
    ASSERT_GT(batches.size(), 4u);
    ASSERT_LT(batches.size(), 40u);
    ASSERT_TRUE(world.machine().disk().rot(first_segment, batches[3].position + 65, 3).ok());
    world.boot();
    Quorum quorum(world.ports(), options);
    const auto opened = quorum.open();
    ASSERT_FALSE(opened.ok());
    EXPECT_NE(opened.error().message.find(first_segment + " is damaged at offset " +
                                          std::to_string(batches[3].offset.value())),
              std::string::npos)
        << opened.error().message;
}

// A follower whose log parted from its leader's fetched the leader's snapshot, and died before it
// gave that log up: what stands behind the snapshot's end is of another history.
TEST(Metadata, of_another_history_does_not_follow_a_fetched_snapshot) {
    MetadataWorld world;
    const QuorumOptions options{"/data", BrokerId(0), 2000};
    ASSERT_NO_FATAL_FAILURE(write_forty_records(&world, options));
    world.boot();
    const metadata::SnapshotId id{Offset(20), LeaderEpoch(9)};
    std::string content;
    for (const Bytes& batch : metadata::snapshot_batches({}, id.epoch, WallTime{1}, WallTime{1}))
        content.append(batch.text());
    ASSERT_TRUE(
        io::replace_file(world.ports().disk, metadata + "/" + id.file_name(), content).ok());
    for (int start = 0; start < 2; ++start) {
        Quorum quorum(world.ports(), options);
        const auto opened = quorum.open();
        ASSERT_TRUE(opened.ok()) << opened.error().message;
        EXPECT_EQ(quorum.log_start_offset(), Offset(20));
        EXPECT_EQ(quorum.log_end_offset(), Offset(20));
    }
}

TEST(MetadataDamage, of_a_snapshot_stops_the_start) {
    MetadataWorld world(1, {{"metadata.log.max.record.bytes.between.snapshots", "10000"}});
    ASSERT_TRUE(world.start().ok());
    create_topics(world, 80);
    ASSERT_TRUE(
        world.wait([&] { return world.controller().quorum().latest_snapshot().has_value(); }));
    const std::string path =
        metadata + "/" + world.controller().quorum().latest_snapshot()->file_name();
    world.stop();
    ASSERT_TRUE(world.machine().disk().rot(path, 1000, 3).ok());
    auto started = world.start();
    ASSERT_FALSE(started.ok());
    EXPECT_NE(started.error().message.find(path), std::string::npos) << started.error().message;
    world.kill();
}

}  // namespace
}  // namespace pabal::runtime
