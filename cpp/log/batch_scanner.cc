#include "log/batch_scanner.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "io/disk.h"

namespace pabal::log {

IoResult<ByteView> BatchScanner::load(std::int64_t position, std::size_t size) {
    size = static_cast<std::size_t>(
        std::min<std::int64_t>(static_cast<std::int64_t>(size), end_ - position));
    const std::int64_t loaded_end = loaded_at_ + static_cast<std::int64_t>(loaded_);
    if (position >= loaded_at_ && position + static_cast<std::int64_t>(size) <= loaded_end) {
        return ByteView(buffer_.get() + (position - loaded_at_), size);
    }
    const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(
        static_cast<std::int64_t>(std::max(size, window_)), end_ - position));
    std::size_t kept = 0;
    if (position >= loaded_at_ && position < loaded_end) {
        kept = static_cast<std::size_t>(loaded_end - position);
    }
    const std::uint8_t* kept_from = kept > 0 ? buffer_.get() + (position - loaded_at_) : nullptr;
    if (wanted > capacity_) {
        std::unique_ptr<std::uint8_t[]> larger(new std::uint8_t[wanted]);
        if (kept > 0) std::memcpy(larger.get(), kept_from, kept);
        buffer_ = std::move(larger);
        capacity_ = wanted;
    } else if (kept > 0) {
        std::memmove(buffer_.get(), kept_from, kept);
    }
    loaded_at_ = position;
    loaded_ = kept;
    PABAL_TRY_ASSIGN(const std::size_t read, file_.read(static_cast<std::uint64_t>(position) + kept,
                                                        {buffer_.get() + kept, wanted - kept}));
    loaded_ += read;
    return ByteView(buffer_.get(), std::min(size, loaded_));
}

IoResult<bool> BatchScanner::next() {
    if (stop_ != Stop::none) return false;
    position_ = next_;
    if (position_ >= end_) {
        stop_ = Stop::end;
        return false;
    }
    PABAL_TRY_ASSIGN(const ByteView header, load(position_, record::header_size));
    if (header.size() < record::header_size) {
        stop_ = Stop::cut_off;
        reason_ = "only " + std::to_string(header.size()) + " bytes of a batch's header";
        return false;
    }
    auto parsed = record::RecordBatchView::parse(header);
    if (!parsed.ok()) {
        stop_ = Stop::no_batch;
        reason_ = parsed.error().message;
        return false;
    }
    batch_ = *parsed;
    next_ = position_ + static_cast<std::int64_t>(batch_.size());
    if (next_ > end_) {
        stop_ = Stop::cut_off;
        reason_ = "a batch of " + std::to_string(batch_.size()) + " bytes of which " +
                  std::to_string(end_ - position_) + " are there";
        return false;
    }
    return true;
}

IoResult<record::RecordBatchView> BatchScanner::whole() {
    const std::size_t size = batch_.size();
    PABAL_TRY_ASSIGN(const ByteView bytes, load(position_, size));
    auto parsed = record::RecordBatchView::parse(bytes);
    if (bytes.size() < size || !parsed.ok()) {
        return IoError{0, file_.path() + " became shorter while it was read at position " +
                              std::to_string(position_)};
    }
    batch_ = *parsed;
    return batch_;
}

IoResult<bool> BatchScanner::crc_is_right() {
    if (batch_.size() <= std::max(window_, lookup_window)) {
        PABAL_TRY_ASSIGN(const auto batch, whole());
        return batch.crc_is_right();
    }
    // A damaged length may claim the rest of the file: sum up piece by piece.
    const std::uint32_t expected = batch_.crc();
    std::uint32_t sum = 0;
    for (std::int64_t at = position_ + record::attributes_position; at < next_;) {
        const auto left = static_cast<std::size_t>(next_ - at);
        PABAL_TRY_ASSIGN(const ByteView piece, load(at, std::min(left, window_)));
        if (piece.empty()) {
            return IoError{0, file_.path() + " became shorter while it was read at position " +
                                  std::to_string(at)};
        }
        sum = crc32c(sum, piece);
        at += static_cast<std::int64_t>(piece.size());
    }
    PABAL_TRY_ASSIGN(const ByteView header, load(position_, record::header_size));
    auto parsed = record::RecordBatchView::parse(header);
    if (!parsed.ok()) return false;
    batch_ = *parsed;
    return sum == expected;
}

}  // namespace pabal::log
