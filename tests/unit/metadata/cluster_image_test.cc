#include "metadata/cluster_image.h"

#include <gtest/gtest.h>

#include "base/prng.h"
#include "metadata/cluster_delta.h"
#include "metadata/image_loader.h"
#include "metadata/record.h"
#include "metadata/snapshot.h"

namespace pabal::metadata {
namespace {

Record topic(const std::string& name, TopicId id) {
    wire::TopicRecord record;
    record.name = name;
    record.topic_id = id;
    return record;
}
Record partition(TopicId id, std::int32_t index) {
    wire::PartitionRecord record;
    record.topic_id = id;
    record.partition_id = PartitionIndex(index);
    record.replicas = {BrokerId(0), BrokerId(1)};
    record.directories.resize(2);
    record.isr = {BrokerId(0), BrokerId(1)};
    record.leader = BrokerId(0);
    record.leader_epoch = LeaderEpoch(0);
    record.partition_epoch = PartitionEpoch(0);
    return record;
}
Record change_leader(TopicId id, std::int32_t index, std::int32_t leader) {
    wire::PartitionChangeRecord record;
    record.topic_id = id;
    record.partition_id = PartitionIndex(index);
    record.leader = BrokerId(leader);
    return record;
}
Record remove_topic(TopicId id) {
    wire::RemoveTopicRecord record;
    record.topic_id = id;
    return record;
}
Record config(const std::string& name, std::optional<std::string> value) {
    wire::ConfigRecord record;
    record.resource_type = 2;
    record.resource_name = name;
    record.name = "retention.ms";
    record.value = std::move(value);
    return record;
}
Record feature(const std::string& name, std::int16_t level) {
    wire::FeatureLevelRecord record;
    record.name = name;
    record.feature_level = level;
    return record;
}
TopicId new_id(Prng& random) {
    return TopicId(Uuid::random(random));
}

// Two images say the same if the same records rebuild them.
std::vector<Bytes> standing(const ClusterImage& image) {
    std::vector<Bytes> frames;
    for (const Record& record : image.records())
        frames.push_back(encode(record, metadata_version_4_3));
    return frames;
}

// Valid random changes.
class Changes {
public:
    explicit Changes(std::uint64_t seed) : random_(seed) {}

    Record next() {
        if (topics_.empty() || random_.chance(1, 5)) {
            Known known{new_id(random_), "t" + std::to_string(++names_), 0};
            topics_.push_back(known);
            return topic(known.name, known.id);
        }
        const std::size_t at = random_.below(topics_.size());
        Known& known = topics_[at];
        switch (random_.below(5)) {
            case 0:
                if (random_.chance(1, 3)) {
                    const TopicId id = known.id;
                    topics_.erase(topics_.begin() + static_cast<std::ptrdiff_t>(at));
                    return remove_topic(id);
                }
                [[fallthrough]];
            case 1:
                return config(known.name, random_.chance(1, 3)
                                              ? std::nullopt
                                              : std::optional<std::string>("1000"));
            case 2:
                if (known.partitions > 0)
                    return change_leader(known.id,
                                         static_cast<std::int32_t>(random_.below(
                                             static_cast<std::uint64_t>(known.partitions))),
                                         static_cast<std::int32_t>(random_.between(-1, 1)));
                [[fallthrough]];
            default: return partition(known.id, known.partitions++);
        }
    }

private:
    struct Known {
        TopicId id;
        std::string name;
        std::int32_t partitions;
    };
    Prng random_;
    std::vector<Known> topics_;
    int names_ = 0;
};

TEST(ClusterImage, a_published_copy_never_changes) {
    Changes changes(1);
    ClusterImage image;
    std::vector<std::pair<ClusterImage, std::vector<Bytes>>> published;
    for (int step = 0; step < 2000; ++step) {
        ASSERT_TRUE(image.replay(changes.next(), nullptr).ok());
        if (step % 97 == 0) published.emplace_back(image, standing(image));
    }
    for (const auto& [copy, expected] : published) EXPECT_EQ(standing(copy), expected);
}

TEST(ClusterImage, its_records_rebuild_it) {
    Changes changes(2);
    ClusterImage image;
    for (int step = 0; step < 2000; ++step) ASSERT_TRUE(image.replay(changes.next(), nullptr).ok());
    ClusterImage again;
    for (const Record& record : image.records()) ASSERT_TRUE(again.replay(record, nullptr).ok());
    EXPECT_EQ(standing(again), standing(image));
    EXPECT_EQ(again.partition_count(), image.partition_count());
}

// A subscriber that looks only at what the deltas name ends up with the whole image.
TEST(ClusterImage, deltas_name_all_that_changed) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        Changes changes(seed);
        Prng random(seed);
        ClusterImage image;
        std::map<TopicId, TopicImage> mirror;
        std::map<std::string, ConfigMap> settings;
        ClusterDelta delta;
        for (int step = 0; step < 500; ++step) {
            ClusterDelta one;
            ASSERT_TRUE(image.replay(changes.next(), &one).ok());
            delta.merge(std::move(one));
            if (random.chance(4, 5)) continue;
            for (const auto& [id, change] : delta.topics) {
                if (change.deleted) {
                    EXPECT_TRUE(change.before && mirror.contains(id));
                    mirror.erase(id);
                    continue;
                }
                auto now = image.topic(id);
                ASSERT_TRUE(now);
                EXPECT_EQ(change.created(), !mirror.contains(id));
                TopicImage& copy = mirror[id];
                copy.id = id;
                copy.name = now->name;
                copy.partitions.resize(now->partitions.size());
                for (PartitionIndex index : change.partitions)
                    copy.partitions[static_cast<std::size_t>(index.value())] =
                        *now->partition(index);
            }
            for (const ConfigResource& resource : delta.configs)
                settings[resource.name] = image.config(resource.type, resource.name);
            delta = ClusterDelta();
            ASSERT_EQ(mirror.size(), image.topic_count());
            for (const auto& topic : image.topics()) ASSERT_EQ(mirror[topic->id], *topic);
            for (const auto& [name, values] : settings)
                ASSERT_EQ(values, image.config(ResourceType::topic, name));
        }
    }
}

