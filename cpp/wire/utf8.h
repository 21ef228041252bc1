// UTF-8 as Java's String reads it, so that a name means the same here and in Kafka.
#pragma once

#include <string>
#include <string_view>

namespace pabal::wire {

// Whether `text` is well-formed (no surrogates, no overlong forms, at most U+10FFFF).
bool is_utf8(std::string_view text);

// `text` with one U+FFFD for each malformed part.
std::string repaired_utf8(std::string_view text);

}  // namespace pabal::wire
