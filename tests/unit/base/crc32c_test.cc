#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/prng.h"

namespace pabal {
namespace {

// The definition, bit by bit.
std::uint32_t naive_crc32c(std::uint32_t crc, ByteView bytes) {
    crc = ~crc;
    for (std::uint8_t byte : bytes) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82F63B78u : 0);
    }
    return ~crc;
}

TEST(Crc32c, AgreesWithTheVectorsOfRfc3720) {
    std::vector<std::uint8_t> bytes(32, 0x00);
    EXPECT_EQ(crc32c(bytes), 0x8A9136AAu);
    bytes.assign(32, 0xFF);
    EXPECT_EQ(crc32c(bytes), 0x62A8AB43u);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
    EXPECT_EQ(crc32c(bytes), 0x46DD794Eu);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(31 - i);
    EXPECT_EQ(crc32c(bytes), 0x113FDB5Cu);
    EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
    EXPECT_EQ(crc32c(ByteView{}), 0u);
}

TEST(Crc32c, AgreesWithItsDefinitionForAllLengthsAndAlignments) {
    Prng random(7);
    std::vector<std::uint8_t> bytes(40'000);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
    for (std::size_t length = 0; length < 700; ++length) {
        const std::size_t start = random.below(64);
        const auto seed = static_cast<std::uint32_t>(random.next());
        const ByteView view(bytes.data() + start, length);
        ASSERT_EQ(crc32c(seed, view), naive_crc32c(seed, view)) << length << " at " << start;
        ASSERT_EQ(crc32c_by_table(seed, view), naive_crc32c(seed, view)) << length;
    }
    for (int round = 0; round < 100; ++round) {
        const std::size_t start = random.below(64);
        const ByteView view(bytes.data() + start, random.below(bytes.size() - start));
        ASSERT_EQ(crc32c(view), naive_crc32c(0, view)) << view.size() << " at " << start;
        ASSERT_EQ(crc32c_by_table(0, view), naive_crc32c(0, view)) << view.size();
    }
}

TEST(Crc32c, ContinuesOverPieces) {
    const ByteView text = as_bytes("the courier hands the message from station to station, whole");
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        EXPECT_EQ(crc32c(crc32c(text.first(cut)), text.subspan(cut)), crc32c(text));
    }
}

}  // namespace
}  // namespace pabal
