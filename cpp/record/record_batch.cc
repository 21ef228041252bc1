#include "record/record_batch.h"

#include <fmt/core.h>

#include "base/crc32c.h"

namespace pabal::record {

Result<RecordBatchView> RecordBatchView::parse(ByteView bytes) {
    if (bytes.size() < header_size) {
        return Error{ErrorCode::corrupt_message,
                     fmt::format("a record batch has a header of {} bytes, here are only {}",
                                 header_size, bytes.size())};
    }
    const RecordBatchView batch(bytes);
    if (batch.magic() != magic_v2) {
        return Error{ErrorCode::corrupt_message,
                     fmt::format("record batch with magic {}, only 2 is supported", batch.magic())};
    }
    constexpr auto least_length = static_cast<std::int32_t>(header_size - log_overhead);
    if (batch.batch_length() < least_length) {
        return Error{ErrorCode::corrupt_message,
                     fmt::format("record batch with length {}, which is less than the {} of its "
                                 "header",
                                 batch.batch_length(), least_length)};
    }
    // Offsets that count on from here must not overflow.
    constexpr std::int64_t greatest_base_offset = INT64_MAX - INT32_MAX - 1;
    if (batch.base_offset() < Offset(0) || batch.base_offset() > Offset(greatest_base_offset)) {
        return Error{ErrorCode::corrupt_message,
                     fmt::format("record batch with the impossible base offset {}",
                                 batch.base_offset().value())};
    }
    return batch;
}

ByteView RecordBatchView::bytes() const {
    ASSERT(is_whole(), "a batch is used only when all its bytes are there");
    return available_.first(size());
}

ByteView RecordBatchView::records() const {
    return bytes().subspan(header_size);
}

std::uint32_t RecordBatchView::computed_crc() const {
    return crc32c(bytes().subspan(attributes_position));
}

bool RecordBatchView::crc_is_right() const {
    return computed_crc() == crc();
}

BatchPrefix patched_prefix(const RecordBatchView& batch, Offset base_offset,
                           LeaderEpoch leader_epoch) {
    BatchPrefix prefix;
    store_big_endian(prefix.data() + base_offset_position, base_offset.value());
    store_big_endian(prefix.data() + batch_length_position, batch.batch_length());
    store_big_endian(prefix.data() + leader_epoch_position, leader_epoch.value());
    return prefix;
}

Result<std::optional<RecordBatchView>> BatchWalker::next() {
    const ByteView rest = bytes_.subspan(position_);
    if (rest.size() < header_size) return std::optional<RecordBatchView>();
    auto batch = RecordBatchView::parse(rest);
    if (!batch.ok()) {
        return Error{batch.error().code,
                     fmt::format("at byte {}: {}", position_, batch.error().message)};
    }
    if (batch->last_offset_delta() < 0) {
        return Error{
            ErrorCode::corrupt_message,
            fmt::format("at byte {}: record batch with the impossible last offset delta {}",
                        position_, batch->last_offset_delta())};
    }
    if (!batch->is_whole()) return std::optional<RecordBatchView>();
    position_ += batch->size();
    return std::optional<RecordBatchView>(*batch);
}

}  // namespace pabal::record
