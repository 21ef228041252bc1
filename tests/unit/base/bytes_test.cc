#include "base/bytes.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>

#include "base/big_endian.h"
#include "base/rope.h"

namespace pabal {
namespace {

TEST(Bytes, SharesOneMemoryBetweenSlices) {
    Buffer buffer(8);
    std::memcpy(buffer.data(), "messages", 8);
    const std::uint8_t* const memory = buffer.data();
    Bytes slice;
    {
        const Bytes bytes(std::move(buffer));
        EXPECT_EQ(bytes.data(), memory);
        slice = bytes.slice(3, 4);
        EXPECT_EQ(bytes.slice(8).size(), 0u);
    }
    // The slice keeps the memory alive.
    EXPECT_EQ(slice.text(), "sage");
    EXPECT_EQ(slice.data(), memory + 3);
    EXPECT_EQ(slice.slice(1).text(), "age");
}

TEST(Bytes, ComparesContents) {
    EXPECT_EQ(Bytes::copy_of("a"), Bytes::copy_of("a"));
    EXPECT_FALSE(Bytes::copy_of("a") == Bytes::copy_of("b"));
    EXPECT_EQ(Bytes(), Bytes::copy_of(""));
    EXPECT_EQ(Bytes().data(), nullptr);
}

TEST(Bytes, CopiesAndMovesWithoutLosingTheCount) {
    Bytes first = Bytes::copy_of("relay");
    Bytes second = first;
    Bytes third = std::move(first);
    EXPECT_TRUE(first.empty());
    second = third;
    third = Bytes();
    EXPECT_EQ(second.text(), "relay");
    std::thread other([copy = second] { EXPECT_EQ(copy.text(), "relay"); });
    second = Bytes();
    other.join();
}

TEST(BytesDeathTest, NoSliceLeavesItsBytes) {
    const Bytes bytes = Bytes::copy_of("abc");
    EXPECT_DEATH(bytes.slice(4), "a slice lies within its bytes");
    EXPECT_DEATH(bytes.slice(2, 2), "a slice lies within its bytes");
    EXPECT_DEATH(bytes.slice(1, SIZE_MAX), "a slice lies within its bytes");
}

TEST(BigEndian, WritesTheOrderOfTheNetwork) {
    std::uint8_t bytes[8];
    store_big_endian(bytes, std::int64_t{0x0102030405060708});
    EXPECT_EQ(bytes[0], 1);
    EXPECT_EQ(bytes[7], 8);
    EXPECT_EQ(load_big_endian<std::int64_t>(bytes), 0x0102030405060708);
    EXPECT_EQ(load_big_endian<std::int32_t>(bytes + 1), 0x02030405);
    EXPECT_EQ(load_big_endian<std::uint16_t>(bytes + 6), 0x0708);
    store_big_endian(bytes, std::int16_t{-2});
    EXPECT_EQ(load_big_endian<std::int16_t>(bytes), -2);
    store_big_endian(bytes, std::int8_t{-3});
    EXPECT_EQ(load_big_endian<std::int8_t>(bytes), -3);
}

// Serves a text as if it were a file.
class TextFile final : public FileHandle {
public:
    explicit TextFile(std::string text) : text_(std::move(text)) {}
    bool read_exactly(std::uint64_t position, MutableByteView into) const override {
        if (position > text_.size() || into.size() > text_.size() - position) return false;
        std::memcpy(into.data(), text_.data() + position, into.size());
        return true;
    }

private:
    std::string text_;
};

TEST(Rope, JoinsBytesAndFileRanges) {
    const auto file = std::make_shared<TextFile>("0123456789");
    Rope rope(Bytes::copy_of("head "));
    rope.append(FileRange{file, 2, 3});
    rope.append(Bytes());
    Rope tail(Bytes::copy_of(" tail"));
    rope.append(std::move(tail));
    EXPECT_EQ(rope.size(), 13u);
    EXPECT_EQ(rope.pieces().size(), 3u);
    EXPECT_EQ(rope.flatten()->text(), "head 234 tail");
    rope.append(FileRange{file, 8, 3});
    EXPECT_FALSE(rope.flatten());
}

TEST(Rope, OfOnePieceIsNotCopied) {
    const Bytes bytes = Bytes::copy_of("one");
    EXPECT_EQ(Rope(bytes).flatten()->data(), bytes.data());
    EXPECT_TRUE(Rope().flatten()->empty());
}

}  // namespace
}  // namespace pabal
