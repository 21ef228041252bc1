// The small words of the core: ids, times, results, UUIDs and chance.
#include <gtest/gtest.h>

#include <set>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "base/uuid.h"

namespace pabal {
namespace {

TEST(Ids, CountAndCompare) {
    Offset offset(5);
    EXPECT_EQ(offset + 3, Offset(8));
    EXPECT_EQ(Offset(8) - offset, 3);
    EXPECT_LT(offset, offset + 1);
    EXPECT_EQ(++offset, Offset(6));
    static_assert(!std::is_convertible_v<Offset, std::int64_t>);
    static_assert(!std::is_convertible_v<std::int64_t, Offset>);
    static_assert(!std::is_constructible_v<Offset, LeaderEpoch>);
}

TEST(Time, SaturatesWhereKafkaWritesForEver) {
    EXPECT_EQ(Duration::milliseconds(INT64_MAX).to_nanoseconds(), INT64_MAX);
    EXPECT_EQ(Duration::milliseconds(INT64_MIN).to_nanoseconds(), INT64_MIN);
    EXPECT_EQ(Duration::seconds(2).to_milliseconds(), 2000);
    EXPECT_EQ(Instant::from_nanoseconds(5) + Duration::milliseconds(INT64_MAX), Instant::never());
    EXPECT_EQ(Instant::from_nanoseconds(7) - Instant::from_nanoseconds(3),
              Duration::nanoseconds(4));
}

Result<int> half(int value) {
    if (value % 2) return Error{ErrorCode::invalid_request, "odd"};
    return value / 2;
}

Result<int> quarter(int value) {
    PABAL_TRY_ASSIGN(const int once, half(value));
    PABAL_TRY_ASSIGN(const int twice, half(once));
    return twice;
}

Status divisible_by_four(int value) {
    PABAL_TRY(quarter(value));
    return {};
}

TEST(Result, HandsTheFirstErrorUp) {
    EXPECT_EQ(*quarter(12), 3);
    EXPECT_EQ(quarter(6).error().message, "odd");
    EXPECT_TRUE(divisible_by_four(4).ok());
    EXPECT_EQ(divisible_by_four(2).error().code, ErrorCode::invalid_request);
    EXPECT_DEATH((void)half(1).value(), "value of a failed result");
}

TEST(Uuid, HasKafkasTextForm) {
    Uuid uuid;
    for (std::size_t i = 0; i < uuid.bytes.size(); ++i)
        uuid.bytes[i] = static_cast<std::uint8_t>(i);
    EXPECT_EQ(uuid.text(), "AAECAwQFBgcICQoLDA0ODw");
    EXPECT_EQ(Uuid::parse(uuid.text()), uuid);
    EXPECT_EQ(Uuid().text(), "AAAAAAAAAAAAAAAAAAAAAA");
    EXPECT_FALSE(Uuid::parse("AAECAwQFBgcICQoLDA0OD"));
    EXPECT_FALSE(Uuid::parse("AAECAwQFBgcICQoLDA0OD+"));
    Prng random(1);
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        const Uuid drawn = Uuid::random(random);
        EXPECT_NE(drawn.text().front(), '-');
        EXPECT_EQ(Uuid::parse(drawn.text()), drawn);
        seen.insert(drawn.text());
    }
    EXPECT_EQ(seen.size(), 1000u);
}

TEST(Prng, IsAFunctionOfItsSeed) {
    Prng first(42);
    Prng second(42);
    Prng forked = first.fork("network");
    for (int i = 0; i < 100; ++i) EXPECT_EQ(first.next(), second.next());
    // Forking does not depend on how far the parent has come.
    EXPECT_EQ(forked.next(), first.fork("network").next());
    EXPECT_NE(first.fork("disk").next(), first.fork("network").next());
    for (int i = 0; i < 1000; ++i) {
        EXPECT_LT(first.below(7), 7u);
        const std::int64_t drawn = first.between(-3, 3);
        EXPECT_GE(drawn, -3);
        EXPECT_LE(drawn, 3);
    }
    EXPECT_TRUE(first.chance(1, 1));
    EXPECT_FALSE(first.chance(0, 1));
}

}  // namespace
}  // namespace pabal
