#include "os/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "os/system_error.h"

namespace pabal::os {
namespace {

// Locks or unlocks the whole file behind `descriptor`; the lock belongs to the open file, not to
// the process, and is seen by the record locks that Java takes.
int set_lock(int descriptor, bool locked) {
#ifdef F_OFD_SETLK
    struct flock lock = {};
    lock.l_type = locked ? F_WRLCK : F_UNLCK;
    lock.l_whence = SEEK_SET;
    return fcntl(descriptor, F_OFD_SETLK, &lock);
#else
    return flock(descriptor, locked ? LOCK_EX | LOCK_NB : LOCK_UN);
#endif
}

// The process that holds the lock, 0 if that cannot be told.
long holder_of(int descriptor) {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0) {
        return lock.l_pid;
    }
    char text[24] = {};
    if (pread(descriptor, text, sizeof text - 1, 0) <= 0) return 0;
    return std::strtol(text, nullptr, 10);
}

class FileLock final : public io::DirectoryLock {
public:
    explicit FileLock(int descriptor) : descriptor_(descriptor) {}
    ~FileLock() override {
        // Said aloud, since a forked child may hold the same open file.
        set_lock(descriptor_, false);
        ::close(descriptor_);
    }

private:
    int descriptor_;
};

}  // namespace

IoResult<std::unique_ptr<io::DirectoryLock>> lock_directory(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) return system_error(errno, "cannot open the lock file " + path);
    if (set_lock(descriptor, true) != 0) {
        const int error = errno;
        const long holder = holder_of(descriptor);
        ::close(descriptor);
        if (error != EAGAIN && error != EACCES && error != EWOULDBLOCK) {
            return system_error(error, "cannot lock " + path);
        }
        std::string message = "cannot lock " + path + ": the directory is in use by ";
        if (holder == getpid()) {
            message += "another broker of this process";
        } else if (holder != 0) {
            message += "process " + std::to_string(holder);
        } else {
            message += "another process";
        }
        return IoError{EAGAIN, message + "; stop it or choose another directory"};
    }
    const std::string pid = std::to_string(getpid()) + "\n";
    const bool written =
        ftruncate(descriptor, 0) == 0 &&
        pwrite(descriptor, pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size());
    auto lock = std::make_unique<FileLock>(descriptor);
    if (!written) return system_error(errno, "cannot write to " + path);
    return std::unique_ptr<io::DirectoryLock>(std::move(lock));
}

}  // namespace pabal::os
