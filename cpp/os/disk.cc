#include "os/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "os/directory_lock.h"
#include "os/machine.h"
#include "os/power.h"
#include "os/shard.h"
#include "os/system_error.h"

namespace pabal::os {
namespace {

constexpr std::size_t most_pieces_per_write = 64;
static_assert(most_pieces_per_write <= IOV_MAX);

int sync_data(int descriptor) {
#ifdef __APPLE__
    return fcntl(descriptor, F_FULLFSYNC);
#else
    return fdatasync(descriptor);
#endif
}

// Removes the entry `name` of the directory `parent`, with all that is in it. 0 or errno.
int remove_tree(int parent, const char* name) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return errno;
    const int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return errno == ENOENT ? 0 : errno;
    DIR* directory = fdopendir(descriptor);
    if (!directory) {
        const int error = errno;
        ::close(descriptor);
        return error;
    }
    int error = 0;
    while (error == 0) {
        errno = 0;
        const dirent* entry = readdir(directory);
        if (!entry) {
            error = errno;
            break;
        }
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
        error = remove_tree(descriptor, entry->d_name);
    }
    closedir(directory);
    if (error != 0) return error;
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    return errno;
}

}  // namespace

File::File(std::shared_ptr<Machine> machine, std::shared_ptr<const Power> power, std::string path,
           int open_flags)
    : machine_(std::move(machine)),
      power_(std::move(power)),
      file_(machine_->open_files, std::move(path), open_flags) {}

IoStatus File::writable(const char* verb) const {
    if (power_->is_off()) return killed_error(verb + path());
    if (file_.open_flags() == O_RDONLY) {
        return IoError{EBADF, verb + path() + ": it was opened for reading only"};
    }
    return {};
}

IoStatus File::write(std::uint64_t position, std::span<const ByteView> pieces) {
    PABAL_TRY(writable("cannot write to "));
    PABAL_TRY_ASSIGN(const auto pin, file_.pin());
    std::size_t piece = 0;
    std::size_t done = 0;  // Of pieces[piece].
    for (;;) {
        iovec vectors[most_pieces_per_write];
        int count = 0;
        std::size_t skip = done;
        for (std::size_t i = piece; i < pieces.size() && count < int{most_pieces_per_write}; ++i) {
            if (pieces[i].size() > skip) {
                vectors[count].iov_base = const_cast<std::uint8_t*>(pieces[i].data() + skip);
                vectors[count].iov_len = pieces[i].size() - skip;
                ++count;
            }
            skip = 0;
        }
        if (count == 0) return {};
        ssize_t written = pwritev(pin.descriptor(), vectors, count, static_cast<off_t>(position));
        if (written < 0) {
            if (errno == EINTR) continue;
            return system_error(
                errno, "cannot write to " + path() + " at byte " + std::to_string(position));
        }
        position += static_cast<std::uint64_t>(written);
        auto rest = static_cast<std::size_t>(written);
        while (piece < pieces.size() && rest >= pieces[piece].size() - done) {
            rest -= pieces[piece].size() - done;
            done = 0;
            ++piece;
        }
        done += rest;
    }
}

IoResult<std::size_t> File::read(std::uint64_t position, MutableByteView into) const {
    PABAL_TRY_ASSIGN(const auto pin, file_.pin());
    std::size_t total = 0;
    while (total < into.size()) {
        const ssize_t count = pread(pin.descriptor(), into.data() + total, into.size() - total,
                                    static_cast<off_t>(position + total));
        if (count == 0) break;
        if (count < 0) {
            if (errno == EINTR) continue;
            return system_error(
                errno, "cannot read " + path() + " at byte " + std::to_string(position + total));
        }
        total += static_cast<std::size_t>(count);
    }
    return total;
}

IoStatus File::sync() {
    if (power_->is_off()) return killed_error("cannot sync " + path());
    PABAL_TRY_ASSIGN(const auto pin, file_.pin());
    if (sync_data(pin.descriptor()) != 0) return system_error(errno, "cannot sync " + path());
    return {};
}

