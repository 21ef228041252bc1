// Bytes computed by hand from the protocol guide, so that the codec is not only its own witness.
#include <gtest/gtest.h>

#include "wire/api_table.h"
#include "wire/api_versions.h"
#include "wire/fetch.h"
#include "wire/header.h"
#include "wire/metadata.h"
#include "wire/produce.h"
#include "wire/reader.h"
#include "wire/records/topic_record.h"
#include "wire/writer.h"

namespace pabal::wire {
namespace {

std::string hex(const Bytes& bytes) {
    std::string text;
    for (const std::uint8_t byte : bytes) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", byte);
        text += two;
    }
    return text;
}

template <class M>
std::string encoded(const M& message, int version) {
    Writer writer;
    encode(writer, message, version);
    return hex(*writer.take().flatten());
}

TEST(Golden, ApiVersionsRequestHeaderIsNeverCompact) {
    Writer writer;
    begin_request(writer, *find_api(ApiKey::api_versions), 3, 7, "cli");
    ApiVersionsRequest request;
    request.client_software_name = "ab";
    request.client_software_version = "1";
    encode(writer, request, 3);
    EXPECT_EQ(hex(*writer.take().flatten()),
              "00000014"  // Length of what follows.
              "0012"
              "0003"      // ApiVersions, version 3.
              "00000007"  // Correlation id.
              "0003"
              "636c69"  // "cli", with a length of two bytes although version 3 is flexible.
              "00"      // No tagged fields.
              "03"
              "6162"  // "ab", compact.
              "02"
              "31"  // "1", compact.
              "00");
}

TEST(Golden, ApiVersionsResponseHeaderIsNeverFlexible) {
    const ApiRow& row = *find_api(ApiKey::api_versions);
    EXPECT_EQ(response_header_version(row, 0), 0);
    EXPECT_EQ(response_header_version(row, 4), 0);
    EXPECT_EQ(response_header_version(*find_api(ApiKey::fetch), 11), 0);
    EXPECT_EQ(response_header_version(*find_api(ApiKey::fetch), 12), 1);
    EXPECT_EQ(request_header_version(*find_api(ApiKey::fetch), 11), 1);
    EXPECT_EQ(request_header_version(*find_api(ApiKey::fetch), 12), 2);
}

TEST(Golden, ApiVersionsResponseKeepsTagsInOrderAndLeavesOutDefaults) {
    ApiVersionsResponse response;
    response.api_keys.push_back({0, 0, 13});
    response.zk_migration_ready = false;
    response.finalized_features_epoch = 5;
    response.finalized_features.push_back({"f", 2, 1});
    EXPECT_EQ(encoded(response, 3),
              "0000"  // No error.
              "02"
              "0000"
              "0000"
              "000d"
              "00"        // One API, and its own tagged fields.
              "00000000"  // Throttle time.
              "02"        // Two tagged fields: 1 and 2.
              "01"
              "08"
              "0000000000000005"
              "02"
              "08"
              "02"
              "02"
              "66"
              "0002"
              "0001"
              "00");
    EXPECT_EQ(encoded(response, 0),
              "0000"
              "00000001"
              "0000"
              "0000"
              "000d");
}

TEST(Golden, MetadataRequestTellsAllTopicsFromNone) {
    MetadataRequest request;
    request.topics.emplace();
    EXPECT_EQ(encoded(request, 1), "00000000");
    request.topics.reset();
    EXPECT_EQ(encoded(request, 1), "ffffffff");
    EXPECT_EQ(encoded(request, 9),
              "00"
              "01"
              "00"
              "00"
              "00");
}

TEST(Golden, ProduceRequestVersion9) {
    ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = 30000;
    auto& topic = request.topic_data.emplace_back();
    topic.name = "t";
    auto& partition = topic.partition_data.emplace_back();
    partition.index = PartitionIndex(3);
    partition.records = Rope(Bytes::copy_of("xyz"));
    EXPECT_EQ(encoded(request, 9),
              "00"  // No transactional id.
              "ffff"
              "00007530"  // acks, time-out.
              "02"
              "02"
              "74"  // One topic, "t".
              "02"
              "00000003"  // One partition.
              "04"
              "78797a"  // Three bytes of records.
              "00"
              "00"
              "00");  // No tagged fields: partition, topic, request.
}

TEST(Golden, TopicRecordOfTheMetadataLog) {
    TopicRecord record;
    record.name = "foo";
    record.topic_id.value();
    EXPECT_EQ(encoded(record, 0),
              "04"
              "666f6f"
              "00000000000000000000000000000000"
              "00");
    EXPECT_EQ(TopicRecord::api_key, 2);
}

TEST(Golden, RecordsAreAttachedNotCopied) {
    const Bytes batch(Buffer(100'000));
    FetchResponse response;
    auto& partition = response.responses.emplace_back().partitions.emplace_back();
    partition.records = Rope(batch);
    Writer writer;
    encode(writer, response, 12);
    const Rope rope = writer.take();
    ASSERT_EQ(rope.pieces().size(), 3u);
    EXPECT_EQ(std::get<Bytes>(rope.pieces()[1]).data(), batch.data());
}

TEST(Golden, DecodedRecordsAreASliceOfTheFrame) {
    ProduceRequest request;
    auto& partition = request.topic_data.emplace_back().partition_data.emplace_back();
    partition.records = Rope(Bytes(Buffer(5000)));
    Writer writer;
    encode(writer, request, 12);
    const Bytes frame = *writer.take().flatten();
    Reader reader(frame);
    ProduceRequest again;
    ASSERT_TRUE(decode(reader, again, 12).ok());
    const Rope& records = *again.topic_data.at(0).partition_data.at(0).records;
    ASSERT_EQ(records.pieces().size(), 1u);
    const std::uint8_t* data = std::get<Bytes>(records.pieces()[0]).data();
    EXPECT_TRUE(data > frame.data() && data < frame.data() + frame.size());
}

TEST(Golden, ErrorsNameTheFieldAndThePosition) {
    ProduceRequest request;
    request.topic_data.emplace_back().name = "a";
    auto& topic = request.topic_data.emplace_back();
    topic.name = "b";
    topic.partition_data.emplace_back().records = Rope(Bytes::copy_of("0123456789"));
    Writer writer;
    encode(writer, request, 3);
    const Bytes frame = *writer.take().flatten();
    Reader reader(frame.slice(0, frame.size() - 1));
    ProduceRequest again;
    const Status status = decode(reader, again, 3);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().message,
              "ProduceRequest version 3: topic_data[1].partition_data[0].records at byte 34: "
              "10 bytes are announced, but 9 are left");
}

TEST(Golden, UnknownTaggedFieldsAreSkipped) {
    // ApiVersionsRequest version 3 with tags 0 and 9, of one and two bytes.
    const Bytes frame =
        Bytes::copy_of(std::string_view("\x02"
                                        "a"
                                        "\x02"
                                        "b"
                                        "\x02\x00\x01x\x09\x02yz",
                                        12));
    Reader reader(frame);
    ApiVersionsRequest request;
    ASSERT_TRUE(decode(reader, request, 3).ok());
    EXPECT_TRUE(reader.finish().ok());
    EXPECT_EQ(request.client_software_version, "b");
}

TEST(Golden, ATaggedFieldMustFillItsSize) {
    // FetchRequest would read tag 1 (a struct) from a field that is one byte too long.
    ApiVersionsResponse response;
    response.finalized_features_epoch = 5;
    Writer writer;
    encode(writer, response, 3);
    const Bytes good = *writer.take().flatten();
    Buffer longer(good.size() + 1);
    std::memcpy(longer.data(), good.data(), good.size());
    longer.data()[good.size()] = 0;
    longer.data()[good.size() - 9] = 9;  // Its size was eight.
    Reader reader{Bytes(std::move(longer))};
    ApiVersionsResponse again;
    const Status status = decode(reader, again, 3);
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find("tag 1 holds 1 bytes more"), std::string::npos)
        << status.error().message;
}

TEST(GoldenDeathTest, AFieldThatWouldBeLostIsOurFault) {
    MetadataRequest request;
    request.topics.emplace();
    request.include_topic_authorized_operations = true;
    Writer writer;
    EXPECT_DEATH(encode(writer, request, 1),
                 "version 1 has no place for "
                 "MetadataRequest.include_topic_authorized_operations");
}

TEST(GoldenDeathTest, NullWhereTheVersionPermitsNoneIsOurFault) {
    MetadataRequest request;
    Writer writer;
    EXPECT_DEATH(encode(writer, request, 0), "an array is not null");
}

}  // namespace
}  // namespace pabal::wire