TEST(ClusterImage, naming_the_same_leader_again_begins_an_epoch) {
    Prng random(1);
    const TopicId id = new_id(random);
    ClusterImage image;
    ASSERT_TRUE(image.replay(topic("t", id), nullptr).ok());
    ASSERT_TRUE(image.replay(partition(id, 0), nullptr).ok());
    ASSERT_TRUE(image.replay(change_leader(id, 0, 0), nullptr).ok());
    EXPECT_EQ(image.topic("t")->partitions[0].leader_epoch, LeaderEpoch(1));
    ASSERT_TRUE(image.replay(change_leader(id, 0, -2), nullptr).ok());
    EXPECT_EQ(image.topic("t")->partitions[0].leader_epoch, LeaderEpoch(1));
    EXPECT_EQ(image.topic("t")->partitions[0].partition_epoch, PartitionEpoch(2));
}

TEST(ClusterImage, a_log_that_contradicts_itself_is_refused) {
    Prng random(1);
    const TopicId id = new_id(random);
    ClusterImage image;
    EXPECT_FALSE(image.replay(partition(id, 0), nullptr).ok());
    EXPECT_FALSE(image.replay(remove_topic(id), nullptr).ok());
    ASSERT_TRUE(image.replay(topic("t", id), nullptr).ok());
    EXPECT_FALSE(image.replay(topic("t", new_id(random)), nullptr).ok());
    EXPECT_FALSE(image.replay(topic("other", id), nullptr).ok());
    EXPECT_FALSE(image.replay(partition(id, 1), nullptr).ok());
    EXPECT_FALSE(image.replay(change_leader(id, 0, 1), nullptr).ok());
}

TEST(ClusterImage, a_later_metadata_version_is_refused_by_name) {
    ClusterImage image;
    auto replayed = image.replay(feature("metadata.version", 31), nullptr);
    ASSERT_FALSE(replayed.ok());
    EXPECT_EQ(replayed.error().code, ErrorCode::unsupported_version);
    EXPECT_NE(replayed.error().message.find("31"), std::string::npos);
}

TEST(ImageLoader, a_metadata_transaction_shows_at_its_end_or_never) {
    Prng random(1);
    const TopicId id = new_id(random);
    ImageLoader loader;
    std::int64_t offset = 0;
    auto replay = [&](Record record) {
        ASSERT_TRUE(loader.replay(record, Offset(offset++), LeaderEpoch(1), WallTime{1}).ok());
    };
    replay(wire::BeginTransactionRecord());
    replay(topic("t", id));
    EXPECT_FALSE(loader.image().topic("t"));
    EXPECT_TRUE(loader.take_delta().empty());
    replay(partition(id, 0));
    replay(wire::EndTransactionRecord());
    EXPECT_TRUE(loader.image().topic("t"));
    EXPECT_TRUE(loader.take_delta().topics.contains(id));

    replay(wire::BeginTransactionRecord());
    replay(remove_topic(id));
    replay(wire::AbortTransactionRecord());
    EXPECT_TRUE(loader.image().topic("t"));
    EXPECT_TRUE(loader.take_delta().empty());

    replay(wire::BeginTransactionRecord());
    replay(remove_topic(id));
    loader.abandon_transaction();
    EXPECT_TRUE(loader.image().topic("t"));
    EXPECT_FALSE(
        loader.replay(wire::EndTransactionRecord(), Offset(offset), LeaderEpoch(1), WallTime{1})
            .ok());
}

