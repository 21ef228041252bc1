#include "base/varint.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/prng.h"

namespace pabal {
namespace {

TEST(Varint, HasTheBytesOfKafkasDocumentation) {
    std::uint8_t bytes[max_varlong_size];
    const auto written = [&](std::int32_t value) {
        return std::vector<std::uint8_t>(bytes, write_varint(bytes, value));
    };
    using List = std::vector<std::uint8_t>;
    EXPECT_EQ(written(0), (List{0x00}));
    EXPECT_EQ(written(-1), (List{0x01}));
    EXPECT_EQ(written(1), (List{0x02}));
    EXPECT_EQ(written(63), (List{0x7E}));
    EXPECT_EQ(written(-64), (List{0x7F}));
    EXPECT_EQ(written(64), (List{0x80, 0x01}));
    EXPECT_EQ(written(8191), (List{0xFE, 0x7F}));
    EXPECT_EQ(written(-8192), (List{0xFF, 0x7F}));
    EXPECT_EQ(written(INT32_MAX), (List{0xFE, 0xFF, 0xFF, 0xFF, 0x0F}));
    EXPECT_EQ(written(INT32_MIN), (List{0xFF, 0xFF, 0xFF, 0xFF, 0x0F}));
}

TEST(Varint, RoundTripsAtEachSizeAndRefusesEachTruncation) {
    Prng random(3);
    for (int round = 0; round < 20'000; ++round) {
        const auto value = static_cast<std::int64_t>(random.next() >> random.below(64));
        const auto small = static_cast<std::int32_t>(value);
        std::uint8_t bytes[max_varlong_size];

        std::uint8_t* end = write_varlong(bytes, value);
        ASSERT_EQ(static_cast<std::size_t>(end - bytes), varlong_size(value));
        std::int64_t read = 0;
        ASSERT_EQ(read_varlong(bytes, end, read), end);
        ASSERT_EQ(read, value);
        ASSERT_EQ(read_varlong(bytes, end - 1, read), nullptr);

        end = write_varint(bytes, small);
        ASSERT_EQ(static_cast<std::size_t>(end - bytes), varint_size(small));
        std::int32_t read_small = 0;
        ASSERT_EQ(read_varint(bytes, end, read_small), end);
        ASSERT_EQ(read_small, small);
        ASSERT_EQ(read_varint(bytes, end - 1, read_small), nullptr);

        end = write_unsigned_varint(bytes, static_cast<std::uint32_t>(small));
        std::uint32_t read_unsigned = 0;
        ASSERT_EQ(read_unsigned_varint(bytes, end, read_unsigned), end);
        ASSERT_EQ(read_unsigned, static_cast<std::uint32_t>(small));
    }
}

TEST(Varint, RefusesNumbersLongerThanTheirType) {
    const std::uint8_t too_large[] = {0xFF, 0xFF, 0xFF, 0xFF, 0x1F};
    const std::uint8_t endless[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                    0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    const std::uint8_t too_long[] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02};
    std::uint32_t small = 0;
    std::uint64_t large = 0;
    EXPECT_EQ(read_unsigned_varint(std::begin(too_large), std::end(too_large), small), nullptr);
    EXPECT_EQ(read_unsigned_varint(std::begin(endless), std::end(endless), small), nullptr);
    EXPECT_EQ(read_unsigned_varlong(std::begin(endless), std::end(endless), large), nullptr);
    EXPECT_EQ(read_unsigned_varlong(std::begin(too_long), std::end(too_long), large), nullptr);
}

}  // namespace
}  // namespace pabal
