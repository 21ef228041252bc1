// The memory that one shard's connections read frames into, used again and again: fresh memory
// costs a page fault for every page, about as much as all else that is done for a large batch.
// Lives on the broker's shard.
#pragma once

#include <cstddef>
#include <vector>

#include "base/bytes.h"

namespace pabal::broker {

class FrameBuffers {
public:
    // Of the one buffer that one connection after the other reads into: what most reads bring is
    // worked off before the next connection's turn.
    static constexpr std::size_t read_bytes = 128 * 1024;
    // At most so much memory waits for the next long frames.
    static constexpr std::size_t max_spare_bytes = 4 << 20;

    Buffer take_for_reading();
    // For a frame of its own: at least `length` bytes, at most twice as many. The caller has
    // reserved them.
    Buffer take(std::size_t length);
    // Kept for later if `whole` is all of such a buffer and nobody else holds a slice of it.
    void give_back(Bytes whole);

    std::size_t spare_bytes() const { return spare_bytes_; }

private:
    Buffer spare_for_reading_;
    std::vector<Buffer> spares_;  // The last one was used last.
    std::size_t spare_bytes_ = 0;
};

}  // namespace pabal::broker
