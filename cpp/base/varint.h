// Variable-length integers as Kafka writes them: seven bits a byte, low bits first; the signed ones
// zig-zag. Readers take a position and the end and answer the position after the number, or null
// when it is cut off or longer than its type; writers take a position with room enough.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace pabal {

inline constexpr std::size_t max_varint_size = 5;    // Of 32-bit numbers.
inline constexpr std::size_t max_varlong_size = 10;  // Of 64-bit numbers.

constexpr std::uint32_t zigzag(std::int32_t value) {
    return (static_cast<std::uint32_t>(value) << 1) ^ static_cast<std::uint32_t>(value >> 31);
}
constexpr std::uint64_t zigzag(std::int64_t value) {
    return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int32_t unzigzag(std::uint32_t value) {
    return static_cast<std::int32_t>((value >> 1) ^ (0u - (value & 1)));
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
    return static_cast<std::int64_t>((value >> 1) ^ (std::uint64_t{0} - (value & 1)));
}

// The bytes that a number takes.
constexpr std::size_t unsigned_varint_size(std::uint32_t value) {
    return (static_cast<std::size_t>(std::bit_width(value | 1u)) + 6) / 7;
}
constexpr std::size_t unsigned_varlong_size(std::uint64_t value) {
    return (static_cast<std::size_t>(std::bit_width(value | 1u)) + 6) / 7;
}
constexpr std::size_t varint_size(std::int32_t value) {
    return unsigned_varint_size(zigzag(value));
}
constexpr std::size_t varlong_size(std::int64_t value) {
    return unsigned_varlong_size(zigzag(value));
}

constexpr std::uint8_t* write_unsigned_varlong(std::uint8_t* to, std::uint64_t value) {
    while (value >= 0x80) {
        *to++ = static_cast<std::uint8_t>(value | 0x80);
        value >>= 7;
    }
    *to++ = static_cast<std::uint8_t>(value);
    return to;
}
constexpr std::uint8_t* write_unsigned_varint(std::uint8_t* to, std::uint32_t value) {
    return write_unsigned_varlong(to, value);
}
constexpr std::uint8_t* write_varint(std::uint8_t* to, std::int32_t value) {
    return write_unsigned_varint(to, zigzag(value));
}
constexpr std::uint8_t* write_varlong(std::uint8_t* to, std::int64_t value) {
    return write_unsigned_varlong(to, zigzag(value));
}

constexpr const std::uint8_t* read_unsigned_varint(const std::uint8_t* at, const std::uint8_t* end,
                                                   std::uint32_t& value) {
    if (at < end && *at < 0x80) [[likely]] {
        value = *at;
        return at + 1;
    }
    std::uint32_t result = 0;
    for (int shift = 0; at < end; shift += 7) {
        const std::uint32_t byte = *at++;
        // The fifth byte holds the top four bits and ends the number.
        if (shift == 28 && byte > 0x0F) return nullptr;
        result |= (byte & 0x7F) << shift;
        if (byte < 0x80) {
            value = result;
            return at;
        }
    }
    return nullptr;
}

constexpr const std::uint8_t* read_unsigned_varlong(const std::uint8_t* at, const std::uint8_t* end,
                                                    std::uint64_t& value) {
    if (at < end && *at < 0x80) [[likely]] {
        value = *at;
        return at + 1;
    }
    std::uint64_t result = 0;
    for (int shift = 0; at < end; shift += 7) {
        const std::uint64_t byte = *at++;
        // The tenth byte holds the top bit and ends the number.
        if (shift == 63 && byte > 0x01) return nullptr;
        result |= (byte & 0x7F) << shift;
        if (byte < 0x80) {
            value = result;
            return at;
        }
    }
    return nullptr;
}

constexpr const std::uint8_t* read_varint(const std::uint8_t* at, const std::uint8_t* end,
                                          std::int32_t& value) {
    std::uint32_t raw = 0;
    at = read_unsigned_varint(at, end, raw);
    if (at) value = unzigzag(raw);
    return at;
}

constexpr const std::uint8_t* read_varlong(const std::uint8_t* at, const std::uint8_t* end,
                                           std::int64_t& value) {
    std::uint64_t raw = 0;
    at = read_unsigned_varlong(at, end, raw);
    if (at) value = unzigzag(raw);
    return at;
}

}  // namespace pabal
