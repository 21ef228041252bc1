// The broker's settings that transactions obey, as numbers. Made once, when the broker starts.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace pabal::transaction {

struct Settings {
    std::int32_t max_timeout_ms = 900'000;
    // A transactional id that nobody used for so long is forgotten.
    Duration id_expiration = Duration::seconds(7 * 24 * 3600);
};

}  // namespace pabal::transaction
