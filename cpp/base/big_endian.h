// Integers in the byte order of the network and of Kafka's files, at any alignment.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pabal {

template <class Integer>
inline Integer load_big_endian(const std::uint8_t* from) {
    static_assert(std::is_integral_v<Integer>);
    std::make_unsigned_t<Integer> bits = 0;
    for (std::size_t i = 0; i < sizeof(Integer); ++i) {
        bits = static_cast<decltype(bits)>(
            static_cast<std::uint64_t>(bits) << (sizeof(Integer) > 1 ? 8 : 0) | from[i]);
    }
    return static_cast<Integer>(bits);
}

template <class Integer>
inline void store_big_endian(std::uint8_t* to, Integer value) {
    static_assert(std::is_integral_v<Integer>);
    auto bits = static_cast<std::uint64_t>(static_cast<std::make_unsigned_t<Integer>>(value));
    for (std::size_t i = sizeof(Integer); i-- > 0; bits >>= 8) {
        to[i] = static_cast<std::uint8_t>(bits);
    }
}

}  // namespace pabal
