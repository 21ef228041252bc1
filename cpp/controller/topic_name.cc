#include "controller/topic_name.h"

#include <algorithm>

namespace pabal::controller {
namespace {

constexpr std::size_t max_length = 249;  // A directory adds "-" and the partition's number.

bool is_legal(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

Error invalid(std::string what) {
    return {ErrorCode::invalid_topic_exception, std::move(what)};
}

}  // namespace

Status check_topic_name(std::string_view name) {
    if (name.empty()) return invalid("A topic name must not be empty.");
    if (name == "." || name == "..") return invalid("A topic name must not be '.' or '..'.");
    if (name.size() > max_length)
        return invalid("A topic name must not be longer than " + std::to_string(max_length) +
                       " characters; this one has " + std::to_string(name.size()) + ".");
    if (!std::all_of(name.begin(), name.end(), is_legal))
        return invalid("Topic name '" + std::string(name) +
                       "' holds characters other than ASCII letters, digits, '.', '_' and '-'.");
    return {};
}

std::string collision_name(std::string_view name) {
    std::string unified(name);
    std::replace(unified.begin(), unified.end(), '.', '_');
    return unified;
}

bool may_collide(std::string_view name) {
    return name.find_first_of("._") != std::string_view::npos;
}

}  // namespace pabal::controller
