#include "group/consumer/metadata_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "metadata/cluster_image.h"
#include "metadata/record.h"

namespace pabal::group {
namespace {

// What libxxhash says of the bytes 3, 10, 17, ...
TEST(MetadataHash, is_xxh3) {
    std::string bytes;
    for (int i = 0; i < 3000; ++i) bytes.push_back(static_cast<char>(i * 7 + 3));
    const std::pair<std::size_t, std::uint64_t> known[] = {
        {0, 0x2d06800538d394c2},    {1, 0x13e608bc156defed},    {3, 0xa9088dda485b481c},
        {4, 0x6d9253b16c8b1ed3},    {8, 0x60539db630471163},    {9, 0xfeff668361d723a8},
        {16, 0xb8c859b0f030b585},   {17, 0x714a04408e79b80f},   {32, 0x19ff4ee1d6ba1a55},
        {33, 0x3e44983ad21679c8},   {64, 0x287eb1fa9e4be2c1},   {65, 0x829218de4d798646},
        {96, 0xf084e7cfbc624743},   {97, 0x1daa83271a8e7b7c},   {128, 0x67425a03650261bf},
        {129, 0xc664bf3311c6abc4},  {200, 0x746cd0025327bf5b},  {240, 0x64556dc6b462a6cf},
        {241, 0x8beadd3a8874fe17},  {256, 0x3c38817f6d79c0da},  {1024, 0x9b81661c641c72b1},
        {1025, 0x806c2072ed713576}, {1088, 0x2f8781e01841f0da}, {2048, 0xabe604813ba62ed1},
        {2049, 0x55aed42c9f1554b6}, {3000, 0xc89178bb873c6b3d}};
    for (const auto& [size, hash] : known)
        EXPECT_EQ(xxh3(as_bytes(std::string_view(bytes).substr(0, size))), hash) << size;
}

// What Kafka 4.3 wrote for a group of this topic.
TEST(MetadataHash, is_that_of_kafka) {
    metadata::ClusterImage image;
    wire::TopicRecord topic;
    topic.name = "t-c514a9";
    const std::uint8_t id[] = {0x5b, 0xf0, 0x15, 0x5e, 0x60, 0x93, 0x47, 0xb8,
                               0x9f, 0xd4, 0x9f, 0x38, 0x9e, 0x64, 0x34, 0xac};
    Uuid uuid;
    std::copy(std::begin(id), std::end(id), uuid.bytes.begin());
    topic.topic_id = TopicId(uuid);
    ASSERT_TRUE(image.replay(metadata::Record(topic), nullptr).ok());
    for (std::int32_t index = 0; index < 4; ++index) {
        wire::PartitionRecord partition;
        partition.topic_id = topic.topic_id;
        partition.partition_id = PartitionIndex(index);
        partition.replicas = {BrokerId(1)};
        partition.isr = {BrokerId(1)};
        partition.leader = BrokerId(1);
        partition.directories = {DirectoryId()};
        ASSERT_TRUE(image.replay(metadata::Record(partition), nullptr).ok());
    }
    EXPECT_EQ(metadata_hash({topic.topic_id}, image), 7814122165261880631);
    EXPECT_EQ(metadata_hash({}, image), 0);
}

}  // namespace
}  // namespace pabal::group
