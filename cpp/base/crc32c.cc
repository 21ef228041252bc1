#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace pabal {
namespace {

// The polynomial with its bits reflected: bit 31 - i is the coefficient of x^i.
constexpr std::uint32_t polynomial = 0x82F63B78u;

constexpr std::uint32_t times_x(std::uint32_t value) {
    return (value >> 1) ^ ((value & 1) ? polynomial : 0);
}

using SliceTables = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[k][b]: what byte b contributes when k further bytes follow it in the same 8-byte step.
constexpr SliceTables slice_tables = [] {
    SliceTables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) value = times_x(value);
        tables[0][byte] = value;
    }
    for (std::size_t slice = 1; slice < tables.size(); ++slice) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xFF];
        }
    }
    return tables;
}();

std::uint32_t little_endian_32(const std::uint8_t* at) {
    return static_cast<std::uint32_t>(at[0]) | static_cast<std::uint32_t>(at[1]) << 8 |
           static_cast<std::uint32_t>(at[2]) << 16 | static_cast<std::uint32_t>(at[3]) << 24;
}

#if defined(__x86_64__)

// Words of eight bytes in one of the three streams.
constexpr std::size_t max_stream_words = 256;

// advance[w] carries a CRC over 8 * w further bytes: multiplied by it without carries, the CRC
// becomes a 64-bit polynomial that the CRC instruction folds together with the last word. The
// instruction itself multiplies by x^32 and the reflected product by x, hence x^(64w - 33).
constexpr std::array<std::uint32_t, 2 * max_stream_words + 1> advance = [] {
    std::array<std::uint32_t, 2 * max_stream_words + 1> powers{};
    std::uint32_t value = 0x80000000u;
    std::size_t exponent = 0;
    for (std::size_t words = 1; words < powers.size(); ++words) {
        for (; exponent < 64 * words - 33; ++exponent) value = times_x(value);
        powers[words] = value;
    }
    return powers;
}();

std::uint64_t load_64(const std::uint8_t* at) {
    std::uint64_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

__attribute__((target("sse4.2,pclmul"))) std::uint64_t carry_over(std::uint64_t crc,
                                                                  std::size_t words) {
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(crc)),
                                                 _mm_cvtsi64_si128(advance[words]), 0x00);
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(product));
}

// The instruction takes a new word each cycle but needs three for its result: three independent
// streams keep it busy, and their results are joined with two multiplications.
__attribute__((target("sse4.2,pclmul"))) std::uint32_t crc32c_by_instruction(std::uint32_t crc,
                                                                             ByteView bytes) {
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t first = ~crc;
    while (left >= 6 * 8) {
        std::size_t words = left / 24;
        if (words > max_stream_words) words = max_stream_words;
        const std::uint8_t* second_at = at + 8 * words;
        const std::uint8_t* third_at = second_at + 8 * words;
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        for (std::size_t word = 0; word + 1 < words; ++word) {
            first = _mm_crc32_u64(first, load_64(at + 8 * word));
            second = _mm_crc32_u64(second, load_64(second_at + 8 * word));
            third = _mm_crc32_u64(third, load_64(third_at + 8 * word));
        }
        const std::size_t last = 8 * (words - 1);
        first = _mm_crc32_u64(first, load_64(at + last));
        second = _mm_crc32_u64(second, load_64(second_at + last));
        first = _mm_crc32_u64(third, load_64(third_at + last) ^ carry_over(first, 2 * words) ^
                                         carry_over(second, words));
        at += 24 * words;
        left -= 24 * words;
    }
    for (; left >= 8; at += 8, left -= 8) first = _mm_crc32_u64(first, load_64(at));
    auto result = static_cast<std::uint32_t>(first);
    for (; left > 0; ++at, --left) result = _mm_crc32_u8(result, *at);
    return ~result;
}

#elif defined(__ARM_FEATURE_CRC32)

std::uint32_t crc32c_by_instruction(std::uint32_t crc, ByteView bytes) {
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint32_t result = ~crc;
    for (; left >= 8; at += 8, left -= 8) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        result = __crc32cd(result, word);
    }
    for (; left > 0; ++at, --left) result = __crc32cb(result, *at);
    return ~result;
}

#endif

}  // namespace

std::uint32_t crc32c_by_table(std::uint32_t crc, ByteView bytes) {
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint32_t result = ~crc;
    for (; left >= 8; at += 8, left -= 8) {
        const std::uint32_t low = little_endian_32(at) ^ result;
        const std::uint32_t high = little_endian_32(at + 4);
        result = slice_tables[7][low & 0xFF] ^ slice_tables[6][(low >> 8) & 0xFF] ^
                 slice_tables[5][(low >> 16) & 0xFF] ^ slice_tables[4][low >> 24] ^
                 slice_tables[3][high & 0xFF] ^ slice_tables[2][(high >> 8) & 0xFF] ^
                 slice_tables[1][(high >> 16) & 0xFF] ^ slice_tables[0][high >> 24];
    }
    for (; left > 0; ++at, --left) {
        result = (result >> 8) ^ slice_tables[0][(result ^ *at) & 0xFF];
    }
    return ~result;
}

std::uint32_t crc32c(std::uint32_t crc, ByteView bytes) {
#if defined(__x86_64__)
    static const bool has_instruction =
        __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
    return has_instruction ? crc32c_by_instruction(crc, bytes) : crc32c_by_table(crc, bytes);
#elif defined(__ARM_FEATURE_CRC32)
    return crc32c_by_instruction(crc, bytes);
#else
    return crc32c_by_table(crc, bytes);
#endif
}

}  // namespace pabal
