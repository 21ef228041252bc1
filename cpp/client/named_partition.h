// A partition by its topic's name, as users know it.
#pragma once

#include <compare>
#include <string>

#include "base/ids.h"

namespace pabal::client {

struct NamedPartition {
    std::string topic;
    PartitionIndex partition;

    auto operator<=>(const NamedPartition&) const = default;
};

}  // namespace pabal::client
