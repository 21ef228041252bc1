#include "client/partitioner.h"

namespace pabal::client {

std::uint32_t murmur2(ByteView key) {
    constexpr std::uint32_t seed = 0x9747b28c;
    constexpr std::uint32_t multiplier = 0x5bd1e995;
    constexpr int shift = 24;

    const std::size_t words = key.size() / 4;
    std::uint32_t hash = seed ^ static_cast<std::uint32_t>(key.size());
    for (std::size_t word = 0; word < words; ++word) {
        std::uint32_t k = 0;
        for (std::size_t byte = 4; byte-- > 0;) k = (k << 8) | key[word * 4 + byte];
        k *= multiplier;
        k ^= k >> shift;
        k *= multiplier;
        hash = (hash * multiplier) ^ k;
    }
    const ByteView rest = key.subspan(words * 4);
    if (!rest.empty()) {
        for (std::size_t byte = rest.size(); byte-- > 0;) {
            hash ^= static_cast<std::uint32_t>(rest[byte]) << (8 * byte);
        }
        hash *= multiplier;
    }
    hash ^= hash >> 13;
    hash *= multiplier;
    hash ^= hash >> 15;
    return hash;
}

}  // namespace pabal::client
