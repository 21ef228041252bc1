// CRC-32C (Castagnoli), the checksum of record batches. A pure function; picks the processor's CRC
// instructions when it has them (three streams at once on x86-64), tables otherwise.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace pabal {

// Continues `crc`, the checksum of what came before: crc32c(crc32c(a), b) is the checksum of ab.
std::uint32_t crc32c(std::uint32_t crc, ByteView bytes);

inline std::uint32_t crc32c(ByteView bytes) {
    return crc32c(0, bytes);
}

// The same by tables alone, as processors without CRC instructions compute it.
std::uint32_t crc32c_by_table(std::uint32_t crc, ByteView bytes);

}  // namespace pabal
