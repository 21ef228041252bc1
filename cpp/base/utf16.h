// Text as Java has it. Kafka hashes and counts the UTF-16 code units of names, which come as UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pabal {

// Calls `take` with each UTF-16 code unit of UTF-8 text in turn; characters beyond the basic plane
// are two of them.
template <class Take>
void each_utf16_unit(std::string_view text, Take take) {
    for (std::size_t at = 0; at < text.size();) {
        const auto first = static_cast<std::uint8_t>(text[at]);
        const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        std::uint32_t code = length == 1 ? first : first & (0x7Fu >> length);
        for (std::size_t i = 1; i < length && at + i < text.size(); ++i)
            code = code << 6 | (static_cast<std::uint8_t>(text[at + i]) & 0x3Fu);
        if (code >= 0x10000) {
            take(static_cast<std::uint16_t>(0xD800 + ((code - 0x10000) >> 10)));
            take(static_cast<std::uint16_t>(0xDC00 + ((code - 0x10000) & 0x3FF)));
        } else {
            take(static_cast<std::uint16_t>(code));
        }
        at += length;
    }
}

}  // namespace pabal
