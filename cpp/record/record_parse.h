// The grammar of one record, written once for its two readers: over bytes that lie in one piece
// (SpanCursor), and over content that is inflated piece by piece (InflatedCursor, validation.cc).
// A cursor offers byte, varint, varlong and skip, each false when the record's bytes end before.
#pragma once

#include <cstdint>

#include "base/varint.h"

namespace pabal::record {

// What a record says, without its bytes.
struct RecordShape {
    std::int64_t timestamp_delta = 0;
    std::int32_t offset_delta = 0;
    std::int32_t key_size = -1;    // -1 for null.
    std::int32_t value_size = -1;  // -1 for null.
    std::int32_t header_count = 0;
};

class SpanCursor {
public:
    SpanCursor(const std::uint8_t* at, const std::uint8_t* end) : at_(at), end_(end) {}

    const std::uint8_t* at() const { return at_; }
    bool at_end() const { return at_ == end_; }
    std::size_t remaining() const { return static_cast<std::size_t>(end_ - at_); }

    bool byte() {
        if (at_ == end_) return false;
        ++at_;
        return true;
    }
    bool varint(std::int32_t& value) {
        at_ = read_varint(at_, end_, value);
        return at_ != nullptr;
    }
    bool varlong(std::int64_t& value) {
        at_ = read_varlong(at_, end_, value);
        return at_ != nullptr;
    }
    // `count` is not negative.
    bool skip(std::int32_t count) {
        if (static_cast<std::size_t>(count) > remaining()) return false;
        at_ += count;
        return true;
    }

private:
    const std::uint8_t*
        at_;  // Null once a number was malformed; then the cursor is not used again.
    const std::uint8_t* end_;
};

// Where the parts of a record lie, for the reader that wants them.
struct NoParts {
    template <class Cursor>
    void key(const Cursor&) {}
    template <class Cursor>
    void value(const Cursor&) {}
    template <class Cursor>
    void headers(const Cursor&) {}
};

// Reads the body of a record: all but its length, to which `cursor` is bounded. Returns null, or
// what is wrong with it. `parts` is told when the cursor stands at a key, a value and the headers.
template <class Cursor, class Parts>
inline const char* parse_record_body(Cursor& cursor, RecordShape& shape, Parts& parts) {
    constexpr const char* cut_off = "is cut off or holds a malformed number";
    if (!cursor.byte() || !cursor.varlong(shape.timestamp_delta) ||
        !cursor.varint(shape.offset_delta) || !cursor.varint(shape.key_size)) {
        return cut_off;
    }
    if (shape.key_size < -1) return "has a key of negative size";
    parts.key(cursor);
    if (shape.key_size > 0 && !cursor.skip(shape.key_size)) return "has a key beyond its end";
    if (!cursor.varint(shape.value_size)) return cut_off;
    if (shape.value_size < -1) return "has a value of negative size";
    parts.value(cursor);
    if (shape.value_size > 0 && !cursor.skip(shape.value_size)) return "has a value beyond its end";
    if (!cursor.varint(shape.header_count)) return cut_off;
    if (shape.header_count < 0) return "has a negative count of headers";
    parts.headers(cursor);
    for (std::int32_t header = 0; header < shape.header_count; ++header) {
        std::int32_t size = 0;
        if (!cursor.varint(size)) return cut_off;
        if (size < 0) return "has a header with a key of negative size";
        if (!cursor.skip(size)) return "has a header key beyond its end";
        if (!cursor.varint(size)) return cut_off;
        if (size < -1) return "has a header with a value of negative size";
        if (size > 0 && !cursor.skip(size)) return "has a header value beyond its end";
    }
    if (!cursor.at_end()) return "is longer than its fields";
    return nullptr;
}

}  // namespace pabal::record
