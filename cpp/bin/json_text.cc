#include "bin/json_text.h"

#include <cstdio>

namespace pabal {
namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char character : text) {
        if (character == '"' || character == '\\') {
            out += '\\';
            out += character;
        } else if (static_cast<unsigned char>(character) < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", character);
            out += escaped;
        } else {
            out += character;
        }
    }
    return out + '"';
}

template <class Values, class Text>
std::string listed(const Values& values, Text text) {
    std::string out;
    for (const auto& value : values) {
        if (!out.empty()) out += ',';
        out += text(value);
    }
    return out;
}

}  // namespace

JsonObject& JsonObject::member(std::string_view name, std::string_view value) {
    if (!members_.empty()) members_ += ',';
    members_ += quoted(name) + ':';
    members_ += value;
    return *this;
}

JsonObject& JsonObject::add(std::string_view name, std::string_view text) {
    return member(name, quoted(text));
}

JsonObject& JsonObject::add(std::string_view name, std::uint64_t number) {
    return member(name, std::to_string(number));
}

JsonObject& JsonObject::add(std::string_view name,
                            const std::map<std::string, std::uint64_t>& numbers) {
    const auto pair = [](const auto& entry) {
        return quoted(entry.first) + ':' + std::to_string(entry.second);
    };
    return member(name, '{' + listed(numbers, pair) + '}');
}

JsonObject& JsonObject::add(std::string_view name, const std::vector<std::string>& texts) {
    return member(name, '[' + listed(texts, quoted) + ']');
}

JsonObject& JsonObject::add(std::string_view name, const JsonObject& object) {
    return member(name, object.text());
}

JsonObject& JsonObject::add(std::string_view name, const std::vector<JsonObject>& objects) {
    const auto text = [](const JsonObject& object) { return object.text(); };
    return member(name, '[' + listed(objects, text) + ']');
}

}  // namespace pabal
