// Positions: whose they are told to be, and how much may be said with them.
#include <gtest/gtest.h>

#include "group/shard.h"

namespace pabal::group {
namespace {

TopicId topic_id(std::uint8_t byte) {
    Uuid id;
    id.bytes[0] = byte;
    return TopicId(id);
}

ErrorCode commit(Shard* shard, const std::string& metadata, TopicId id) {
    wire::OffsetCommitRequest request;
    request.group_id = "g";
    request.generation_id_or_member_epoch = -1;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    topic.topic_id = id;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = PartitionIndex(0);
    partition.committed_offset = Offset(7);
    partition.committed_metadata = metadata;
    Effects effects;
    const auto response = shard->commit(request, 10, Moment(), &effects);
    return response.topics[0].partitions[0].error_code;
}

Offset fetch(const Shard& shard, TopicId id) {
    wire::OffsetFetchRequest::OffsetFetchRequestGroup request;
    request.group_id = "g";
    auto& topic = request.topics.emplace().emplace_back();
    topic.name = "t";
    topic.topic_id = id;
    topic.partition_indexes = {PartitionIndex(0)};
    return shard.fetch(request, false).topics[0].partitions[0].committed_offset;
}

TEST(GroupOffsets, of_a_topic_that_had_the_name_before_are_not_told) {
    Settings settings;
    Shard shard(&settings, Prng(1));
    EXPECT_EQ(commit(&shard, "", topic_id(1)), ErrorCode::none);
    EXPECT_EQ(fetch(shard, topic_id(1)), Offset(7));
    EXPECT_EQ(fetch(shard, topic_id(2)), Offset(-1));
    // Who asks by name does not say which.
    EXPECT_EQ(fetch(shard, TopicId()), Offset(7));
    // Older clients did not say which when they committed.
    EXPECT_EQ(commit(&shard, "", TopicId()), ErrorCode::none);
    EXPECT_EQ(fetch(shard, topic_id(2)), Offset(7));
}

TEST(GroupOffsets, metadata_is_as_long_as_kafka_counts_it) {
    Settings settings;
    settings.offset_metadata_max_bytes = 4;
    Shard shard(&settings, Prng(1));
    EXPECT_EQ(commit(&shard, "\u00fc\u00fc\u00fc\u00fc", TopicId()), ErrorCode::none);
    EXPECT_EQ(commit(&shard, "\u00fc\u00fc\u00fc\u00fc!", TopicId()),
              ErrorCode::offset_metadata_too_large);
    EXPECT_EQ(commit(&shard, "\U0001F680\U0001F680", TopicId()), ErrorCode::none);
    EXPECT_EQ(commit(&shard, "\U0001F680\U0001F680!", TopicId()),
              ErrorCode::offset_metadata_too_large);
}

}  // namespace
}  // namespace pabal::group
