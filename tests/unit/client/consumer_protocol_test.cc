#include "client/consumer_protocol.h"

#include <gtest/gtest.h>

namespace pabal::client {
namespace {

using Partitions = std::vector<NamedPartition>;

NamedPartition at(std::string topic, std::int32_t partition) {
    return {std::move(topic), PartitionIndex(partition)};
}

std::string hex(const Bytes& bytes) {
    static constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const std::uint8_t byte : bytes) {
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

// What the Java client 4.3 writes for topics b and a, of which it reads a-0 and a-2 in
// generation 5.
TEST(ConsumerProtocol, SubscriptionsAreThoseOfTheJavaClient) {
    const Partitions owned = {at("a", 2), at("a", 0)};
    const std::string head =
        "0003"
        "00000002"
        "000161"
        "000162";
    const std::string tail =
        "00000001"
        "000161"
        "00000002"
        "00000000"
        "00000002"
        "00000005"
        "ffff";
    EXPECT_EQ(hex(encode_subscription(Assignor::range, {"b", "a"}, owned, owned, 5, "")),
              head + "ffffffff" + tail);
    EXPECT_EQ(
        hex(encode_subscription(Assignor::cooperative_sticky, {"b", "a"}, owned, owned, 5, "")),
        head +
            "00000004"
            "00000005" +
            tail);
    EXPECT_EQ(hex(encode_subscription(Assignor::sticky, {"b", "a"}, owned, owned, 5, "")),
              head +
                  "00000017"
                  "00000001"
                  "000161"
                  "00000002"
                  "00000000"
                  "00000002"
                  "00000005" +
                  tail);
    EXPECT_EQ(hex(encode_subscription(Assignor::sticky, {"a"}, {}, {}, -1, "r1")),
              "0003"
              "00000001"
              "000161"
              "ffffffff"
              "00000000"
              "ffffffff"
              "00027231");
}

TEST(ConsumerProtocol, SubscriptionsComeBack) {
    const Partitions owned = {at("a", 0), at("b", 7)};
    for (const Assignor assignor :
         {Assignor::range, Assignor::round_robin, Assignor::sticky, Assignor::cooperative_sticky}) {
        const auto member = decode_subscription(
            assignor, encode_subscription(assignor, {"a", "b"}, owned, owned, 3, "rack"));
        EXPECT_EQ(member.topics, (std::vector<std::string>{"a", "b"}));
        EXPECT_EQ(member.owned, owned);
        EXPECT_EQ(member.generation, 3);
    }
}

TEST(ConsumerProtocol, TheStickyAssignorAsksForWhatWasGivenUp) {
    const Partitions before = {at("a", 1)};
    const auto member = decode_subscription(
        Assignor::sticky, encode_subscription(Assignor::sticky, {"a"}, {}, before, 9, ""));
    EXPECT_EQ(member.owned, before);
    EXPECT_EQ(member.generation, 9);
}

TEST(ConsumerProtocol, AssignmentsComeBackSorted) {
    const Bytes bytes = encode_assignment({at("b", 1), at("a", 3), at("b", 0)});
    EXPECT_EQ(hex(bytes),
              "0003"
              "00000002"
              "000161"
              "00000001"
              "00000003"
              "000162"
              "00000002"
              "00000000"
              "00000001"
              "ffffffff");
    EXPECT_EQ(decode_assignment(bytes), (Partitions{at("a", 3), at("b", 0), at("b", 1)}));
    EXPECT_TRUE(decode_assignment(encode_assignment({})).empty());
}

TEST(ConsumerProtocol, LaterVersionsAreReadAsFarAsTheyAreKnown) {
    std::string text = "\x00\x07";
    text.assign(
        "\x00\x07\x00\x00\x00\x01\x00\x01\x61\x00\x00\x00\x01\x00\x00\x00\x02\xff\xff\xff\xff"
        "what comes later",
        37);
    EXPECT_EQ(decode_assignment(Bytes::copy_of(text)), (Partitions{at("a", 2)}));
}

TEST(ConsumerProtocol, GarbageIsNobodysSubscription) {
    for (const std::string text : {"", "x", "\xff\xff", "\x00\x01\x7f\xff\xff\xff", "garbage"}) {
        EXPECT_TRUE(decode_assignment(Bytes::copy_of(text)).empty());
        const auto member = decode_subscription(Assignor::sticky, Bytes::copy_of(text));
        EXPECT_TRUE(member.topics.empty());
        EXPECT_TRUE(member.owned.empty());
    }
}

TEST(ConsumerProtocol, AssignorsHaveKafkasNames) {
    EXPECT_EQ(name_of(Assignor::round_robin), "roundrobin");
    EXPECT_EQ(assignor_named("cooperative-sticky"), Assignor::cooperative_sticky);
    EXPECT_EQ(assignor_named("random"), std::nullopt);
}

}  // namespace
}  // namespace pabal::client
