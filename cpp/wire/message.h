// What every generated message header needs: the types of its fields, and the two ends of a codec.
// A message is one struct for all versions; `encode` and `decode` take the version. Ids are strong
// types (base/ids.h); records are a Rope, so that they are never copied on their way through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error_code.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/rope.h"
#include "wire/api_key.h"

namespace pabal::wire {

class Reader;
class Writer;

// `first_flexible` of messages that have no flexible version (KIP-482).
inline constexpr int never_flexible = 1 << 15;

}  // namespace pabal::wire
