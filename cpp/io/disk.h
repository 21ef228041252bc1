// The Disk port: files and directories. Calls block and may come from any thread; the shard makes
// only those that end in memory (a write or read of the page cache) and sends the others (sync,
// open, rename, remove, truncate, rebuilds, cold reads) through `run` to the disk pool.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/rope.h"
#include "io/task.h"

namespace pabal::io {

// A file by its path. The descriptor behind it may be closed and opened again at any time (the
// number of descriptors is bounded); an object costs little memory and no descriptor until it is
// used.
class File : public FileHandle, public std::enable_shared_from_this<File> {
public:
    // Writes all pieces, one after the other, from `position` on. After an error some may stand.
    virtual IoStatus write(std::uint64_t position, std::span<const ByteView> pieces) = 0;
    // Fewer bytes than asked for only at the end of the file.
    virtual IoResult<std::size_t> read(std::uint64_t position, MutableByteView into) const = 0;
    // What was written before this call survives a loss of power once it returned. After a failure
    // nothing is known about any earlier write: never retry, take the directory offline.
    virtual IoStatus sync() = 0;
    virtual IoStatus truncate(std::uint64_t size) = 0;
    virtual IoResult<std::uint64_t> size() const = 0;
    virtual const std::string& path() const = 0;

    bool read_exactly(std::uint64_t position, MutableByteView into) const override;
    FileRange range(std::uint64_t position, std::uint32_t length) const {
        return FileRange{shared_from_this(), position, length};
    }
};

enum class OpenMode {
    read_only,
    read_write,  // Must exist.
    create,      // Read and write, made when missing.
    create_new,  // Read and write, must not exist.
};

struct DirectoryEntry {
    std::string name;
    bool is_directory = false;
    std::uint64_t size = 0;  // Of a file.
};

// Released by its destructor and by the end of the process.
class DirectoryLock {
public:
    virtual ~DirectoryLock() = default;
};

class Disk {
public:
    virtual ~Disk() = default;

    virtual IoResult<std::shared_ptr<File>> open(std::string path, OpenMode mode) = 0;
    virtual IoResult<bool> exists(const std::string& path) = 0;
    // Sorted by name.
    virtual IoResult<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
    virtual IoStatus make_directories(const std::string& path) = 0;
    // Replaces a file at `to`. Open handles follow the file.
    virtual IoStatus rename(const std::string& from, const std::string& to) = 0;
    // A file, or a directory with all that is in it. Missing is fine. Handles that are still held
    // stay readable.
    virtual IoStatus remove(const std::string& path) = 0;
    // Makes creations, renames and removals in `path` durable.
    virtual IoStatus sync_directory(const std::string& path) = 0;
    // The same for everything on the file system that holds `path`, contents too: one wait instead
    // of thousands. ENOSYS where the system has no such call.
    virtual IoStatus sync_file_system(const std::string& path) {
        return IoError{ENOSYS, "cannot sync the file system of " + path + " as a whole"};
    }
    // Exclusive use of a directory through the file `path`; an error names the holder if it can.
    virtual IoResult<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;
    virtual IoResult<std::uint64_t> free_bytes(const std::string& path) = 0;
    virtual IoResult<std::uint64_t> total_bytes(const std::string& path) = 0;
    // Names the time since the machine came up: while it is the same, whatever was written is
    // there, synced or not. Empty if nobody knows.
    virtual std::string boot_id() const { return {}; }

    // Carries `work` out on the disk pool; the caller goes on on its shard when it is done. What
    // `work` touches must be safe from that thread.
    virtual Task<void> run(std::function<void()> work) = 0;
};

// The whole content of a small file, or an error if it is larger than `limit_bytes`.
IoResult<std::string> read_file(Disk& disk, const std::string& path, std::uint64_t limit_bytes);
// Writes beside the file, syncs, renames, syncs the directory: after a crash the old content or the
// new one stands, never a mixture.
IoStatus replace_file(Disk& disk, const std::string& path, std::string_view content);
// The same without the two syncs, for content that can be derived again.
IoStatus replace_file_unsynced(Disk& disk, const std::string& path, std::string_view content);

}  // namespace pabal::io
