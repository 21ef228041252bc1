// Integers in the byte order of the network and of Kafka's files, at any alignment.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace pabal {

template <class Integer>
inline Integer swap_unless_big_endian(Integer value) {
    static_assert(std::is_integral_v<Integer>);
    if constexpr (std::endian::native == std::endian::big || sizeof(Integer) == 1) {
        return value;
    } else if constexpr (sizeof(Integer) == 2) {
        return static_cast<Integer>(__builtin_bswap16(static_cast<std::uint16_t>(value)));
    } else if constexpr (sizeof(Integer) == 4) {
        return static_cast<Integer>(__builtin_bswap32(static_cast<std::uint32_t>(value)));
    } else {
        return static_cast<Integer>(__builtin_bswap64(static_cast<std::uint64_t>(value)));
    }
}

template <class Integer>
inline Integer load_big_endian(const std::uint8_t* from) {
    Integer value;
    std::memcpy(&value, from, sizeof value);
    return swap_unless_big_endian(value);
}

template <class Integer>
inline void store_big_endian(std::uint8_t* to, Integer value) {
    value = swap_unless_big_endian(value);
    std::memcpy(to, &value, sizeof value);
}

}  // namespace pabal
