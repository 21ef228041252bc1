#include "record/compression.h"

#include <gtest/gtest.h>
#include <lz4frame.h>
#include <snappy.h>

#include <algorithm>
#include <vector>

#include "base/prng.h"

namespace pabal::record {
namespace {

constexpr std::size_t generous = 64 << 20;

const Compression all[] = {Compression::none, Compression::gzip, Compression::snappy,
                           Compression::lz4, Compression::zstd};

// Words and noise: neither incompressible nor trivial.
std::vector<std::uint8_t> sample(std::size_t size, std::uint64_t seed) {
    Prng random(seed);
    std::vector<std::uint8_t> bytes;
    while (bytes.size() < size) {
        if (random.chance(1, 4)) {
            for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::uint8_t>(random.next()));
        } else {
            const std::string_view words[] = {"courier ", "station ", "register ", "horse "};
            const auto word = words[random.below(4)];
            bytes.insert(bytes.end(), word.begin(), word.end());
        }
    }
    bytes.resize(size);
    return bytes;
}

std::vector<std::uint8_t> compressed(Codecs& codecs, Compression compression, ByteView input,
                                     int level = default_compression_level) {
    std::vector<std::uint8_t> output;
    codecs.compress(compression, level, input, output);
    return output;
}

TEST(Codecs, RoundTripEachSizeAndLevel) {
    Codecs codecs;
    for (const Compression compression : all) {
        for (const std::size_t size : {0, 1, 100, 32'768, 65'536, 65'537, 300'000}) {
            const auto input = sample(size, size);
            for (const int level : {default_compression_level, -5, 1, 9, 100}) {
                const auto output = compressed(codecs, compression, input, level);
                const auto back = codecs.decompress(compression, output, generous);
                ASSERT_TRUE(back.ok())
                    << compression_name(compression) << " " << size << ": " << back.error().message;
                ASSERT_TRUE(std::ranges::equal(*back, input));
            }
        }
    }
}

TEST(Codecs, InflatePieceByPiece) {
    Codecs codecs;
    Prng random(11);
    const auto input = sample(200'000, 5);
    for (const Compression compression : all) {
        const auto output = compressed(codecs, compression, input);
        codecs.begin(compression, output);
        std::vector<std::uint8_t> back;
        for (;;) {
            std::uint8_t piece[5000];
            const std::size_t room = 1 + random.below(sizeof piece);
            const auto count = codecs.read({piece, room});
            ASSERT_TRUE(count.ok()) << count.error().message;
            if (*count == 0) break;
            back.insert(back.end(), piece, piece + *count);
        }
        ASSERT_EQ(back, input) << compression_name(compression);
    }
}

TEST(Codecs, BoundTheOutput) {
    Codecs codecs;
    const std::vector<std::uint8_t> zeros(50 << 20);
    for (const Compression compression : all) {
        const auto output = compressed(codecs, compression, zeros);
        const auto refused = codecs.decompress(compression, output, 1 << 20);
        ASSERT_FALSE(refused.ok());
        EXPECT_EQ(refused.error().code, ErrorCode::message_too_large);
        EXPECT_FALSE(codecs.decompress(compression, output, zeros.size() - 1).ok());
        EXPECT_TRUE(codecs.decompress(compression, output, zeros.size()).ok());
    }
}

TEST(Codecs, RefuseEachTruncation) {
    Codecs codecs;
    const auto input = sample(70'000, 9);
    for (const Compression compression : all) {
        if (compression == Compression::none) continue;
        const auto output = compressed(codecs, compression, input);
        for (std::size_t size = 0; size < output.size(); size += 1 + size / 50) {
            const auto result =
                codecs.decompress(compression, ByteView(output).first(size), generous);
            // Snappy's framing has no end mark: cut between two blocks it is a shorter content.
            if (result.ok() && compression == Compression::snappy) {
                EXPECT_LT(result->size(), input.size());
                continue;
            }
            ASSERT_FALSE(result.ok()) << compression_name(compression) << " at " << size;
            EXPECT_EQ(result.error().code, ErrorCode::invalid_record);
        }
    }
}

TEST(Codecs, SurviveDamageAndStayUsable) {
    Codecs codecs;
    Prng random(21);
    const auto input = sample(3'000, 2);
    for (const Compression compression : all) {
        const auto good = compressed(codecs, compression, input);
        for (int round = 0; round < 2'000; ++round) {
            auto bad = good;
            for (std::uint64_t change = random.below(4) + 1; change > 0; --change) {
                bad[random.below(bad.size())] = static_cast<std::uint8_t>(random.next());
            }
            const auto result = codecs.decompress(compression, bad, 1 << 20);
            if (result.ok()) {
                EXPECT_LE(result->size(), 1u << 20);
            }
        }
        EXPECT_TRUE(codecs.decompress(compression, good, generous).ok());
    }
}

TEST(Codecs, ReadRawSnappyAsSomeClientsSendIt) {
    Codecs codecs;
    const auto input = sample(100'000, 3);
    std::string raw;
    snappy::Compress(as_text(input).data(), input.size(), &raw);
    const auto back = codecs.decompress(Compression::snappy, as_bytes(raw), generous);
    ASSERT_TRUE(back.ok());
    EXPECT_TRUE(std::ranges::equal(*back, input));
}

TEST(Codecs, RefuseASnappyBlockThatLiesAboutItsContent) {
    Codecs codecs;
    // Announces 4 GiB - 1 and holds nothing.
    const std::uint8_t lie[] = {0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0x00};
    const auto result = codecs.decompress(Compression::snappy, lie, generous);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::invalid_record);
}

TEST(Codecs, JoinMembersAndFrames) {
    Codecs codecs;
    const auto first = sample(5'000, 1);
    const auto second = sample(40'000, 2);
    for (const Compression compression :
         {Compression::gzip, Compression::snappy, Compression::zstd}) {
        auto output = compressed(codecs, compression, first);
        codecs.compress(compression, default_compression_level, second, output);
        const auto back = codecs.decompress(compression, output, generous);
        ASSERT_TRUE(back.ok()) << back.error().message;
        auto both = first;
        both.insert(both.end(), second.begin(), second.end());
        EXPECT_TRUE(std::ranges::equal(*back, both));
    }
}

TEST(Codecs, RefuseLz4ThatJavaConsumersCannotRead) {
    Codecs codecs;
    const auto input = sample(200'000, 4);
    LZ4F_preferences_t preferences{};
    preferences.frameInfo.blockMode = LZ4F_blockLinked;
    preferences.frameInfo.blockSizeID = LZ4F_max64KB;
    std::vector<std::uint8_t> linked(LZ4F_compressFrameBound(input.size(), &preferences));
    linked.resize(
        LZ4F_compressFrame(linked.data(), linked.size(), input.data(), input.size(), &preferences));
    EXPECT_EQ(codecs.decompress(Compression::lz4, linked, generous).error().code,
              ErrorCode::invalid_record);

    auto trailing = compressed(codecs, Compression::lz4, input);
    trailing.push_back(0);
    EXPECT_FALSE(codecs.decompress(Compression::lz4, trailing, generous).ok());
}

}  // namespace
}  // namespace pabal::record
