// Record batch v2, the unit that producers send, the log stores and consumers fetch (KIP-98). A
// view over bytes that somebody else owns and keeps alive: it copies nothing and checks only what
// is needed to find its end; validation.h checks the rest. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/big_endian.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "record/attributes.h"

namespace pabal::record {

// Positions of the header's fields.
inline constexpr std::size_t base_offset_position = 0;
inline constexpr std::size_t batch_length_position = 8;
inline constexpr std::size_t leader_epoch_position = 12;
inline constexpr std::size_t magic_position = 16;
inline constexpr std::size_t crc_position = 17;
inline constexpr std::size_t attributes_position = 21;  // The CRC covers all from here on.
inline constexpr std::size_t last_offset_delta_position = 23;
inline constexpr std::size_t base_timestamp_position = 27;
inline constexpr std::size_t max_timestamp_position = 35;
inline constexpr std::size_t producer_id_position = 43;
inline constexpr std::size_t producer_epoch_position = 51;
inline constexpr std::size_t base_sequence_position = 53;
inline constexpr std::size_t record_count_position = 57;
inline constexpr std::size_t header_size = 61;

// Base offset and batch length: what stands before the part that the batch length counts.
inline constexpr std::size_t log_overhead = 12;
inline constexpr std::int8_t magic_v2 = 2;
inline constexpr std::int32_t no_sequence = -1;

// The sequence number `count` records after `sequence`; after 2^31 - 1 comes 0.
constexpr std::int32_t sequence_after(std::int32_t sequence, std::int32_t count) {
    return static_cast<std::int32_t>((std::int64_t{sequence} + count) & INT32_MAX);
}

class RecordBatchView {
public:
    RecordBatchView() = default;

    // The batch that starts at the first of `bytes`. Needs its whole header there, the records may
    // be missing (`is_whole`). CORRUPT_MESSAGE if the length is below a header's, the magic is not
    // 2 or the base offset cannot be.
    static Result<RecordBatchView> parse(ByteView bytes);

    Offset base_offset() const { return Offset(read<std::int64_t>(base_offset_position)); }
    Offset last_offset() const { return base_offset() + last_offset_delta(); }
    Offset next_offset() const { return last_offset() + 1; }
    std::int32_t batch_length() const { return read<std::int32_t>(batch_length_position); }
    LeaderEpoch leader_epoch() const {
        return LeaderEpoch(read<std::int32_t>(leader_epoch_position));
    }
    std::int8_t magic() const { return read<std::int8_t>(magic_position); }
    std::uint32_t crc() const { return read<std::uint32_t>(crc_position); }

    std::int16_t attributes() const { return read<std::int16_t>(attributes_position); }
    // Nothing for a codec that does not exist.
    std::optional<Compression> compression() const {
        const int id = attributes() & compression_mask;
        if (id >= compression_count) return std::nullopt;
        return static_cast<Compression>(id);
    }
    TimestampType timestamp_type() const {
        return (attributes() & timestamp_type_bit) ? TimestampType::log_append_time
                                                   : TimestampType::create_time;
    }
    bool is_transactional() const { return attributes() & transactional_bit; }
    bool is_control() const { return attributes() & control_bit; }
    // When compaction may drop this batch's tombstones (KIP-534); takes the base timestamp's place.
    std::optional<WallTime> delete_horizon() const {
        if (!(attributes() & delete_horizon_bit)) return std::nullopt;
        return base_timestamp();
    }

    std::int32_t last_offset_delta() const {
        return read<std::int32_t>(last_offset_delta_position);
    }
    WallTime base_timestamp() const {
        return WallTime{read<std::int64_t>(base_timestamp_position)};
    }
    WallTime max_timestamp() const { return WallTime{read<std::int64_t>(max_timestamp_position)}; }
    ProducerId producer_id() const { return ProducerId(read<std::int64_t>(producer_id_position)); }
    bool has_producer_id() const { return producer_id() > no_producer_id; }
    ProducerEpoch producer_epoch() const {
        return ProducerEpoch(read<std::int16_t>(producer_epoch_position));
    }
    std::int32_t base_sequence() const { return read<std::int32_t>(base_sequence_position); }
    std::int32_t last_sequence() const {
        if (base_sequence() == no_sequence) return no_sequence;
        return sequence_after(base_sequence(), last_offset_delta());
    }
    // May be less than the offsets count, once compaction has removed records.
    std::int32_t record_count() const { return read<std::int32_t>(record_count_position); }

    // Header and records.
    std::size_t size() const { return log_overhead + static_cast<std::size_t>(batch_length()); }
    // Whether all bytes of the batch are here; `bytes`, `records` and `crc_is_right` need that.
    bool is_whole() const { return available_.size() >= size(); }
    ByteView bytes() const;
    // What follows the header, compressed if the batch is.
    ByteView records() const;
    bool crc_is_right() const;
    std::uint32_t computed_crc() const;

private:
    explicit RecordBatchView(ByteView available) : available_(available) {}

    template <class Integer>
    Integer read(std::size_t position) const {
        return load_big_endian<Integer>(available_.data() + position);
    }

    ByteView available_;  // At least a header, if not default-constructed.
};

// The first 16 bytes of a batch: all that changes when it is appended, and outside of its CRC.
using BatchPrefix = std::array<std::uint8_t, magic_position>;

// Those bytes with another base offset and leader epoch: a log writes them, then the batch from
// `magic_position` on, and copies no record.
BatchPrefix patched_prefix(const RecordBatchView& batch, Offset base_offset,
                           LeaderEpoch leader_epoch);

// Walks bytes that hold several batches, as a fetch response or a piece of a segment does.
class BatchWalker {
public:
    explicit BatchWalker(ByteView bytes) : bytes_(bytes) {}

    // The next whole batch; nothing at the end and where the last one is cut off. CORRUPT_MESSAGE
    // where no batch can start or where one would end before it starts. Checks no CRC.
    Result<std::optional<RecordBatchView>> next();
    // Where the next batch starts.
    std::size_t position() const { return position_; }
    std::size_t remaining() const { return bytes_.size() - position_; }

private:
    ByteView bytes_;
    std::size_t position_ = 0;
};

}  // namespace pabal::record
