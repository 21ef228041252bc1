#include <gtest/gtest.h>

#include "wire/reader.h"
#include "wire/utf8.h"
#include "wire/writer.h"

namespace pabal::wire {
namespace {

Bytes bytes(std::initializer_list<int> values) {
    Buffer buffer(values.size());
    std::size_t i = 0;
    for (const int value : values) buffer.data()[i++] = static_cast<std::uint8_t>(value);
    return Bytes(std::move(buffer));
}

TEST(Reader, ReadsBigEndianNumbers) {
    Reader reader(bytes({1, 0xFF, 0xFE, 0, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}));
    EXPECT_TRUE(reader.boolean("a"));
    EXPECT_EQ(reader.int16("b"), -2);
    EXPECT_EQ(reader.int32("c"), 256);
    EXPECT_EQ(reader.int64("d"), INT64_MIN);
    EXPECT_EQ(reader.uint16("e"), 65535);
    EXPECT_TRUE(reader.finish().ok());
    EXPECT_EQ(reader.int8("f"), 0);
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(reader.status().error().message, "f at byte 17: 1 bytes are needed, but 0 are left");
}

TEST(Reader, KeepsTheFirstFailure) {
    Reader reader(bytes({1}));
    reader.int32("first");
    reader.int8("second");
    EXPECT_TRUE(reader.status().error().message.starts_with("first at byte 0"));
    EXPECT_EQ(reader.remaining(), 0u);
}

TEST(Reader, ReadsVarints) {
    EXPECT_EQ(Reader(bytes({0x7F})).unsigned_varint("v"), 127u);
    EXPECT_EQ(Reader(bytes({0x80, 0x01})).unsigned_varint("v"), 128u);
    EXPECT_EQ(Reader(bytes({0xFF, 0xFF, 0xFF, 0xFF, 0x0F})).unsigned_varint("v"), UINT32_MAX);
    Reader endless(bytes({0x80, 0x80, 0x80, 0x80, 0x80, 0x01}));
    endless.unsigned_varint("v");
    EXPECT_FALSE(endless.ok());
}

TEST(Reader, RefusesLengthsBeyondTheFrame) {
    for (const bool flexible : {false, true}) {
        Reader reader(flexible ? bytes({0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1}) : bytes({0x7F, 0xFF, 1}));
        reader.set_flexible(flexible);
        std::string text;
        reader.string(text, "text");
        EXPECT_FALSE(reader.ok());
    }
}

TEST(Reader, RefusesNegativeLengths) {
    Reader reader(bytes({0xFF, 0xFE}));
    std::optional<std::string> text;
    reader.nullable_string(text, "text", true);
    EXPECT_EQ(reader.status().error().message, "text at byte 2: the length is -2");
}

TEST(Reader, RefusesNullWhereThereIsNone) {
    Reader reader(bytes({0xFF, 0xFF}));
    std::string text;
    reader.string(text, "text");
    EXPECT_EQ(reader.status().error().message,
              "text at byte 2: is null, which this version does not permit");
}

TEST(Reader, RefusesCountsBeyondTheFrameBeforeTakingMemory) {
    Reader reader(bytes({0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}));
    std::vector<std::int32_t> values;
    reader.array(values, "values");
    EXPECT_FALSE(reader.ok());
    EXPECT_EQ(values.capacity(), 0u);
}

TEST(Reader, BoundsTheMemoryOfManySmallElements) {
    // Ten million empty strings would take 320 MB from a frame of 10 MB.
    Buffer frame(10'000'005);
    std::memset(frame.data(), 1, frame.size());
    const std::uint8_t count[] = {0x81, 0xAD, 0xE2, 0x04};  // 10,000,000 + 1 as a varint.
    std::memcpy(frame.data(), count, sizeof count);
    Reader reader{Bytes(std::move(frame))};
    reader.set_flexible(true);
    std::vector<std::string> values;
    reader.array(values, "values");
    EXPECT_FALSE(reader.ok());
    EXPECT_NE(reader.status().error().message.find("more memory"), std::string::npos);
}

TEST(Reader, RepairsStringsAsJavaDoes) {
    Reader reader(bytes({0, 4, 'a', 0xFF, 0xC3, 0xA4}));
    std::string text;
    reader.string(text, "text");
    EXPECT_TRUE(reader.ok());
    EXPECT_EQ(text, "a\uFFFDä");
}

TEST(Utf8, KnowsWhatIsWellFormed) {
    EXPECT_TRUE(is_utf8("plain ascii, longer than eight bytes"));
    EXPECT_TRUE(is_utf8("파발 🐎"));
    EXPECT_FALSE(is_utf8("\xC0\xAF"));          // Overlong.
    EXPECT_FALSE(is_utf8("\xED\xA0\x80"));      // A surrogate.
    EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));  // Beyond U+10FFFF.
    EXPECT_FALSE(is_utf8("abc\xE3\x81"));       // Cut short.
}

