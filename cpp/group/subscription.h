// What the members of a classic consumer group subscribe to, read from the metadata that they tell
// each other through the coordinator (the embedded consumer protocol).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace pabal::group {

inline constexpr std::string_view consumer_protocol_type = "consumer";

// Nothing if it is not metadata of a consumer.
std::optional<std::vector<std::string>> subscribed_topics(const Bytes& metadata);

}  // namespace pabal::group
