// One record of a batch, and the walk over all of them. Views: keys, values and headers are slices
// of the batch's bytes (of its inflated bytes, if it is compressed). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace pabal::record {

class RecordBatchView;

struct RecordHeader {
    std::string_view key;
    std::optional<ByteView> value;  // Kafka distinguishes null and empty.
};

class RecordView {
public:
    Offset offset;
    WallTime timestamp;             // As the consumer sees it: the batch's with LogAppendTime.
    std::optional<ByteView> key;    // Kafka distinguishes null and empty.
    std::optional<ByteView> value;  // Null is a tombstone.
    std::int32_t header_count = 0;

    // Calls `visit(RecordHeader)` for each header, in order.
    template <class Visit>
    void for_each_header(Visit visit) const {
        ByteView rest = headers_;
        for (std::int32_t i = 0; i < header_count; ++i) visit(take_header(rest));
    }

private:
    friend class RecordReader;

    static RecordHeader take_header(ByteView& rest);

    ByteView headers_;  // Already checked.
};

// Walks the records of one batch. `records` are the batch's, inflated (see inflate_records in
// compression.h); both must outlive the reader and what it returns.
class RecordReader {
public:
    RecordReader(const RecordBatchView& batch, ByteView records);

    // The next record; nothing after the last. INVALID_RECORD where the bytes are not what the
    // header announced.
    Result<std::optional<RecordView>> next();

private:
    ByteView rest_;
    Offset base_offset_;
    std::int64_t base_timestamp_;
    std::optional<WallTime> append_time_;
    std::int32_t record_count_;
    std::int32_t index_ = 0;
};

}  // namespace pabal::record
