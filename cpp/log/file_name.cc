#include "log/file_name.h"

namespace pabal::log {

inline constexpr std::size_t digit_count = 20;

std::string file_name(Offset base, std::string_view suffix) {
    std::string name(digit_count, '0');
    auto rest = static_cast<std::uint64_t>(base.value());
    for (std::size_t i = digit_count; i-- > 0 && rest != 0; rest /= 10) {
        name[i] = static_cast<char>('0' + rest % 10);
    }
    name += suffix;
    return name;
}

std::string file_path(std::string_view directory, Offset base, std::string_view suffix) {
    std::string path;
    path.reserve(directory.size() + 1 + digit_count + suffix.size());
    path += directory;
    path += '/';
    path += file_name(base, suffix);
    return path;
}

std::optional<Offset> base_offset_of(std::string_view name, std::string_view suffix) {
    if (name.size() != digit_count + suffix.size()) return std::nullopt;
    if (name.substr(digit_count) != suffix) return std::nullopt;
    std::uint64_t value = 0;
    for (const char digit : name.substr(0, digit_count)) {
        if (digit < '0' || digit > '9') return std::nullopt;
        if (value > (static_cast<std::uint64_t>(INT64_MAX) - 9) / 10) return std::nullopt;
        value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    }
    return Offset(static_cast<std::int64_t>(value));
}

}  // namespace pabal::log
