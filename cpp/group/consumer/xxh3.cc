// XXH3 as its specification describes it, for the short inputs that metadata_hash makes; written
// for clarity, not for vectors.
#include <array>
#include <cstring>

#include "group/consumer/metadata_hash.h"

namespace pabal::group {
namespace {

constexpr std::uint64_t prime32_1 = 0x9E3779B1;
constexpr std::uint64_t prime32_2 = 0x85EBCA77;
constexpr std::uint64_t prime32_3 = 0xC2B2AE3D;
constexpr std::uint64_t prime64_1 = 0x9E3779B185EBCA87;
constexpr std::uint64_t prime64_2 = 0xC2B2AE3D27D4EB4F;
constexpr std::uint64_t prime64_3 = 0x165667B19E3779F9;
constexpr std::uint64_t prime64_4 = 0x85EBCA77C2B2AE63;
constexpr std::uint64_t prime64_5 = 0x27D4EB2F165667C5;
constexpr std::uint64_t mix_1 = 0x165667919E3779F9;
constexpr std::uint64_t mix_2 = 0x9FB21C651E98DF25;

constexpr std::size_t stripe_bytes = 64;
constexpr std::uint8_t secret[192] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e};

std::uint64_t read_64(const std::uint8_t* at) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, sizeof value);  // Little-endian, as every platform of ours.
    return value;
}

std::uint64_t read_32(const std::uint8_t* at) {
    std::uint32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    return value;
}

std::uint64_t rotate_left(std::uint64_t value, int bits) {
    return value << bits | value >> (64 - bits);
}

__extension__ using Wide = unsigned __int128;

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t avalanche(std::uint64_t hash) {
    hash = (hash ^ hash >> 37) * mix_1;
    return hash ^ hash >> 32;
}

std::uint64_t strong_avalanche(std::uint64_t hash) {
    hash = (hash ^ hash >> 33) * prime64_2;
    hash = (hash ^ hash >> 29) * prime64_3;
    return hash ^ hash >> 32;
}

std::uint64_t mix_16(const std::uint8_t* data, const std::uint8_t* key) {
    return fold(read_64(data) ^ read_64(key), read_64(data + 8) ^ read_64(key + 8));
}

std::uint64_t up_to_16(const std::uint8_t* data, std::size_t size) {
    if (size > 8) {
        const std::uint64_t low = read_64(data) ^ read_64(secret + 24) ^ read_64(secret + 32);
        const std::uint64_t high =
            read_64(data + size - 8) ^ read_64(secret + 40) ^ read_64(secret + 48);
        return avalanche(size + __builtin_bswap64(low) + high + fold(low, high));
    }
    if (size >= 4) {
        std::uint64_t hash = read_32(data + size - 4) + (read_32(data) << 32);
        hash ^= read_64(secret + 8) ^ read_64(secret + 16);
        hash ^= rotate_left(hash, 49) ^ rotate_left(hash, 24);
        hash *= mix_2;
        hash = (hash ^ ((hash >> 35) + size)) * mix_2;
        return hash ^ hash >> 28;
    }
    if (size > 0) {
        const std::uint64_t first = data[0];
        const std::uint64_t middle = data[size >> 1];
        const std::uint64_t last = data[size - 1];
        const std::uint64_t combined = first << 16 | middle << 24 | last | size << 8;
        return strong_avalanche(combined ^ read_32(secret) ^ read_32(secret + 4));
    }
    return strong_avalanche(read_64(secret + 56) ^ read_64(secret + 64));
}

std::uint64_t up_to_128(const std::uint8_t* data, std::size_t size) {
    std::uint64_t sum = size * prime64_1;
    for (std::size_t pairs = (size - 1) / 32 + 1; pairs-- > 0;) {
        sum += mix_16(data + 16 * pairs, secret + 32 * pairs);
        sum += mix_16(data + size - 16 * (pairs + 1), secret + 32 * pairs + 16);
    }
    return avalanche(sum);
}

std::uint64_t up_to_240(const std::uint8_t* data, std::size_t size) {
    std::uint64_t sum = size * prime64_1;
    for (std::size_t i = 0; i < 8; ++i) sum += mix_16(data + 16 * i, secret + 16 * i);
    sum = avalanche(sum);
    for (std::size_t i = 8; i < size / 16; ++i)
        sum += mix_16(data + 16 * i, secret + 16 * (i - 8) + 3);
    return avalanche(sum + mix_16(data + size - 16, secret + 136 - 17));
}

using Lanes = std::array<std::uint64_t, 8>;

void accumulate(Lanes* lanes, const std::uint8_t* data, const std::uint8_t* key) {
    for (std::size_t i = 0; i < lanes->size(); ++i) {
        const std::uint64_t value = read_64(data + 8 * i);
        const std::uint64_t keyed = value ^ read_64(key + 8 * i);
        (*lanes)[i ^ 1] += value;
        (*lanes)[i] += (keyed & 0xFFFFFFFF) * (keyed >> 32);
    }
}

std::uint64_t long_input(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t stripes_per_block = (sizeof secret - stripe_bytes) / 8;
    Lanes lanes = {prime32_3, prime64_1, prime64_2, prime64_3,
                   prime64_4, prime32_2, prime64_5, prime32_1};
    const std::uint8_t* last_key = secret + sizeof secret - stripe_bytes;
    const std::size_t stripes = (size - 1) / stripe_bytes;
    for (std::size_t n = 0; n < stripes; ++n) {
        const std::size_t in_block = n % stripes_per_block;
        accumulate(&lanes, data + n * stripe_bytes, secret + 8 * in_block);
        if (in_block + 1 < stripes_per_block) continue;
        for (std::size_t i = 0; i < lanes.size(); ++i)
            lanes[i] = (lanes[i] ^ lanes[i] >> 47 ^ read_64(last_key + 8 * i)) * prime32_1;
    }
    accumulate(&lanes, data + size - stripe_bytes, last_key - 7);
    std::uint64_t hash = size * prime64_1;
    for (std::size_t i = 0; i < lanes.size(); i += 2) {
        const std::uint8_t* key = secret + 11 + 8 * i;
        hash += fold(lanes[i] ^ read_64(key), lanes[i + 1] ^ read_64(key + 8));
    }
    return avalanche(hash);
}

}  // namespace

std::uint64_t xxh3(ByteView bytes) {
    if (bytes.size() <= 16) return up_to_16(bytes.data(), bytes.size());
    if (bytes.size() <= 128) return up_to_128(bytes.data(), bytes.size());
    if (bytes.size() <= 240) return up_to_240(bytes.data(), bytes.size());
    return long_input(bytes.data(), bytes.size());
}

}  // namespace pabal::group
