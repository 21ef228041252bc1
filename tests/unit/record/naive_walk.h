// The format of records, read in the plainest way: the twin that the fast walks are compared with.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace pabal::record {

class NaiveInput {
public:
    explicit NaiveInput(ByteView bytes) : bytes_(bytes) {}

    bool empty() const { return bytes_.empty(); }
    std::optional<ByteView> take(std::int64_t count) {
        if (count < 0 || static_cast<std::uint64_t>(count) > bytes_.size()) return std::nullopt;
        const ByteView part = bytes_.first(static_cast<std::size_t>(count));
        bytes_ = bytes_.subspan(part.size());
        return part;
    }
    // A zig-zag number of at most `bits` bits.
    std::optional<std::int64_t> number(int bits) {
        std::uint64_t value = 0;
        for (int shift = 0; shift < bits; shift += 7) {
            const auto byte = take(1);
            if (!byte) return std::nullopt;
            const std::uint64_t seven = (*byte)[0] & 0x7Fu;
            if ((seven << shift) >> shift != seven) return std::nullopt;
            value |= seven << shift;
            if ((*byte)[0] & 0x80) continue;
            if (bits < 64 && value >> bits != 0) return std::nullopt;
            const auto half = static_cast<std::int64_t>(value / 2);
            return value % 2 ? -half - 1 : half;
        }
        return std::nullopt;
    }
    // Bytes after their size; where `nullable`, a size of -1 stands for null.
    bool skip_sized(bool nullable) {
        const auto size = number(32);
        if (!size) return false;
        if (*size == -1 && nullable) return true;
        return take(*size).has_value();
    }

private:
    ByteView bytes_;
};

// Whether `bytes` are exactly `count` records with ascending offsets.
inline bool naive_walk(ByteView bytes, std::int32_t count) {
    NaiveInput input(bytes);
    for (std::int32_t index = 0; index < count; ++index) {
        const auto size = input.number(32);
        if (!size) return false;
        const auto body = input.take(*size);
        if (!body) return false;
        NaiveInput record(*body);
        if (!record.take(1) || !record.number(64)) return false;
        if (record.number(32) != index) return false;
        if (!record.skip_sized(true) || !record.skip_sized(true)) return false;
        const auto headers = record.number(32);
        if (!headers || *headers < 0) return false;
        for (std::int64_t header = 0; header < *headers; ++header) {
            if (!record.skip_sized(false) || !record.skip_sized(true)) return false;
        }
        if (!record.empty()) return false;
    }
    return input.empty();
}

}  // namespace pabal::record
