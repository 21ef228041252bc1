// The aborted transactions whose markers stand in a segment: Kafka's `.txnindex`, entries of 34
// bytes, ordered by where the transactions ended. Owned by its segment. Rare, so it is written at
// once and read as a whole.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace pabal::io {
class Disk;
class File;
}  // namespace pabal::io

namespace pabal::log {

struct AbortedTransactionEntry {
    ProducerId producer;
    Offset first_offset;
    Offset last_offset;         // Of its abort marker.
    Offset last_stable_offset;  // Of the log once it had ended.

    bool operator==(const AbortedTransactionEntry&) const = default;
};

class TransactionIndex {
public:
    static constexpr std::size_t entry_size = 34;

    TransactionIndex(io::Disk& disk, std::string path, std::uint64_t on_disk_bytes);

    IoStatus append(const AbortedTransactionEntry& entry);
    IoResult<std::vector<AbortedTransactionEntry>> read_all() const;
    // Keeps only transactions that ended below `offset`.
    IoStatus truncate_to_offset(Offset offset);
    bool empty() const { return size_ < entry_size; }
    // Nothing if it was not used since it was opened.
    const std::shared_ptr<io::File>& file() const { return file_; }

private:
    IoStatus open() const;

    io::Disk& disk_;
    std::string path_;
    mutable std::shared_ptr<io::File> file_;
    std::uint64_t size_;
};

}  // namespace pabal::log
