// Which names a topic may have.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace pabal::controller {

inline constexpr std::string_view cluster_metadata_topic = "__cluster_metadata";

// 1 to 249 of A-Z a-z 0-9 . _ -, but not "." or "..". INVALID_TOPIC_EXCEPTION says what is wrong.
Status check_topic_name(std::string_view name);
// Metrics cannot tell '.' from '_', so two names that differ in nothing else may not coexist. The
// name in which they are equal.
std::string collision_name(std::string_view name);
bool may_collide(std::string_view name);

}  // namespace pabal::controller
