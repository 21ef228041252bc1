// What a client may do, as bits by operation code, for the fields that Metadata and its kin carry.
// No authorizer is served yet, so everybody may do everything that a resource knows.
#pragma once

#include <cstdint>

namespace pabal::broker {

// read 3, write 4, create 5, delete 6, alter 7, describe 8, describe configs 10, alter configs 11
inline constexpr std::int32_t all_topic_operations =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
// create 5, alter 7, describe 8, cluster action 9, describe configs 10, alter configs 11,
// idempotent write 12
inline constexpr std::int32_t all_cluster_operations =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
// read 3, delete 6, describe 8, describe configs 10, alter configs 11
inline constexpr std::int32_t all_group_operations = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

}  // namespace pabal::broker
