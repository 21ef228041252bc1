#include "bin/properties_file.h"

#include <cstdint>
#include <optional>

namespace pabal::bin {
namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\f';
}

void append_utf8(std::string& out, std::uint32_t code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xC0 | code >> 6);
        out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        out += static_cast<char>(0xE0 | code >> 12);
        out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

// The character behind a backslash at `position`, which is moved past it; false if it is no \uXXXX.
bool unescape(std::string_view line, std::size_t& position, std::string& out) {
    char c = line[position++];
    switch (c) {
        case 't': out += '\t'; return true;
        case 'n': out += '\n'; return true;
        case 'r': out += '\r'; return true;
        case 'f': out += '\f'; return true;
        case 'u': break;
        default: out += c; return true;
    }
    std::uint32_t code = 0;
    for (int digit = 0; digit < 4; ++digit, ++position) {
        if (position >= line.size()) return false;
        char hex = line[position];
        std::uint32_t value =
            hex >= '0' && hex <= '9'   ? static_cast<std::uint32_t>(hex - '0')
            : hex >= 'a' && hex <= 'f' ? static_cast<std::uint32_t>(hex - 'a') + 10
            : hex >= 'A' && hex <= 'F' ? static_cast<std::uint32_t>(hex - 'A') + 10
                                       : 16;
        if (value > 15) return false;
        code = code * 16 + value;
    }
    append_utf8(out, code);
    return true;
}

bool goes_on(std::string_view line) {
    std::size_t backslashes = 0;
    while (backslashes < line.size() && line[line.size() - 1 - backslashes] == '\\') ++backslashes;
    return backslashes % 2 == 1;
}

std::string_view without_leading_blanks(std::string_view line) {
    while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
    return line;
}

}  // namespace

Result<std::map<std::string, std::string>> parse_properties(std::string_view text) {
    std::map<std::string, std::string> properties;
    std::size_t number = 0;
    auto next_line = [&]() -> std::optional<std::string_view> {
        if (text.empty()) return std::nullopt;
        std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        number += 1;
        return without_leading_blanks(line);
    };
    while (auto first = next_line()) {
        if (first->empty() || first->front() == '#' || first->front() == '!') continue;
        std::size_t began = number;
        std::string line(*first);
        while (goes_on(line)) {
            line.pop_back();
            auto more = next_line();
            if (!more) break;
            line += *more;
        }
        auto wrong = [&] {
            return Error{ErrorCode::invalid_config,
                         "line " + std::to_string(began) + " has a broken \\u escape"};
        };
        std::string name, value;
        std::size_t position = 0;
        while (position < line.size() && line[position] != '=' && line[position] != ':' &&
               !is_blank(line[position])) {
            if (line[position] != '\\') {
                name += line[position++];
            } else if (++position < line.size() && !unescape(line, position, name)) {
                return wrong();
            }
        }
        while (position < line.size() && is_blank(line[position])) ++position;
        if (position < line.size() && (line[position] == '=' || line[position] == ':')) ++position;
        while (position < line.size() && is_blank(line[position])) ++position;
        while (position < line.size()) {
            if (line[position] != '\\') {
                value += line[position++];
            } else if (++position < line.size() && !unescape(line, position, value)) {
                return wrong();
            }
        }
        // Blanks at the end are none of Java's business, but nobody means them.
        while (!value.empty() && is_blank(value.back())) value.pop_back();
        properties[std::move(name)] = std::move(value);
    }
    return properties;
}

}  // namespace pabal::bin
