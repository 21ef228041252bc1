// Compression and its inverse in the exact forms that Kafka's clients write and read: gzip members,
// xerial's framing of snappy, LZ4 frames of independent blocks, zstd frames. Output is bounded by
// the caller; what inflates beyond the bound is an error before the memory is taken. Owned by one
// caller at a time: a Codecs object keeps its contexts and scratch memory between batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "record/attributes.h"

namespace pabal::record {

class RecordBatchView;

// Each codec's own default.
inline constexpr int default_compression_level = INT32_MIN;

class Codecs {
public:
    Codecs();
    ~Codecs();
    Codecs(Codecs&&) noexcept;
    Codecs& operator=(Codecs&&) noexcept;

    // Appends the compressed `input` to `output`. Levels: gzip 1..9, lz4 1..17, zstd as its library
    // says; beyond those the nearest is taken.
    void compress(Compression compression, int level, ByteView input,
                  std::vector<std::uint8_t>& output);
    // The whole content. INVALID_RECORD if the input is damaged or cut off, MESSAGE_TOO_LARGE if it
    // inflates to more than `limit` bytes.
    Result<Bytes> decompress(Compression compression, ByteView input, std::size_t limit);

    // Starts to inflate `input` piece by piece; ends what was inflated before. `input` must outlive
    // the reading.
    void begin(Compression compression, ByteView input);
    // Fills `into` as far as content remains; 0 at the end. INVALID_RECORD if the input is damaged
    // or cut off.
    Result<std::size_t> read(MutableByteView into);

    // Scratch memory that survives from batch to batch: where a piece is inflated to.
    MutableByteView window();

    struct State;

private:
    std::unique_ptr<State> state_;
};

// The records of a whole batch: the batch's own bytes if it is not compressed, else inflated ones.
// Errors as Codecs::decompress; `batch` must be a part of `bytes`.
Result<Bytes> inflate_records(const Bytes& bytes, const RecordBatchView& batch, Codecs& codecs,
                              std::size_t limit);

}  // namespace pabal::record
