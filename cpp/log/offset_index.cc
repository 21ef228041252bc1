#include "log/offset_index.h"

#include "log/big_endian.h"

namespace pabal::log {
namespace {

std::int64_t relative_offset(const std::uint8_t* entry) {
    return get_big_endian<std::int32_t>(entry);
}
std::int64_t position_of(const std::uint8_t* entry) {
    return get_big_endian<std::int32_t>(entry + 4);
}

}  // namespace

IoResult<OffsetPosition> OffsetIndex::entry(std::uint32_t number) const {
    std::uint8_t bytes[entry_size];
    PABAL_TRY(file_.read(number, bytes));
    return OffsetPosition{base_ + relative_offset(bytes), position_of(bytes)};
}

void OffsetIndex::append(Offset last_offset, std::int64_t position) {
    std::uint8_t bytes[entry_size];
    put_big_endian(bytes, static_cast<std::int32_t>(last_offset - base_));
    put_big_endian(bytes + 4, static_cast<std::int32_t>(position));
    file_.append(bytes);
}

IoResult<OffsetPosition> OffsetIndex::entry_before(std::uint32_t number) const {
    if (number == 0) return OffsetPosition{base_, 0};
    return entry(number - 1);
}

IoResult<OffsetPosition> OffsetIndex::floor_of_offset(Offset offset) const {
    PABAL_TRY_ASSIGN(const auto number, file_.count_at_most(offset - base_, relative_offset));
    return entry_before(number);
}

IoResult<OffsetPosition> OffsetIndex::floor_of_position(std::int64_t position) const {
    PABAL_TRY_ASSIGN(const auto number, file_.count_at_most(position, position_of));
    return entry_before(number);
}

IoResult<OffsetPosition> OffsetIndex::last() const {
    return entry_before(count());
}

IoStatus OffsetIndex::truncate_to_position(std::int64_t position) {
    PABAL_TRY_ASSIGN(const auto number, file_.count_at_most(position - 1, position_of));
    return file_.truncate(number);
}

}  // namespace pabal::log
