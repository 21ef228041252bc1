// From timestamps to offsets in a segment: Kafka's `.timeindex`, entries of twelve bytes
// (timestamp, offset relative to the segment's base), added beside those of the offset index. An
// entry says that no record up to that offset has a larger timestamp; the last entry of a closed
// segment holds the segment's largest. Owned by its segment.
#pragma once

#include "base/ids.h"
#include "log/index_file.h"

namespace pabal::log {

struct TimestampOffset {
    std::int64_t timestamp = -1;
    Offset offset{-1};  // Of the last record of the batch that has it.

    bool operator==(const TimestampOffset&) const = default;
};

class TimeIndex {
public:
    static constexpr std::size_t entry_size = 12;

    TimeIndex(io::Disk& disk, std::string path, Offset base, std::uint64_t on_disk_bytes)
        : file_(disk, std::move(path), entry_size, on_disk_bytes), base_(base) {}

    IoStatus load();
    std::uint32_t count() const { return file_.count(); }
    IoResult<TimestampOffset> entry(std::uint32_t number) const;

    // Does nothing unless the timestamp is larger than the last entry's.
    void append_if_larger(TimestampOffset entry);
    // The last entry below `timestamp`; {-1, base} if there is none.
    IoResult<TimestampOffset> floor(std::int64_t timestamp) const;
    TimestampOffset last() const { return last_; }
    // Keeps only entries below `offset`.
    IoStatus truncate_to_offset(Offset offset);

    IndexFile& file() { return file_; }
    const IndexFile& file() const { return file_; }

private:
    IoStatus refresh_last();

    IndexFile file_;
    Offset base_;
    TimestampOffset last_;
};

}  // namespace pabal::log
