// The words of a batch's attributes and its control records: compression codec, timestamp type, and
// what a control record says. Kafka's numbers (KIP-32, KIP-98, KIP-110, KIP-595, KIP-853).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pabal::record {

enum class Compression : std::uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };

inline constexpr int compression_count = 5;

// As `compression.type` spells it; `uncompressed` is the other name of `none`.
constexpr std::string_view compression_name(Compression compression) {
    constexpr std::string_view names[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    return names[static_cast<int>(compression)];
}
constexpr std::optional<Compression> compression_named(std::string_view name) {
    for (int id = 0; id < compression_count; ++id) {
        const auto compression = static_cast<Compression>(id);
        if (name == compression_name(compression)) return compression;
    }
    if (name == "uncompressed") return Compression::none;
    return std::nullopt;
}

// Whether a record's timestamp is the producer's or the broker's. The values are those of the
// attribute bit.
enum class TimestampType : std::uint8_t { create_time = 0, log_append_time = 1 };

enum class ControlRecordType : std::int16_t {
    abort = 0,
    commit = 1,
    leader_change = 2,
    snapshot_header = 3,
    snapshot_footer = 4,
    kraft_version = 5,
    kraft_voters = 6,
};

// Bits of the attributes; the lowest three are the codec.
inline constexpr std::int16_t compression_mask = 0x07;
inline constexpr std::int16_t timestamp_type_bit = 0x08;
inline constexpr std::int16_t transactional_bit = 0x10;
inline constexpr std::int16_t control_bit = 0x20;
inline constexpr std::int16_t delete_horizon_bit = 0x40;

}  // namespace pabal::record
