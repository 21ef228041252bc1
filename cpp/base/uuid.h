// 128-bit ids of topics, directories and clusters; their text form is Kafka's: 22 characters of
// URL-safe base64 without padding.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace pabal {

class Prng;

struct Uuid {
    std::array<std::uint8_t, 16> bytes{};

    constexpr auto operator<=>(const Uuid&) const = default;
    constexpr bool is_zero() const { return *this == Uuid{}; }

    std::string text() const;
    // Nothing if `text` is not a UUID in Kafka's form.
    static std::optional<Uuid> parse(std::string_view text);
    // Version 4, and never one that Kafka reserves or whose text starts with '-'.
    static Uuid random(Prng& random);
};

}  // namespace pabal

template <>
struct std::hash<pabal::Uuid> {
    std::size_t operator()(const pabal::Uuid& uuid) const noexcept {
        std::uint64_t halves[2];
        std::memcpy(halves, uuid.bytes.data(), sizeof halves);
        return static_cast<std::size_t>(halves[0] ^ (halves[1] * 0x9E3779B97F4A7C15ull));
    }
};
