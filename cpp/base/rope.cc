#include "base/rope.h"

namespace pabal {

std::optional<Bytes> Rope::flatten() const {
    if (pieces_.empty()) return Bytes();
    if (pieces_.size() == 1) {
        if (const auto* bytes = std::get_if<Bytes>(&pieces_.front())) return *bytes;
    }
    Buffer out(size_);
    std::size_t position = 0;
    for (const auto& piece : pieces_) {
        if (const auto* bytes = std::get_if<Bytes>(&piece)) {
            std::memcpy(out.data() + position, bytes->data(), bytes->size());
            position += bytes->size();
        } else {
            const auto& range = std::get<FileRange>(piece);
            if (!range.file->read_exactly(range.position, {out.data() + position, range.length})) {
                return std::nullopt;
            }
            position += range.length;
        }
    }
    return Bytes(std::move(out));
}

}  // namespace pabal
