#include "embedded/batch_codecs.h"

#include "base/crc32c.h"
#include "record/compression.h"

namespace pabal::embedded {

std::uint32_t batch_checksum(ByteView bytes) {
    return crc32c(bytes);
}

Result<Bytes> inflate(int codec, ByteView input, std::size_t limit) {
    if (codec < 0 || codec >= record::compression_count) {
        return Error{ErrorCode::corrupt_message,
                     "no codec has the number " + std::to_string(codec)};
    }
    record::Codecs codecs;
    return codecs.decompress(static_cast<record::Compression>(codec), input, limit);
}

}  // namespace pabal::embedded
