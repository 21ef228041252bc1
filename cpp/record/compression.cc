#include "record/compression.h"

#include <fmt/core.h>
#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/big_endian.h"
#include "record/record_batch.h"

namespace pabal::record {
namespace {

constexpr std::size_t window_size = 64 * 1024;
// A decoder that a peculiar frame made larger than this is not kept.
constexpr std::size_t max_kept_decoder_bytes = 4u << 20;

// zlib's window of 32 KiB; the 16 asks for gzip's header and trailer.
constexpr int gzip_window_bits = 15 + 16;

// Kafka's default for lz4; its clients then use the fast compressor, not the high one.
constexpr int lz4_level_of_fast_compressor = 9;

// xerial's framing of snappy: this header, then blocks, each after its compressed length.
constexpr std::array<std::uint8_t, 16> snappy_header = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0x00,
                                                        0,    0,   0,   1,   0,   0,   0,   1};
constexpr std::size_t snappy_magic_size = 8;  // The versions behind it are not read.
constexpr std::size_t snappy_block_size = 32 * 1024;
// Snappy's densest element makes 64 bytes of 3; a block that announces more lies.
constexpr std::size_t snappy_max_ratio = 22;

constexpr std::array<std::uint8_t, 4> lz4_magic = {0x04, 0x22, 0x4D, 0x18};

Error damaged(Compression compression, const char* what) {
    return Error{ErrorCode::invalid_record, fmt::format("the {} compression of the records {}",
                                                        compression_name(compression), what)};
}

constexpr const char* cut_off = "is cut off";

bool starts_with_snappy_header(ByteView input) {
    return input.size() >= snappy_header.size() &&
           std::equal(snappy_header.begin(), snappy_header.begin() + snappy_magic_size,
                      input.begin());
}

LZ4F_preferences_t lz4_preferences(int level) {
    LZ4F_preferences_t preferences{};
    preferences.frameInfo.blockSizeID = LZ4F_max64KB;
    preferences.frameInfo.blockMode = LZ4F_blockIndependent;
    if (level != default_compression_level && level != lz4_level_of_fast_compressor) {
        preferences.compressionLevel = level;
    }
    return preferences;
}

struct FreeLz4 {
    void operator()(LZ4F_dctx* context) const { LZ4F_freeDecompressionContext(context); }
};
struct FreeZstdDecoder {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
struct FreeZstdEncoder {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct EndInflate {
    void operator()(z_stream* stream) const {
        inflateEnd(stream);
        delete stream;
    }
};
struct EndDeflate {
    void operator()(z_stream* stream) const {
        deflateEnd(stream);
        delete stream;
    }
};

}  // namespace

// What is being inflated, and the contexts; each is made when it is first needed.
struct Codecs::State {
    Compression compression = Compression::none;
    ByteView input;  // What the decoder has not taken yet.
    bool finished = true;

    std::unique_ptr<z_stream, EndInflate> inflater;
    std::unique_ptr<z_stream, EndDeflate> deflater;
    int deflater_level = 0;
    std::unique_ptr<LZ4F_dctx, FreeLz4> lz4;
    bool lz4_frame_checked = false;
    std::unique_ptr<ZSTD_DCtx, FreeZstdDecoder> zstd;
    std::unique_ptr<ZSTD_CCtx, FreeZstdEncoder> zstd_encoder;
    bool snappy_is_framed = false;
    std::unique_ptr<std::uint8_t[]> snappy_block;
    std::size_t snappy_block_capacity = 0;
    MutableByteView snappy_rest;  // Of the block: inflated, not read yet.
    std::unique_ptr<std::uint8_t[]> window;

    void take(std::size_t count) { input = input.subspan(count); }

