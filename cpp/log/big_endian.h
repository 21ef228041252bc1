// Numbers in the byte order of Kafka's files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pabal::log {

template <class Integer>
inline void put_big_endian(std::uint8_t* at, Integer value) {
    auto rest = static_cast<std::uint64_t>(value);
    for (std::size_t i = sizeof(Integer); i-- > 0; rest >>= 8) {
        at[i] = static_cast<std::uint8_t>(rest);
    }
}

template <class Integer>
inline Integer get_big_endian(const std::uint8_t* at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Integer); ++i) value = value << 8 | at[i];
    return static_cast<Integer>(value);
}

}  // namespace pabal::log