IoStatus File::truncate(std::uint64_t size) {
    PABAL_TRY(writable("cannot truncate "));
    PABAL_TRY_ASSIGN(const auto pin, file_.pin());
    int result = 0;
    do {
        result = ftruncate(pin.descriptor(), static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    if (result != 0) {
        return system_error(errno, "cannot truncate " + path() + " to " + std::to_string(size));
    }
    return {};
}

IoResult<std::uint64_t> File::size() const {
    struct stat status = {};
    if (!file_.is_open() && !file_.is_removed()) {
        // Asked of each file at start-up: no descriptor for that.
        const int result = machine_->open_files.with_names(
            [&] { return file_.is_removed() ? -1 : ::stat(path().c_str(), &status); });
        if (result == 0) return static_cast<std::uint64_t>(status.st_size);
    }
    PABAL_TRY_ASSIGN(const auto pin, file_.pin());
    if (fstat(pin.descriptor(), &status) != 0) {
        return system_error(errno, "cannot tell the size of " + path());
    }
    return static_cast<std::uint64_t>(status.st_size);
}

IoResult<std::shared_ptr<io::File>> Disk::open(std::string path, io::OpenMode mode) {
    const bool creates = mode == io::OpenMode::create || mode == io::OpenMode::create_new;
    if (creates) {
        if (power_->is_off()) return killed_error("cannot create " + path);
        int flags = O_RDWR | O_CREAT | O_CLOEXEC;
        if (mode == io::OpenMode::create_new) flags |= O_EXCL;
        const int descriptor = ::open(path.c_str(), flags, 0644);
        if (descriptor < 0) return system_error(errno, "cannot create " + path);
        ::close(descriptor);
    } else {
        struct stat status = {};
        if (::stat(path.c_str(), &status) != 0) return system_error(errno, "cannot open " + path);
        if (S_ISDIR(status.st_mode)) return system_error(EISDIR, "cannot open " + path);
    }
    return std::shared_ptr<io::File>(std::make_shared<File>(
        machine_, power_, std::move(path), mode == io::OpenMode::read_only ? O_RDONLY : O_RDWR));
}

IoResult<bool> Disk::exists(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return system_error(errno, "cannot look for " + path);
}

IoResult<std::vector<io::DirectoryEntry>> Disk::list(const std::string& path) {
    DIR* directory = opendir(path.c_str());
    if (!directory) return system_error(errno, "cannot list " + path);
    std::vector<io::DirectoryEntry> entries;
    int error = 0;
    for (;;) {
        errno = 0;
        const dirent* entry = readdir(directory);
        if (!entry) {
            error = errno;
            break;
        }
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
        struct stat status = {};
        if (fstatat(dirfd(directory), entry->d_name, &status, 0) != 0) {
            if (errno == ENOENT) continue;  // Removed meanwhile, or a link to nowhere.
            error = errno;
            break;
        }
        const bool is_directory = S_ISDIR(status.st_mode);
        entries.push_back({entry->d_name, is_directory,
                           is_directory ? 0 : static_cast<std::uint64_t>(status.st_size)});
    }
    closedir(directory);
    if (error != 0) return system_error(error, "cannot list " + path);
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
}

IoStatus Disk::make_directories(const std::string& path) {
    if (power_->is_off()) return killed_error("cannot make the directory " + path);
    for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
        const std::string part = path.substr(0, end);
        if (::mkdir(part.c_str(), 0755) != 0) {
            const int error = errno;
            struct stat status = {};
            const bool there = ::stat(part.c_str(), &status) == 0;
            if (!there) return system_error(error, "cannot make the directory " + part);
            if (!S_ISDIR(status.st_mode)) {
                return system_error(ENOTDIR,
                                    "cannot make the directory " + path + " below " + part);
            }
        }
        if (end == std::string::npos) return {};
    }
}

IoStatus Disk::rename(const std::string& from, const std::string& to) {
    if (power_->is_off()) return killed_error("cannot rename " + from);
    return machine_->open_files.rename(from, to);
}

IoStatus Disk::remove(const std::string& path) {
    if (power_->is_off()) return killed_error("cannot remove " + path);
    machine_->open_files.forget(path);
    const int error = remove_tree(AT_FDCWD, path.c_str());
    if (error != 0 && error != ENOTDIR) return system_error(error, "cannot remove " + path);
    return {};
}

IoStatus Disk::sync_directory(const std::string& path) {
    if (power_->is_off()) return killed_error("cannot sync the directory " + path);
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return system_error(errno, "cannot open the directory " + path);
    const int result = fsync(descriptor);
    const int error = errno;
    ::close(descriptor);
    if (result != 0) return system_error(error, "cannot sync the directory " + path);
    return {};
}

IoStatus Disk::sync_file_system(const std::string& path) {
#ifdef __linux__
    if (power_->is_off()) return killed_error("cannot sync the file system of " + path);
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return system_error(errno, "cannot open the directory " + path);
    const int result = syncfs(descriptor);
    const int error = errno;
    ::close(descriptor);
    if (result != 0) return system_error(error, "cannot sync the file system of " + path);
    return {};
#else
    return io::Disk::sync_file_system(path);
#endif
}

IoResult<std::unique_ptr<io::DirectoryLock>> Disk::lock(const std::string& path) {
    if (power_->is_off()) return killed_error("cannot lock " + path);
    return lock_directory(path);
}

IoResult<std::uint64_t> Disk::free_bytes(const std::string& path) {
    struct statvfs status = {};
    if (statvfs(path.c_str(), &status) != 0) {
        return system_error(errno, "cannot tell the free space of " + path);
    }
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

IoResult<std::uint64_t> Disk::total_bytes(const std::string& path) {
    struct statvfs status = {};
    if (statvfs(path.c_str(), &status) != 0) {
        return system_error(errno, "cannot tell the size of the file system of " + path);
    }
    return static_cast<std::uint64_t>(status.f_blocks) * status.f_frsize;
}

std::string Disk::boot_id() const {
#ifdef __APPLE__
    char id[64] = {};
    std::size_t size = sizeof id - 1;
    return sysctlbyname("kern.bootsessionuuid", id, &size, nullptr, 0) == 0 ? id : "";
#else
    std::string id(36, '\0');
    const int file = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (file < 0) return {};
    const auto count = ::read(file, id.data(), id.size());
    ::close(file);
    return count == static_cast<ssize_t>(id.size()) ? id : std::string();
#endif
}

io::Task<void> Disk::run(std::function<void()> work) {
    return machine_->disk_pool.run(shard_, std::move(work));
}

}  // namespace pabal::os
