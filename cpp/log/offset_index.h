// From offsets to positions in a segment: Kafka's `.index`, entries of eight bytes (offset relative
// to the segment's base, position), one for every `index.interval.bytes` of batches or so. Each
// entry names the last offset of the batch at its position. Owned by its segment.
#pragma once

#include "base/ids.h"
#include "log/index_file.h"

namespace pabal::log {

struct OffsetPosition {
    Offset offset;  // Of the last record of the batch there.
    std::int64_t position = 0;

    bool operator==(const OffsetPosition&) const = default;
};

class OffsetIndex {
public:
    static constexpr std::size_t entry_size = 8;

    OffsetIndex(io::Disk& disk, std::string path, Offset base, std::uint64_t on_disk_bytes)
        : file_(disk, std::move(path), entry_size, on_disk_bytes), base_(base) {}

    IoStatus load() { return file_.load(); }
    std::uint32_t count() const { return file_.count(); }
    IoResult<OffsetPosition> entry(std::uint32_t number) const;

    void append(Offset last_offset, std::int64_t position);
    // The last entry at or below `offset`; the segment's start if there is none.
    IoResult<OffsetPosition> floor_of_offset(Offset offset) const;
    // The last entry whose batch starts at or below `position`.
    IoResult<OffsetPosition> floor_of_position(std::int64_t position) const;
    IoResult<OffsetPosition> last() const;
    // Keeps only entries whose batch starts below `position`.
    IoStatus truncate_to_position(std::int64_t position);

    IndexFile& file() { return file_; }
    const IndexFile& file() const { return file_; }

private:
    IoResult<OffsetPosition> entry_before(std::uint32_t number) const;

    IndexFile file_;
    Offset base_;
};

}  // namespace pabal::log
