// A record of a coordinator before it is written and after it was read: a key, and a value or none
// (a tombstone). Pure.
#pragma once

#include <optional>

#include "base/bytes.h"

namespace pabal::record {

struct KeyValue {
    Bytes key;
    std::optional<Bytes> value;

    bool operator==(const KeyValue&) const = default;
};

}  // namespace pabal::record
