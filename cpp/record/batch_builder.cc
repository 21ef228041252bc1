#include "record/batch_builder.h"

#include <utility>

#include "base/big_endian.h"
#include "base/crc32c.h"
#include "base/varint.h"

namespace pabal::record {
namespace {

std::size_t sized_bytes_size(std::optional<ByteView> bytes) {
    if (!bytes) return 1;
    return varint_size(static_cast<std::int32_t>(bytes->size())) + bytes->size();
}

std::size_t headers_size(std::span<const RecordHeader> headers) {
    std::size_t size = varint_size(static_cast<std::int32_t>(headers.size()));
    for (const auto& header : headers) {
        size += sized_bytes_size(as_bytes(header.key)) + sized_bytes_size(header.value);
    }
    return size;
}

std::uint8_t* write_sized_bytes(std::uint8_t* to, std::optional<ByteView> bytes) {
    if (!bytes) return write_varint(to, -1);
    to = write_varint(to, static_cast<std::int32_t>(bytes->size()));
    if (!bytes->empty()) std::memcpy(to, bytes->data(), bytes->size());
    return to + bytes->size();
}

}  // namespace

RecordBatchBuilder::RecordBatchBuilder(BatchOptions options) : options_(options) {}

std::size_t RecordBatchBuilder::record_size_bound(std::optional<ByteView> key,
                                                  std::optional<ByteView> value,
                                                  std::span<const RecordHeader> headers) {
    return max_varint_size + 1 + max_varlong_size + max_varint_size + sized_bytes_size(key) +
           sized_bytes_size(value) + headers_size(headers);
}

std::uint8_t* RecordBatchBuilder::grow(std::size_t size) {
    if (content_.empty()) content_.resize(header_size);
    const std::size_t before = content_.size();
    content_.resize(before + size);
    return content_.data() + before;
}

void RecordBatchBuilder::append(WallTime timestamp, std::optional<ByteView> key,
                                std::optional<ByteView> value,
                                std::span<const RecordHeader> headers) {
    append_at(last_offset_delta_ + 1, timestamp, key, value, headers);
}

void RecordBatchBuilder::append_at(std::int32_t offset_delta, WallTime timestamp,
                                   std::optional<ByteView> key, std::optional<ByteView> value,
                                   std::span<const RecordHeader> headers) {
    ASSERT(offset_delta > last_offset_delta_, "offsets ascend within a batch");
    if (record_count_ == 0) {
        base_timestamp_ = options_.delete_horizon ? options_.delete_horizon->milliseconds
                                                  : timestamp.milliseconds;
    }
    const auto timestamp_delta =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(timestamp.milliseconds) -
                                  static_cast<std::uint64_t>(base_timestamp_));
    const std::size_t body = 1 + varlong_size(timestamp_delta) + varint_size(offset_delta) +
                             sized_bytes_size(key) + sized_bytes_size(value) +
                             headers_size(headers);
    const auto body_size = static_cast<std::int32_t>(body);
    std::uint8_t* at = grow(varint_size(body_size) + body);
    at = write_varint(at, body_size);
    *at++ = 0;  // A record has no attributes yet.
    at = write_varlong(at, timestamp_delta);
    at = write_varint(at, offset_delta);
    at = write_sized_bytes(at, key);
    at = write_sized_bytes(at, value);
    at = write_varint(at, static_cast<std::int32_t>(headers.size()));
    for (const auto& header : headers) {
        at = write_sized_bytes(at, as_bytes(header.key));
        at = write_sized_bytes(at, header.value);
    }
    ASSERT(at == content_.data() + content_.size(), "a record has the size that was computed");
    ++record_count_;
    last_offset_delta_ = offset_delta;
    if (timestamp.milliseconds > max_timestamp_) max_timestamp_ = timestamp.milliseconds;
}

Bytes RecordBatchBuilder::build() {
    ASSERT(options_.compression == Compression::none, "a compressed batch is built with codecs");
    if (content_.empty()) content_.resize(header_size);
    return finish(content_);
}

Bytes RecordBatchBuilder::build(Codecs& codecs) {
    if (options_.compression == Compression::none) return build();
    if (content_.empty()) content_.resize(header_size);
    std::vector<std::uint8_t> compressed(header_size);
    codecs.compress(options_.compression, options_.compression_level,
                    ByteView(content_).subspan(header_size), compressed);
    return finish(compressed);
}

Bytes RecordBatchBuilder::finish(std::vector<std::uint8_t>& batch) {
    std::int16_t attributes = static_cast<std::int16_t>(options_.compression);
    if (options_.timestamp_type == TimestampType::log_append_time) {
        attributes |= timestamp_type_bit;
        max_timestamp_ = options_.append_time.milliseconds;
    }
    if (options_.transactional) attributes |= transactional_bit;
    if (options_.control) attributes |= control_bit;
    if (options_.delete_horizon) attributes |= delete_horizon_bit;

    std::uint8_t* at = batch.data();
    store_big_endian(at + base_offset_position, options_.base_offset.value());
    store_big_endian(at + batch_length_position,
                     static_cast<std::int32_t>(batch.size() - log_overhead));
    store_big_endian(at + leader_epoch_position, options_.leader_epoch.value());
    store_big_endian(at + magic_position, magic_v2);
    store_big_endian(at + attributes_position, attributes);
    store_big_endian(at + last_offset_delta_position, last_offset_delta_);
    store_big_endian(at + base_timestamp_position, base_timestamp_);
    store_big_endian(at + max_timestamp_position, max_timestamp_);
    store_big_endian(at + producer_id_position, options_.producer_id.value());
    store_big_endian(at + producer_epoch_position, options_.producer_epoch.value());
    store_big_endian(at + base_sequence_position, options_.base_sequence);
    store_big_endian(at + record_count_position, record_count_);
    store_big_endian(at + crc_position, crc32c(ByteView(batch).subspan(attributes_position)));

    Bytes result = Bytes::copy_of(ByteView(batch));
    content_.clear();
    record_count_ = 0;
    last_offset_delta_ = -1;
    base_timestamp_ = -1;
    max_timestamp_ = -1;
    return result;
}

}  // namespace pabal::record
