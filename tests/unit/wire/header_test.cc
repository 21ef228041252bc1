#include "wire/header.h"

#include <gtest/gtest.h>

#include <set>

#include "wire/api_table.h"
#include "wire/message.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::wire {
namespace {

Bytes request(ApiKey key, int version) {
    Writer writer;
    writer.int16(static_cast<std::int16_t>(key));
    writer.int16(static_cast<std::int16_t>(version));
    writer.int32(99);
    writer.string("me");
    writer.int8(0);
    return *writer.take().flatten();
}

TEST(RequestHeader, IsReadInTheVersionThatTheApiAsksFor) {
    RequestHeader header;
    Reader flexible(request(ApiKey::metadata, 9));
    ASSERT_TRUE(decode_request_header(flexible, header).ok());
    EXPECT_EQ(header.client_id, "me");
    EXPECT_EQ(header.correlation_id, 99);
    EXPECT_EQ(flexible.remaining(), 0u);
    Reader plain(request(ApiKey::metadata, 8));
    ASSERT_TRUE(decode_request_header(plain, header).ok());
    EXPECT_EQ(plain.remaining(), 1u);
}

TEST(RequestHeader, RefusesUnknownApisAndVersionsButTellsWhoAsked) {
    for (const auto& [key, version] :
         {std::pair{ApiKey(999), 0}, std::pair{ApiKey(-1), 0}, std::pair{ApiKey::metadata, 14},
          std::pair{ApiKey::produce, 2}, std::pair{ApiKey::leader_and_isr, 0}}) {
        RequestHeader header;
        Reader reader(request(key, version));
        const Status status = decode_request_header(reader, header);
        ASSERT_FALSE(status.ok());
        EXPECT_EQ(status.error().code, ErrorCode::unsupported_version);
        EXPECT_EQ(header.correlation_id, 99);
    }
}

TEST(RequestHeader, LetsApiVersionsOfTheFutureThrough) {
    RequestHeader header;
    Reader reader(request(ApiKey::api_versions, 77));
    EXPECT_TRUE(decode_request_header(reader, header).ok());
    EXPECT_EQ(header.request_api_version, 77);
}

TEST(RequestHeader, RefusesATruncatedOne) {
    const Bytes whole = request(ApiKey::metadata, 9);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        RequestHeader header;
        Reader reader(whole.slice(0, size));
        EXPECT_FALSE(decode_request_header(reader, header).ok()) << size;
    }
}

TEST(ApiTable, HasEveryKeyOnceAndServesOnlyWhatItKnows) {
    int key = 0;
    for (const ApiRow& row : api_table()) {
        EXPECT_EQ(static_cast<int>(row.key), key++);
        EXPECT_EQ(find_api(row.key), &row);
        if (row.served == Served::none) {
            EXPECT_TRUE(row.advertised.empty() && row.accepted.empty()) << row.name;
            continue;
        }
        EXPECT_GE(row.accepted.min, row.versions.min) << row.name;
        EXPECT_LE(row.accepted.max, row.versions.max) << row.name;
        EXPECT_EQ(row.advertised.max, row.accepted.max) << row.name;
    }
    EXPECT_EQ(key, 93);
    EXPECT_EQ(find_api(ApiKey(93)), nullptr);
    EXPECT_EQ(find_api(ApiKey(-1)), nullptr);
}

TEST(ApiTable, AdvertisesProduceFromZeroForLibrdkafkaAndKeepsUnstableVersionsOff) {
    const ApiRow& produce = *find_api(ApiKey::produce);
    EXPECT_EQ(produce.advertised, (VersionRange{0, 13}));
    EXPECT_EQ(produce.accepted, (VersionRange{3, 13}));
    EXPECT_EQ(find_api(ApiKey::init_producer_id)->versions.max, 6);
    EXPECT_EQ(find_api(ApiKey::init_producer_id)->advertised.max, 5);
}

TEST(ApiTable, ListsTheServedApisForDispatch) {
    std::set<ApiKey> listed;
#define PABAL_SERVED_API(Name, name) listed.insert(ApiKey::name);
#include "wire/served_apis.inc"
    for (const ApiRow& row : api_table())
        EXPECT_EQ(listed.contains(row.key), row.served != Served::none) << row.name;
}

}  // namespace
}  // namespace pabal::wire