TEST(Record, what_a_later_kafka_wrote_is_refused_with_its_number) {
    auto refuse = [](std::vector<std::uint8_t> bytes) {
        return decode(Bytes::copy_of(ByteView(bytes)));
    };
    auto kind = refuse({1, 99, 0, 0});
    ASSERT_FALSE(kind.ok());
    EXPECT_EQ(kind.error().code, ErrorCode::unsupported_version);
    EXPECT_NE(kind.error().message.find("99"), std::string::npos);
    auto version = refuse({1, 2, 9, 0});
    ASSERT_FALSE(version.ok());
    EXPECT_NE(version.error().message.find("TOPIC_RECORD"), std::string::npos);
    EXPECT_FALSE(refuse({2, 2, 0}).ok());
    EXPECT_FALSE(refuse({}).ok());
    EXPECT_FALSE(refuse({1, 20, 0, 0, 7}).ok());
}

TEST(Record, every_truncation_of_a_record_is_refused) {
    Prng random(1);
    const Bytes frame = encode(partition(new_id(random), 3), metadata_version_4_3);
    ASSERT_TRUE(decode(frame).ok());
    for (std::size_t length = 0; length < frame.size(); ++length)
        EXPECT_FALSE(decode(frame.slice(0, length)).ok()) << length;
}

// The frame of a FeatureLevelRecord as Kafka 4.3 wrote it when it formatted a directory.
TEST(Record, has_kafkas_frame) {
    const std::uint8_t kafka[] = {1,   12,  0,   17,  'm', 'e', 't', 'a', 'd', 'a', 't', 'a',
                                  '.', 'v', 'e', 'r', 's', 'i', 'o', 'n', 0,   30,  0};
    const Bytes frame = encode(feature("metadata.version", 30), metadata_version_4_3);
    EXPECT_EQ(frame, Bytes::copy_of(ByteView(kafka)));
}

TEST(Snapshot, round_trip_and_names) {
    Changes changes(3);
    ClusterImage image;
    for (int step = 0; step < 5000; ++step) ASSERT_TRUE(image.replay(changes.next(), nullptr).ok());
    const std::vector<Bytes> records = standing(image);
    std::string file;
    for (const Bytes& batch :
         snapshot_batches(records, LeaderEpoch(7), WallTime{123}, WallTime{456}))
        file.append(batch.text());
    std::vector<Bytes> read;
    auto header = read_snapshot(Bytes::copy_of(file), [&](Bytes record) {
        read.push_back(std::move(record));
        return Status();
    });
    ASSERT_TRUE(header.ok()) << header.error().message;
    EXPECT_EQ(header->last_contained.milliseconds, 123);
    EXPECT_EQ(read, records);

    // Cut anywhere it is no snapshot; one flipped bit shows.
    auto ignore = [](Bytes) { return Status(); };
    for (std::size_t length = 0; length < file.size(); length += 61)
        EXPECT_FALSE(read_snapshot(Bytes::copy_of(file.substr(0, length)), ignore).ok());
    for (std::size_t at = 20; at < file.size(); at += 977) {
        std::string damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ 4);
        EXPECT_FALSE(read_snapshot(Bytes::copy_of(damaged), ignore).ok()) << at;
    }

    const SnapshotId id{Offset(42), LeaderEpoch(7)};
    EXPECT_EQ(id.file_name(), "00000000000000000042-0000000007.checkpoint");
    EXPECT_EQ(SnapshotId::parse(id.file_name()), id);
    EXPECT_FALSE(SnapshotId::parse("00000000000000000042-0000000007.checkpoint.part"));
    EXPECT_FALSE(SnapshotId::parse("bootstrap.checkpoint"));
}

TEST(ClusterDelta, between_two_images_tells_what_came_went_and_stayed) {
    auto topic = [](const char* name, const char* id) {
        Record record;
        wire::TopicRecord content;
        content.name = name;
        content.topic_id = TopicId(*Uuid::parse(id));
        record.content = content;
        return record;
    };
    const Record kept = topic("kept", "AAAAAAAAAAAAAAAAAAAAAg");
    const Record gone = topic("gone", "AAAAAAAAAAAAAAAAAAAAAw");
    const Record made = topic("made", "AAAAAAAAAAAAAAAAAAAABA");
    ClusterImage before;
    ASSERT_TRUE(before.replay(kept, nullptr).ok());
    ASSERT_TRUE(before.replay(gone, nullptr).ok());
    ClusterImage after;
    ASSERT_TRUE(after.replay(kept, nullptr).ok());
    ASSERT_TRUE(after.replay(made, nullptr).ok());
    const ClusterDelta delta = ClusterDelta::between(before, after);
    ASSERT_EQ(delta.topics.size(), 3u);
    const auto& of_gone = delta.topics.at(before.topic("gone")->id);
    EXPECT_TRUE(of_gone.deleted);
    EXPECT_EQ(of_gone.before->name, "gone");
    EXPECT_TRUE(delta.topics.at(after.topic("made")->id).created());
    const auto& of_kept = delta.topics.at(after.topic("kept")->id);
    EXPECT_FALSE(of_kept.deleted);
    EXPECT_FALSE(of_kept.created());
}

}  // namespace
}  // namespace pabal::metadata
