// A properties file as Java reads it: NAME=VALUE, NAME:VALUE or NAME VALUE, comments, backslashes,
// lines that go on.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace pabal::bin {

// A name that stands twice has its last value. INVALID_CONFIG names the line.
Result<std::map<std::string, std::string>> parse_properties(std::string_view text);

}  // namespace pabal::bin
