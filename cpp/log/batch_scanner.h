// Walks the batches of one `.log` from header to header. A value on the stack of whoever looks
// something up, recovers or dumps; reads through a window and copies what it reads, never the file
// as a whole. It believes nothing but lengths; `crc_is_right` checks the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "record/record_batch.h"

namespace pabal::io {
class File;
}

namespace pabal::log {

class BatchScanner {
public:
    // Windows: a few headers of small batches, or what recovery reads at once.
    static constexpr std::size_t lookup_window = 4096;
    static constexpr std::size_t recovery_window = 1 << 20;

    // The batches that start in [position, end).
    BatchScanner(const io::File& file, std::int64_t position, std::int64_t end,
                 std::size_t window = lookup_window)
        : file_(file), next_(position), end_(end), window_(window) {}

    // Goes to the next batch; false at the end, or where none can be (`stop` says which). The batch
    // may reach beyond the end: then `stop` says so too, after its header was read.
    IoResult<bool> next();

    enum class Stop {
        none,
        end,       // Exactly where the bytes end.
        cut_off,   // A header or a batch is longer than what is there.
        no_batch,  // The bytes are no header.
    };
    Stop stop() const { return stop_; }
    // For a human: why no batch can be here.
    const std::string& reason() const { return reason_; }

    // Of the batch that `next` went to; its records are there only after `whole`. Valid until the
    // next call.
    const record::RecordBatchView& batch() const { return batch_; }
    std::int64_t position() const { return position_; }
    std::int64_t next_position() const { return next_; }
    // Reads the rest of the batch.
    IoResult<record::RecordBatchView> whole();
    IoResult<bool> crc_is_right();

private:
    // Makes `size` bytes from `position` available, or as many as there are.
    IoResult<ByteView> load(std::int64_t position, std::size_t size);

    const io::File& file_;
    std::int64_t position_ = 0;
    std::int64_t next_;
    std::int64_t end_;
    std::size_t window_;
    std::unique_ptr<std::uint8_t[]> buffer_;
    std::size_t capacity_ = 0;
    std::int64_t loaded_at_ = 0;
    std::size_t loaded_ = 0;
    record::RecordBatchView batch_;
    Stop stop_ = Stop::none;
    std::string reason_;
};

}  // namespace pabal::log
