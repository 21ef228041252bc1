// Walks the records of a slice that was fetched. They were checked then, so nothing is here.
#pragma once

#include "base/varint.h"
#include "client/fetched_records.h"

namespace pabal::bindings {

struct RecordParts {
    std::int64_t offset = 0;
    std::int64_t timestamp = 0;
    const std::uint8_t* key = nullptr;
    const std::uint8_t* value = nullptr;
    const std::uint8_t* headers = nullptr;  // The first header, behind their count.
    std::int32_t key_size = -1;             // -1 for null.
    std::int32_t value_size = -1;
    std::int32_t header_count = 0;
};

class RecordCursor {
public:
    explicit RecordCursor(const client::FetchedSlice& slice)
        : batch_(*slice.batch),
          at_(batch_.records.data() + slice.begin),
          end_(batch_.records.data() + slice.end) {}

    bool at_end() const { return at_ == end_; }
    RecordParts next() {
        RecordParts parts;
        std::int32_t size = 0;
        const std::uint8_t* at = read_varint(at_, end_, size);
        const std::uint8_t* after = at + size;
        std::int64_t timestamp_delta = 0;
        std::int32_t offset_delta = 0;
        at = read_varlong(at + 1, end_, timestamp_delta);
        at = read_varint(at, end_, offset_delta);
        at = read_varint(at, end_, parts.key_size);
        parts.key = at;
        if (parts.key_size > 0) at += parts.key_size;
        at = read_varint(at, end_, parts.value_size);
        parts.value = at;
        if (parts.value_size > 0) at += parts.value_size;
        at = read_varint(at, end_, parts.header_count);
        parts.headers = at;
        parts.offset = batch_.base_offset + offset_delta;
        parts.timestamp =
            batch_.append_time >= 0
                ? batch_.append_time
                : static_cast<std::int64_t>(static_cast<std::uint64_t>(batch_.base_timestamp) +
                                            static_cast<std::uint64_t>(timestamp_delta));
        at_ = after;
        return parts;
    }

private:
    const client::FetchedBatch& batch_;
    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

// Calls visit(key, key_size, value, value_size) for each header; a value of size -1 is null.
template <class Visit>
void for_each_header(const RecordParts& parts, const std::uint8_t* end, Visit visit) {
    const std::uint8_t* at = parts.headers;
    for (std::int32_t index = 0; index < parts.header_count; ++index) {
        std::int32_t key_size = 0;
        std::int32_t value_size = 0;
        at = read_varint(at, end, key_size);
        const std::uint8_t* key = at;
        at = read_varint(at + key_size, end, value_size);
        const std::uint8_t* value = at;
        if (value_size > 0) at += value_size;
        visit(key, key_size, value, value_size);
    }
}

}  // namespace pabal::bindings
