#include "broker/frame_buffers.h"

#include <algorithm>

namespace pabal::broker {
namespace {

// Lengths of frames differ a little; a buffer of so many whole steps serves many of them.
constexpr std::size_t step_bytes = 64 * 1024;

}  // namespace

Buffer FrameBuffers::take_for_reading() {
    Buffer buffer = std::move(spare_for_reading_);
    spare_for_reading_ = Buffer();
    if (buffer.size() == 0) buffer = Buffer(read_bytes);
    return buffer;
}

Buffer FrameBuffers::take(std::size_t length) {
    auto fits = [length](const Buffer& spare) {
        return spare.size() >= length && spare.size() / 2 <= length;
    };
    auto spare = std::find_if(spares_.rbegin(), spares_.rend(), fits);
    if (spare == spares_.rend()) {
        if (length < step_bytes) return Buffer(length);
        return Buffer((length + step_bytes - 1) / step_bytes * step_bytes);
    }
    Buffer buffer = std::move(*spare);
    spares_.erase(std::next(spare).base());
    spare_bytes_ -= buffer.size();
    return buffer;
}

void FrameBuffers::give_back(Bytes whole) {
    Buffer buffer = std::move(whole).reclaim();
    if (buffer.size() == read_bytes) {
        spare_for_reading_ = std::move(buffer);
    } else if (buffer.size() >= step_bytes && buffer.size() <= max_spare_bytes) {
        spare_bytes_ += buffer.size();
        spares_.push_back(std::move(buffer));
        while (spare_bytes_ > max_spare_bytes) {
            spare_bytes_ -= spares_.front().size();
            spares_.erase(spares_.begin());
        }
    }
}

}  // namespace pabal::broker