TEST(Utf8, ReplacesEachMalformedPartOnce) {
    const std::string bad = "\uFFFD";
    EXPECT_EQ(repaired_utf8("\xC0\xAF"), bad + bad);
    EXPECT_EQ(repaired_utf8("\xE3\x81x"), bad + "x");
    EXPECT_EQ(repaired_utf8("\xF0\x9F\x90"), bad);
    EXPECT_EQ(repaired_utf8("\xED\xA0\x80"), bad);
    EXPECT_EQ(repaired_utf8("ok"), "ok");
}

TEST(Writer, PutsTheLengthOfAFrameInFront) {
    Writer writer;
    writer.begin_frame();
    writer.int16(5);
    writer.records(Rope(Bytes(Buffer(1000))), false);
    const Rope rope = writer.take();
    EXPECT_EQ(rope.size(), 4u + 2 + 4 + 1000);
    Reader reader(*rope.flatten());
    EXPECT_EQ(reader.int32("length"), 1006);
    EXPECT_EQ(writer.size(), 0u);
}

TEST(Writer, KeepsTheOrderOfCopiedAndAttachedBytes) {
    const Bytes large = Bytes::copy_of(std::string(1000, 'l'));
    const Bytes small = Bytes::copy_of("s");
    Writer writer;
    writer.int8('1');
    writer.bytes(large);
    writer.int8('2');
    writer.bytes(small);
    writer.bytes(large);
    const Bytes all = *writer.take().flatten();
    ASSERT_EQ(all.size(), 1u + 4 + 1000 + 1 + 4 + 1 + 4 + 1000);
    EXPECT_EQ(all[0], '1');
    EXPECT_EQ(all[5], 'l');
    EXPECT_EQ(all[1005], '2');
    EXPECT_EQ(all[1010], 's');
    EXPECT_EQ(all[1015], 'l');
}

TEST(Writer, MakesRoomForTheSizeOfALongTaggedField) {
    for (const std::size_t length : {0u, 1u, 127u, 128u, 300u, 20'000u}) {
        Writer writer;
        writer.set_flexible(true);
        const auto tags = writer.begin_tags();
        auto start = writer.begin_tag(tags, 4);
        writer.bytes(Bytes::copy_of(std::string(length, 'x')));
        writer.end_tag(start);
        start = writer.begin_tag(tags, 9);
        writer.int8(7);
        writer.end_tag(start);
        writer.int8(42);

        Reader reader(*writer.take().flatten());
        reader.set_flexible(true);
        ASSERT_EQ(reader.tag_count(), 2u);
        auto tag = reader.begin_tag();
        EXPECT_EQ(tag.number, 4u);
        Bytes value;
        reader.bytes(value, "value");
        EXPECT_EQ(value.size(), length);
        reader.end_tag(tag);
        tag = reader.begin_tag();
        EXPECT_EQ(tag.number, 9u);
        reader.skip();
        reader.end_tag(tag);
        EXPECT_EQ(reader.int8("last"), 42);
        EXPECT_TRUE(reader.finish().ok());
    }
}

TEST(Writer, CutsStringsThatNoReaderTakes) {
    std::string text(32766, 'a');
    text += "ä!";
    Writer writer;
    writer.string(text);
    Reader reader(*writer.take().flatten());
    std::string again;
    reader.string(again, "text");
    EXPECT_TRUE(reader.finish().ok());
    EXPECT_EQ(again, std::string(32766, 'a'));
}

}  // namespace
}  // namespace pabal::wire
