// How long a client waits before it tries again: `first` after one failure, twice as long after
// each further one, never longer than `longest`; a fifth more or less, so that clients do not come
// back together (KIP-580).
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/prng.h"
#include "base/time.h"

namespace pabal::client {

inline Duration retry_backoff(Duration first, Duration longest, int failures, Prng* random) {
    constexpr int most_doublings = 10;
    const int doubled = std::clamp(failures - 1, 0, most_doublings);
    const std::int64_t full =
        std::min(first.to_microseconds() << doubled, longest.to_microseconds());
    return Duration::microseconds(full * random->between(80, 120) / 100);
}

}  // namespace pabal::client