    Result<std::size_t> read_none(MutableByteView into);
    Result<std::size_t> read_gzip(MutableByteView into);
    Result<std::size_t> read_snappy(MutableByteView into);
    Result<std::size_t> read_lz4(MutableByteView into);
    Result<std::size_t> read_zstd(MutableByteView into);
    Result<ByteView> next_snappy_block();
};

Codecs::Codecs() : state_(std::make_unique<State>()) {}
Codecs::~Codecs() = default;
Codecs::Codecs(Codecs&&) noexcept = default;
Codecs& Codecs::operator=(Codecs&&) noexcept = default;

void Codecs::begin(Compression compression, ByteView input) {
    State& state = *state_;
    state.compression = compression;
    state.input = input;
    state.finished = false;
    switch (compression) {
        case Compression::none: break;
        case Compression::gzip:
            if (!state.inflater) {
                auto stream = std::make_unique<z_stream>();
                const int answer = inflateInit2(stream.get(), gzip_window_bits);
                ASSERT(answer == Z_OK, "zlib has the memory for a decoder");
                state.inflater.reset(stream.release());
            } else {
                inflateReset(state.inflater.get());
            }
            break;
        case Compression::snappy:
            state.snappy_is_framed = starts_with_snappy_header(input);
            if (state.snappy_is_framed) state.take(snappy_header.size());
            state.snappy_rest = {};
            break;
        case Compression::lz4:
            state.lz4_frame_checked = false;
            if (!state.lz4) {
                LZ4F_dctx* context = nullptr;
                const auto answer = LZ4F_createDecompressionContext(&context, LZ4F_VERSION);
                ASSERT(!LZ4F_isError(answer), "lz4 has the memory for a decoder");
                state.lz4.reset(context);
            } else {
                LZ4F_resetDecompressionContext(state.lz4.get());
            }
            break;
        case Compression::zstd:
            if (state.zstd && ZSTD_sizeof_DCtx(state.zstd.get()) > max_kept_decoder_bytes) {
                state.zstd.reset();
            }
            if (!state.zstd) {
                state.zstd.reset(ZSTD_createDCtx());
                ASSERT(state.zstd, "zstd has the memory for a decoder");
            } else {
                ZSTD_DCtx_reset(state.zstd.get(), ZSTD_reset_session_only);
            }
            break;
    }
}

Result<std::size_t> Codecs::read(MutableByteView into) {
    State& state = *state_;
    if (state.finished || into.empty()) return std::size_t{0};
    switch (state.compression) {
        case Compression::none: return state.read_none(into);
        case Compression::gzip: return state.read_gzip(into);
        case Compression::snappy: return state.read_snappy(into);
        case Compression::lz4: return state.read_lz4(into);
        case Compression::zstd: return state.read_zstd(into);
    }
    return std::size_t{0};
}

Result<std::size_t> Codecs::State::read_none(MutableByteView into) {
    const std::size_t count = std::min(into.size(), input.size());
    std::copy_n(input.begin(), count, into.begin());
    take(count);
    finished = input.empty();
    return count;
}

Result<std::size_t> Codecs::State::read_gzip(MutableByteView into) {
    z_stream& stream = *inflater;
    stream.next_out = into.data();
    stream.avail_out = static_cast<uInt>(into.size());
    while (stream.avail_out > 0 && !finished) {
        stream.next_in = const_cast<Bytef*>(input.data());
        stream.avail_in = static_cast<uInt>(input.size());
        const int answer = inflate(&stream, Z_NO_FLUSH);
        take(input.size() - stream.avail_in);
        if (answer == Z_STREAM_END) {
            // Several members may follow each other; they inflate to one content.
            if (input.empty()) {
                finished = true;
            } else {
                inflateReset(&stream);
            }
        } else if (answer == Z_BUF_ERROR) {
            if (stream.avail_out > 0) return damaged(compression, cut_off);
        } else if (answer != Z_OK) {
            return damaged(compression, "is damaged");
        }
    }
    return into.size() - stream.avail_out;
}

Result<ByteView> Codecs::State::next_snappy_block() {
    if (!snappy_is_framed) return std::exchange(input, ByteView());
    // Streams may follow each other, each with its own header.
    while (starts_with_snappy_header(input)) take(snappy_header.size());
    if (input.empty()) return ByteView();
    if (input.size() < sizeof(std::int32_t)) return damaged(compression, cut_off);
    const auto length = load_big_endian<std::int32_t>(input.data());
    take(sizeof(std::int32_t));
    if (length <= 0) return damaged(compression, "has a block of no length");
    if (static_cast<std::size_t>(length) > input.size()) return damaged(compression, cut_off);
    const ByteView block = input.first(static_cast<std::size_t>(length));
    take(block.size());
    return block;
}

Result<std::size_t> Codecs::State::read_snappy(MutableByteView into) {
    std::size_t count = 0;
    while (count < into.size()) {
        if (!snappy_rest.empty()) {
            const std::size_t part = std::min(into.size() - count, snappy_rest.size());
            std::copy_n(snappy_rest.begin(), part, into.begin() + static_cast<long>(count));
            snappy_rest = snappy_rest.subspan(part);
            count += part;
            continue;
        }
        PABAL_TRY_ASSIGN(const ByteView block, next_snappy_block());
        if (block.empty()) {
            finished = true;
            break;
        }
        const auto text = as_text(block);
        std::size_t content_size = 0;
        if (!snappy::GetUncompressedLength(text.data(), text.size(), &content_size) ||
            content_size > block.size() * snappy_max_ratio) {
            return damaged(compression, "announces a content that it cannot hold");
        }
        std::uint8_t* to = into.data() + count;
        const bool fits = content_size <= into.size() - count;
        if (!fits) {
            if (snappy_block_capacity < content_size) {
                snappy_block.reset(new std::uint8_t[content_size]);
                snappy_block_capacity = content_size;
            }
            to = snappy_block.get();
        }
        if (!snappy::RawUncompress(text.data(), text.size(), reinterpret_cast<char*>(to))) {
            return damaged(compression, "is damaged");
        }
        if (fits) {
            count += content_size;
        } else {
            snappy_rest = {to, content_size};
        }
    }
    if (finished && snappy_block_capacity > max_kept_decoder_bytes) {
        snappy_block.reset();
        snappy_block_capacity = 0;
    }
    return count;
}

Result<std::size_t> Codecs::State::read_lz4(MutableByteView into) {
    if (!lz4_frame_checked) {
        // Java consumers read only version 1 with independent blocks and no dictionary; what they
        // could not read must not be stored.
        constexpr std::uint8_t version_independence_reserved_dictionary = 0xE3;
        constexpr std::uint8_t version_1_independent = 0x60;
        if (input.size() <= lz4_magic.size()) return damaged(compression, cut_off);
        if (!std::equal(lz4_magic.begin(), lz4_magic.end(), input.begin()) ||
            (input[lz4_magic.size()] & version_independence_reserved_dictionary) !=
                version_1_independent) {
            return damaged(compression, "is not a frame of independent blocks");
        }
        lz4_frame_checked = true;
    }
    std::size_t count = 0;
    while (count < into.size() && !finished) {
        std::size_t taken = input.size();
        std::size_t made = into.size() - count;
        const std::size_t answer =
            LZ4F_decompress(lz4.get(), into.data() + count, &made, input.data(), &taken, nullptr);
        if (LZ4F_isError(answer)) return damaged(compression, "is damaged");
        take(taken);
        count += made;
        if (answer == 0) {
            if (!input.empty()) return damaged(compression, "has bytes behind its end");
            finished = true;
        } else if (taken == 0 && made == 0) {
            return damaged(compression, cut_off);
        }
    }
    return count;
}

Result<std::size_t> Codecs::State::read_zstd(MutableByteView into) {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    while (out.pos < out.size && !finished) {
        ZSTD_inBuffer in{input.data(), input.size(), 0};
        const std::size_t before = out.pos;
        const std::size_t answer = ZSTD_decompressStream(zstd.get(), &out, &in);
        if (ZSTD_isError(answer)) return damaged(compression, "is damaged");
        take(in.pos);
        if (answer == 0) {
            // Several frames may follow each other; they inflate to one content.
            finished = input.empty();
        } else if (in.pos == 0 && out.pos == before) {
            return damaged(compression, cut_off);
        }
    }
    return out.pos;
}

Result<Bytes> Codecs::decompress(Compression compression, ByteView input, std::size_t limit) {
    begin(compression, input);
    Buffer content(std::min(limit, std::max<std::size_t>(4 * input.size(), 4096)));
    std::size_t size = 0;
    for (;;) {
        PABAL_TRY_ASSIGN(const std::size_t count, read(content.view().subspan(size)));
        size += count;
        if (state_->finished) break;
        if (size < content.size()) continue;
        if (size == limit) {
            std::uint8_t one_more = 0;
            PABAL_TRY_ASSIGN(const std::size_t more, read({&one_more, 1}));
            if (more == 0) break;
            return Error{ErrorCode::message_too_large,
                         fmt::format("the {} compression of {} bytes inflates to more than {}",
                                     compression_name(compression), input.size(), limit)};
        }
        Buffer larger(std::min(limit, 2 * content.size()));
        std::copy_n(content.data(), size, larger.data());
        content = std::move(larger);
    }
    if (content.size() - size > size / 4) return Bytes::copy_of(content.view().first(size));
    return Bytes(std::move(content)).slice(0, size);
}

MutableByteView Codecs::window() {
    if (!state_->window) state_->window.reset(new std::uint8_t[window_size]);
    return {state_->window.get(), window_size};
}

namespace {

void compress_snappy(ByteView input, std::vector<std::uint8_t>& output) {
    output.insert(output.end(), snappy_header.begin(), snappy_header.end());
    while (!input.empty()) {
        const ByteView block = input.first(std::min(input.size(), snappy_block_size));
        const std::size_t start = output.size();
        output.resize(start + sizeof(std::int32_t) + snappy::MaxCompressedLength(block.size()));
        std::size_t length = 0;
        snappy::RawCompress(as_text(block).data(), block.size(),
                            reinterpret_cast<char*>(output.data() + start + sizeof(std::int32_t)),
                            &length);
        store_big_endian(output.data() + start, static_cast<std::int32_t>(length));
        output.resize(start + sizeof(std::int32_t) + length);
        input = input.subspan(block.size());
    }
}

void compress_lz4(int level, ByteView input, std::vector<std::uint8_t>& output) {
    const auto preferences = lz4_preferences(level);
    const std::size_t start = output.size();
    output.resize(start + LZ4F_compressFrameBound(input.size(), &preferences));
    const std::size_t size = LZ4F_compressFrame(output.data() + start, output.size() - start,
                                                input.data(), input.size(), &preferences);
    ASSERT(!LZ4F_isError(size), "lz4 compresses into the room it asked for");
    output.resize(start + size);
}

}  // namespace

void Codecs::compress(Compression compression, int level, ByteView input,
                      std::vector<std::uint8_t>& output) {
    const std::size_t start = output.size();
    switch (compression) {
        case Compression::none: output.insert(output.end(), input.begin(), input.end()); return;
        case Compression::snappy: compress_snappy(input, output); return;
        case Compression::lz4: compress_lz4(level, input, output); return;
        case Compression::gzip: {
            const int known = level == default_compression_level
                                  ? Z_DEFAULT_COMPRESSION
                                  : std::clamp(level, Z_BEST_SPEED, Z_BEST_COMPRESSION);
            if (state_->deflater && state_->deflater_level != known) state_->deflater.reset();
            if (!state_->deflater) {
                auto stream = std::make_unique<z_stream>();
                constexpr int memory_level = 8;  // zlib's default.
                const int answer = deflateInit2(stream.get(), known, Z_DEFLATED, gzip_window_bits,
                                                memory_level, Z_DEFAULT_STRATEGY);
                ASSERT(answer == Z_OK, "zlib has the memory for an encoder");
                state_->deflater.reset(stream.release());
                state_->deflater_level = known;
            }
            z_stream& stream = *state_->deflater;
            output.resize(start + deflateBound(&stream, static_cast<uLong>(input.size())));
            stream.next_in = const_cast<Bytef*>(input.data());
            stream.avail_in = static_cast<uInt>(input.size());
            stream.next_out = output.data() + start;
            stream.avail_out = static_cast<uInt>(output.size() - start);
            const int answer = deflate(&stream, Z_FINISH);
            ASSERT(answer == Z_STREAM_END, "zlib compresses into the room it asked for");
            output.resize(output.size() - stream.avail_out);
            deflateReset(&stream);
            return;
        }
        case Compression::zstd: {
            if (!state_->zstd_encoder) {
                state_->zstd_encoder.reset(ZSTD_createCCtx());
                ASSERT(state_->zstd_encoder, "zstd has the memory for an encoder");
            }
            const int known = level == default_compression_level
                                  ? ZSTD_CLEVEL_DEFAULT
                                  : std::clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel());
            output.resize(start + ZSTD_compressBound(input.size()));
            const std::size_t size =
                ZSTD_compressCCtx(state_->zstd_encoder.get(), output.data() + start,
                                  output.size() - start, input.data(), input.size(), known);
            ASSERT(!ZSTD_isError(size), "zstd compresses into the room it asked for");
            output.resize(start + size);
            return;
        }
    }
}

Result<Bytes> inflate_records(const Bytes& bytes, const RecordBatchView& batch, Codecs& codecs,
                              std::size_t limit) {
    const auto compression = batch.compression();
    if (!compression) {
        return Error{ErrorCode::unsupported_compression_type,
                     fmt::format("the batch at offset {} has a codec that does not exist",
                                 batch.base_offset().value())};
    }
    const ByteView records = batch.records();
    if (*compression != Compression::none) return codecs.decompress(*compression, records, limit);
    ASSERT(records.data() >= bytes.data() &&
               records.data() + records.size() <= bytes.data() + bytes.size(),
           "the batch is a part of the bytes");
    return bytes.slice(static_cast<std::size_t>(records.data() - bytes.data()), records.size());
}

}  // namespace pabal::record
