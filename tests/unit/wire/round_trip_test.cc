// Every message and version of the schema, with random values, and what becomes of damaged ones.
#include <gtest/gtest.h>

#include "tests/unit/wire/allocations.h"
#include "tests/unit/wire/sample.h"

namespace pabal::wire {
namespace {

template <class Check>
void for_all_samples(std::uint64_t seed, Check check) {
    Prng all(seed);
    for (const Sample& sample : samples()) {
        Prng random = all.fork(sample.name);
        for (int version = sample.min_version; version <= sample.max_version; ++version) {
            SCOPED_TRACE(sample.name + " version " + std::to_string(version));
            check(sample, random, version);
        }
    }
}

TEST(EveryMessage, IsInTheTable) {
    // 89 living APIs with two sides each, and 94 records, headers and other data.
    EXPECT_EQ(samples().size(), 2u * 89 + 94);
}

TEST(EveryMessage, ComesBackAsItWas) {
    for_all_samples(1, [](const Sample& sample, Prng& random, int version) {
        for (int i = 0; i < 25; ++i) {
            const std::string problem = sample.round_trip(random, version);
            ASSERT_EQ(problem, "");
        }
    });
}

TEST(EveryMessage, IsRefusedWhenCutShort) {
    for_all_samples(2, [](const Sample& sample, Prng& random, int version) {
        const Bytes frame = sample.encoded(random, version);
        const std::size_t step = frame.size() / 200 + 1;
        for (std::size_t size = 0; size < frame.size(); size += step) {
            const Status status = sample.decoded(frame.slice(0, size), version);
            ASSERT_FALSE(status.ok()) << size << " of " << frame.size() << " bytes were enough";
            ASSERT_EQ(status.error().code, ErrorCode::invalid_request);
        }
    });
}

TEST(EveryMessage, IsRefusedInVersionsThatItDoesNotHave) {
    for (const Sample& sample : samples()) {
        for (const int version : {sample.min_version - 1, sample.max_version + 1}) {
            const Status status = sample.decoded(Bytes(), version);
            ASSERT_FALSE(status.ok()) << sample.name << " " << version;
            EXPECT_EQ(status.error().code, ErrorCode::unsupported_version);
        }
    }
}

TEST(EveryMessage, DecodesDamagedBytesInBoundedMemory) {
    for_all_samples(3, [](const Sample& sample, Prng& random, int version) {
        for (int i = 0; i < 8; ++i) {
            const Bytes frame = sample.encoded(random, version);
            Buffer copy(frame.size());
            if (frame.empty()) continue;
            std::memcpy(copy.data(), frame.data(), frame.size());
            for (std::uint64_t hits = random.below(4) + 1; hits > 0; --hits) {
                // Ends of the range make lengths and counts that overflow.
                static constexpr std::uint8_t ends[] = {0x00, 0x7F, 0x80, 0xFF};
                copy.data()[random.below(copy.size())] =
                    random.chance(1, 2) ? ends[random.below(4)]
                                        : static_cast<std::uint8_t>(random.below(256));
            }
            const Bytes damaged(std::move(copy));
            Allocations allocations;
            (void)sample.decoded(damaged, version);
            // Array elements, and the text that they hold.
            ASSERT_LE(allocations.peak_bytes(), damaged.size() * 24 + (2u << 20));
        }
    });
}

TEST(EveryMessage, DecodesNoiseInBoundedMemory) {
    for_all_samples(4, [](const Sample& sample, Prng& random, int version) {
        Buffer noise(300);
        const std::uint64_t most = random.chance(1, 2) ? 3 : 256;
        for (std::uint8_t& byte : noise.view())
            byte = static_cast<std::uint8_t>(random.below(most));
        const Bytes frame(std::move(noise));
        Allocations allocations;
        (void)sample.decoded(frame, version);
        ASSERT_LE(allocations.peak_bytes(), frame.size() * 24 + (2u << 20));
    });
}

}  // namespace
}  // namespace pabal::wire
