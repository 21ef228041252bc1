#include "wire/utf8.h"

#include <cstdint>
#include <cstring>

namespace pabal::wire {
namespace {

struct Step {
    std::size_t size;  // Bytes of the character, or of the malformed part; at least 1.
    bool good;
};

bool is_continuation(std::uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

// The character that begins at `at`. A malformed part is the longest beginning of what could have
// become a character.
Step step(const std::uint8_t* at, const std::uint8_t* end) {
    const std::uint8_t lead = *at;
    if (lead < 0x80) return {1, true};
    std::size_t size = 0;
    std::uint8_t low = 0x80;  // Bounds of the second byte.
    std::uint8_t high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        size = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        size = 3;
        if (lead == 0xE0) low = 0xA0;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        size = 4;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return {1, false};
    }
    if (end - at < 2 || at[1] < low || at[1] > high) return {1, false};
    for (std::size_t i = 2; i < size; ++i)
        if (at + i >= end || !is_continuation(at[i])) return {i, false};
    // A surrogate is one malformed part of three bytes, as Java has it.
    return {size, lead != 0xED || at[1] < 0xA0};
}

const std::uint8_t* skip_ascii(const std::uint8_t* at, const std::uint8_t* end) {
    while (end - at >= 8) {
        std::uint64_t eight;
        std::memcpy(&eight, at, 8);
        if (eight & 0x8080808080808080ull) break;
        at += 8;
    }
    while (at < end && *at < 0x80) ++at;
    return at;
}

}  // namespace

bool is_utf8(std::string_view text) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
    const auto* end = at + text.size();
    while ((at = skip_ascii(at, end)) < end) {
        const Step next = step(at, end);
        if (!next.good) return false;
        at += next.size;
    }
    return true;
}

std::string repaired_utf8(std::string_view text) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
    const auto* end = at + text.size();
    std::string out;
    while (at < end) {
        const Step next = step(at, end);
        if (next.good)
            out.append(reinterpret_cast<const char*>(at), next.size);
        else
            out.append("\xEF\xBF\xBD");
        at += next.size;
    }
    return out;
}

}  // namespace pabal::wire
