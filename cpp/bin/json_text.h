// Writes one JSON object on one line, for programs that read what a program here prints. A value
// like any other; nothing is checked but that texts are escaped.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pabal {

class JsonObject {
public:
    JsonObject& add(std::string_view name, std::string_view text);
    JsonObject& add(std::string_view name, std::uint64_t number);
    JsonObject& add(std::string_view name, const std::map<std::string, std::uint64_t>& numbers);
    JsonObject& add(std::string_view name, const std::vector<std::string>& texts);
    JsonObject& add(std::string_view name, const JsonObject& object);
    JsonObject& add(std::string_view name, const std::vector<JsonObject>& objects);

    std::string text() const { return '{' + members_ + '}'; }

private:
    JsonObject& member(std::string_view name, std::string_view value);

    std::string members_;
};

}  // namespace pabal
