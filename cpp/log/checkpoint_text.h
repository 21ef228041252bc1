// Kafka's small text files of numbers: a version, a count of lines, the lines. Used for the offset
// checkpoints of a log directory and for a partition's leader epochs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pabal::log {

inline constexpr std::string_view checkpoint_version = "0";

std::string checkpoint_text(const std::vector<std::string>& lines);
// The lines after version and count. CORRUPT_MESSAGE says which line is wrong.
Result<std::vector<std::string_view>> checkpoint_lines(std::string_view text);

// The words of a line, between single spaces.
std::vector<std::string_view> words_of(std::string_view line);
// A whole decimal number, nothing else.
std::optional<std::int64_t> number_of(std::string_view word);

}  // namespace pabal::log
