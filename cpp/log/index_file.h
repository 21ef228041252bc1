// The entries of one index file: records of a fixed size, appended in order. Owned by an index of a
// segment. The newest entries wait in memory until they are written together, so an index that an
// unclean end cuts short is the normal case: recovery appends again what is missing. The file
// appears with its first written entries, is never mapped, and a tail of zeros that Kafka
// preallocated counts as empty.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace pabal::io {
class Disk;
class File;
}  // namespace pabal::io

namespace pabal::log {

inline constexpr std::size_t max_index_entry_size = 16;

class IndexFile {
public:
    // `on_disk_bytes` as the directory lists it; 0 when there is no file.
    IndexFile(io::Disk& disk, std::string path, std::size_t entry_size,
              std::uint64_t on_disk_bytes);

    // Finds the end of what was really written. Must come before anything else if the file exists.
    IoStatus load();

    std::uint32_t count() const { return written_count_ + pending_count(); }
    // Entry `number` into `into`, which holds `entry_size` bytes.
    IoStatus read(std::uint32_t number, std::uint8_t* into) const;
    // How many entries have a key at or below `target`; keys do not fall from entry to entry.
    using Key = std::int64_t (*)(const std::uint8_t* entry);
    IoResult<std::uint32_t> count_at_most(std::int64_t target, Key key) const;

    void append(const std::uint8_t* entry);
    // Writes what waits, once it is worth a call. A failure loses nothing: it is tried again.
    void write_if_due();
    IoStatus write();
    // Drops entry `count` and all after it. Cuts the file too.
    IoStatus truncate(std::uint32_t count);

    // Nothing if the file does not exist.
    const std::shared_ptr<io::File>& file() const { return file_; }

private:
    IoStatus read_run(std::uint32_t first, std::uint32_t count, std::uint8_t* into) const;
    std::uint32_t pending_count() const {
        return static_cast<std::uint32_t>(pending_.size() / entry_size_);
    }
    IoStatus open(bool create);

    io::Disk& disk_;
    std::string path_;
    std::shared_ptr<io::File> file_;
    std::string pending_;  // Bytes of the entries after `written_count_`.
    std::uint32_t written_count_ = 0;
    std::uint8_t entry_size_;
    bool longer_on_disk_ = false;  // Bytes after the last entry have to be cut before a write.
};

}  // namespace pabal::log
