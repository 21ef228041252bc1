#include "log/checkpoint_text.h"

#include <charconv>

namespace pabal::log {

std::string checkpoint_text(const std::vector<std::string>& lines) {
    std::string text(checkpoint_version);
    text += '\n';
    text += std::to_string(lines.size());
    text += '\n';
    for (const auto& line : lines) {
        text += line;
        text += '\n';
    }
    return text;
}

Result<std::vector<std::string_view>> checkpoint_lines(std::string_view text) {
    std::vector<std::string_view> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        lines.push_back(text.substr(0, end));
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    }
    const auto bad = [](std::string what) {
        return Error{ErrorCode::corrupt_message, std::move(what)};
    };
    if (lines.size() < 2) return bad("neither version nor count");
    if (lines[0] != checkpoint_version) return bad("line 1: version is not 0");
    const auto count = number_of(lines[1]);
    if (!count || *count != static_cast<std::int64_t>(lines.size()) - 2) {
        return bad("line 2: the count is not that of the " + std::to_string(lines.size() - 2) +
                   " lines that follow");
    }
    lines.erase(lines.begin(), lines.begin() + 2);
    return lines;
}

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    while (true) {
        const auto end = line.find(' ');
        words.push_back(line.substr(0, end));
        if (end == std::string_view::npos) return words;
        line.remove_prefix(end + 1);
    }
}

std::optional<std::int64_t> number_of(std::string_view word) {
    std::int64_t value = 0;
    const char* end = word.data() + word.size();
    const auto [stop, error] = std::from_chars(word.data(), end, value);
    if (error != std::errc() || stop != end || word.empty()) return std::nullopt;
    return value;
}

}  // namespace pabal::log
