// Where a record with a key goes: Kafka's murmur2, bit for bit, so that a key lands in the
// partition that the Java client chooses for it.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/exported.h"
#include "base/ids.h"

namespace pabal::client {

// Kafka's variant of the 32-bit MurmurHash2, with Kafka's seed.
PABAL_EXPORTED std::uint32_t murmur2(ByteView key);

// The partition of `key` among `partitions`, which is positive.
inline PartitionIndex partition_for_key(ByteView key, std::int32_t partitions) {
    const auto hash = static_cast<std::int32_t>(murmur2(key) & 0x7fffffff);
    return PartitionIndex(hash % partitions);
}

}  // namespace pabal::client
