// What whoever reads files of the log outside of a broker needs of the core: the checksum of a
// batch, and its inflated records. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/exported.h"
#include "base/result.h"

namespace pabal::embedded {

// CRC-32C of `bytes`.
PABAL_EXPORTED std::uint32_t batch_checksum(ByteView bytes);

// `input` inflated by the codec of this number in a batch's attributes. CORRUPT_MESSAGE if there is
// no such codec, INVALID_RECORD if the input is damaged, MESSAGE_TOO_LARGE beyond `limit` bytes.
PABAL_EXPORTED Result<Bytes> inflate(int codec, ByteView input, std::size_t limit);

}  // namespace pabal::embedded
