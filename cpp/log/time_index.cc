#include "log/time_index.h"

#include "log/big_endian.h"

namespace pabal::log {
namespace {

std::int64_t timestamp_of(const std::uint8_t* entry) {
    return get_big_endian<std::int64_t>(entry);
}
std::int64_t relative_offset(const std::uint8_t* entry) {
    return get_big_endian<std::int32_t>(entry + 8);
}

}  // namespace

IoStatus TimeIndex::load() {
    PABAL_TRY(file_.load());
    return refresh_last();
}

IoStatus TimeIndex::refresh_last() {
    last_ = TimestampOffset{-1, base_};
    if (count() == 0) return {};
    PABAL_TRY_ASSIGN(last_, entry(count() - 1));
    return {};
}

IoResult<TimestampOffset> TimeIndex::entry(std::uint32_t number) const {
    std::uint8_t bytes[entry_size];
    PABAL_TRY(file_.read(number, bytes));
    return TimestampOffset{timestamp_of(bytes), base_ + relative_offset(bytes)};
}

void TimeIndex::append_if_larger(TimestampOffset entry) {
    if (entry.timestamp <= last_.timestamp) return;
    std::uint8_t bytes[entry_size];
    put_big_endian(bytes, entry.timestamp);
    put_big_endian(bytes + 8, static_cast<std::int32_t>(entry.offset - base_));
    file_.append(bytes);
    last_ = entry;
}

IoResult<TimestampOffset> TimeIndex::floor(std::int64_t timestamp) const {
    PABAL_TRY_ASSIGN(const auto number, file_.count_at_most(timestamp - 1, timestamp_of));
    if (number == 0) return TimestampOffset{-1, base_};
    return entry(number - 1);
}

IoStatus TimeIndex::truncate_to_offset(Offset offset) {
    PABAL_TRY_ASSIGN(const auto number, file_.count_at_most(offset - base_ - 1, relative_offset));
    PABAL_TRY(file_.truncate(number));
    return refresh_last();
}

}  // namespace pabal::log
