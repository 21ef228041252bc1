#include "record/record.h"

#include <fmt/core.h>

#include "record/record_batch.h"
#include "record/record_parse.h"

namespace pabal::record {
namespace {

struct Parts {
    const std::uint8_t* key_at = nullptr;
    const std::uint8_t* value_at = nullptr;
    const std::uint8_t* headers_at = nullptr;

    void key(const SpanCursor& cursor) { key_at = cursor.at(); }
    void value(const SpanCursor& cursor) { value_at = cursor.at(); }
    void headers(const SpanCursor& cursor) { headers_at = cursor.at(); }
};

std::optional<ByteView> part(const std::uint8_t* at, std::int32_t size) {
    if (size < 0) return std::nullopt;
    return ByteView(at, static_cast<std::size_t>(size));
}

std::int64_t wrapping_sum(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

}  // namespace

RecordHeader RecordView::take_header(ByteView& rest) {
    const std::uint8_t* end = rest.data() + rest.size();
    std::int32_t key_size = 0;
    const std::uint8_t* key_at = read_varint(rest.data(), end, key_size);
    std::int32_t value_size = 0;
    const std::uint8_t* value_at = read_varint(key_at + key_size, end, value_size);
    RecordHeader header;
    header.key = as_text({key_at, static_cast<std::size_t>(key_size)});
    header.value = part(value_at, value_size);
    if (value_size > 0) value_at += value_size;
    rest = {value_at, static_cast<std::size_t>(end - value_at)};
    return header;
}

RecordReader::RecordReader(const RecordBatchView& batch, ByteView records)
    : rest_(records),
      base_offset_(batch.base_offset()),
      base_timestamp_(batch.base_timestamp().milliseconds),
      record_count_(batch.record_count()) {
    if (batch.timestamp_type() == TimestampType::log_append_time) {
        append_time_ = batch.max_timestamp();
    }
}

Result<std::optional<RecordView>> RecordReader::next() {
    const auto refuse = [this](const char* what) {
        return Error{ErrorCode::invalid_record,
                     fmt::format("record {} of the batch at offset {} {}", index_,
                                 base_offset_.value(), what)};
    };
    if (index_ >= record_count_) {
        if (!rest_.empty()) return refuse("is the end, yet bytes follow");
        return std::optional<RecordView>();
    }
    const std::uint8_t* const rest_end = rest_.data() + rest_.size();
    std::int32_t size = 0;
    const std::uint8_t* const body = read_varint(rest_.data(), rest_end, size);
    if (!body) return refuse("is missing");
    if (size < 0 || size > rest_end - body) return refuse("has a length beyond the batch's end");

    SpanCursor cursor(body, body + size);
    RecordShape shape;
    Parts parts;
    if (const char* fault = parse_record_body(cursor, shape, parts)) return refuse(fault);

    RecordView record;
    record.offset = base_offset_ + shape.offset_delta;
    record.timestamp = append_time_
                           ? *append_time_
                           : WallTime{wrapping_sum(base_timestamp_, shape.timestamp_delta)};
    record.key = part(parts.key_at, shape.key_size);
    record.value = part(parts.value_at, shape.value_size);
    record.header_count = shape.header_count;
    record.headers_ = {parts.headers_at, cursor.at()};
    rest_ = {cursor.at(), rest_end};
    ++index_;
    return std::optional<RecordView>(record);
}

}  // namespace pabal::record
