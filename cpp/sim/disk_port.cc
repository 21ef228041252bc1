#include "sim/disk_port.h"

#include <algorithm>
#include <cerrno>

#include "io/gate.h"

namespace pabal::sim {
namespace {

const char* reason(int errno_value) {
    switch (errno_value) {
        case ENOENT: return "No such file or directory";
        case EEXIST: return "File exists";
        case ENOTDIR: return "Not a directory";
        case EISDIR: return "Is a directory";
        case ENOTEMPTY: return "Directory not empty";
        case ENOSPC: return "No space left on device";
        case EIO: return "Input/output error";
        case EBADF: return "Bad file descriptor";
        case EAGAIN: return "Resource temporarily unavailable";
        default: return "Unknown error";
    }
}

IoError failed(int errno_value, const std::string& what, const std::string& path) {
    return IoError{errno_value, "cannot " + what + " " + path + ": " + reason(errno_value)};
}

IoError gone(const std::string& what, const std::string& path) {
    return IoError{ECANCELED, "cannot " + what + " " + path + ": the process was killed"};
}

}  // namespace

class SimFile final : public io::File {
public:
    SimFile(sim::Disk& disk, std::shared_ptr<bool> alive, std::shared_ptr<Inode> inode,
            std::string path, bool writable)
        : disk_(disk),
          alive_(std::move(alive)),
          inode_(std::move(inode)),
          path_(std::move(path)),
          writable_(writable) {}

    IoStatus write(std::uint64_t position, std::span<const ByteView> pieces) override {
        if (!*alive_) return gone("write to", path());
        if (!writable_) return failed(EBADF, "write to", path());
        std::size_t total = 0;
        for (const auto piece : pieces) total += piece.size();
        Buffer joined(total);
        std::size_t at = 0;
        for (const auto piece : pieces) {
            std::copy(piece.begin(), piece.end(), joined.data() + at);
            at += piece.size();
        }
        Bytes bytes(std::move(joined));
        disk_.note("disk-write", {inode_->id, position, total, fingerprint(bytes)});

        int error = 0;
        if (disk_.draw(disk_.faults.write_errors_per_million)) error = EIO;
        if (disk_.is_broken(path())) error = EIO;
        const std::uint64_t end = position + total;
        if (inode_->linked && end > inode_->content.size()) {
            const auto growth = end - inode_->content.size();
            if (growth > disk_.free_bytes()) error = ENOSPC;
        }
        const bool dies = disk_.blows();
        if (dies || error == EIO) {
            bytes = bytes.slice(0, disk_.fault_random_.below(total + 1));
        } else if (error == ENOSPC) {
            const auto fits = inode_->content.size() + disk_.free_bytes();
            bytes = bytes.slice(
                0, fits > position ? std::min<std::uint64_t>(fits - position, total) : 0);
        } else if (disk_.sabotage.write_is_short && total > 0 && disk_.random_.chance(1, 20)) {
            bytes = bytes.slice(0, total - 1);
        }
        if (!bytes.empty()) change({position, std::move(bytes), false});
        if (dies) return gone("write to", path());
        if (error != 0) {
            return failed(
                error,
                "write " + std::to_string(total) + " bytes at " + std::to_string(position) + " of",
                path());
        }
        return {};
    }

    IoResult<std::size_t> read(std::uint64_t position, MutableByteView into) const override {
        if (!*alive_) return gone("read", path());
        if (disk_.draw(disk_.faults.read_errors_per_million) || disk_.is_broken(path()))
            return failed(EIO, "read", path());
        if (position >= inode_->content.size()) return std::size_t{0};
        const auto count = std::min<std::uint64_t>(into.size(), inode_->content.size() - position);
        const auto begin = inode_->content.begin() + static_cast<std::ptrdiff_t>(position);
        std::copy(begin, begin + static_cast<std::ptrdiff_t>(count), into.begin());
        return static_cast<std::size_t>(count);
    }

    IoStatus sync() override {
        if (!*alive_) return gone("sync", path());
        disk_.note("disk-sync", {inode_->id});
        if (disk_.blows()) return gone("sync", path());
        if (disk_.draw(disk_.faults.sync_errors_per_million) || disk_.is_broken(path())) {
            // The kernel forgets that the pages were dirty: some reached the disk, none will later.
            disk_.keep_some_content(*inode_);
            return failed(EIO, "sync", path());
        }
        if (disk_.sabotage.sync_does_nothing) return {};
        for (const auto& change : inode_->changes) {
            sim::Disk::apply(inode_->durable_content, change);
        }
        inode_->changes.clear();
        return {};
    }

    IoStatus truncate(std::uint64_t size) override {
        if (!*alive_) return gone("truncate", path());
        if (!writable_) return failed(EBADF, "truncate", path());
        disk_.note("disk-truncate", {inode_->id, size});
        if (disk_.blows()) return gone("truncate", path());
        if (disk_.is_broken(path())) return failed(EIO, "truncate", path());
        if (disk_.sabotage.truncate_does_nothing) return {};
        if (inode_->linked && size > inode_->content.size() &&
            size - inode_->content.size() > disk_.free_bytes()) {
            return failed(ENOSPC, "truncate", path());
        }
        change({size, {}, true});
        return {};
    }

    IoResult<std::uint64_t> size() const override {
        if (!*alive_) return gone("ask the size of", path());
        return static_cast<std::uint64_t>(inode_->content.size());
    }

    const std::string& path() const override {
        if (!inode_->linked) return path_;
        std::string path;
        for (auto inode = inode_; inode && !inode->name.empty(); inode = inode->parent.lock()) {
            path = "/" + inode->name + path;
        }
        path_ = std::move(path);
        return path_;
    }

private:
    void change(Inode::Change change) {
        const auto before = inode_->content.size();
        sim::Disk::apply(inode_->content, change);
        if (inode_->linked) disk_.used_bytes_ += inode_->content.size() - before;
        inode_->changes.push_back(std::move(change));
    }

    sim::Disk& disk_;
    std::shared_ptr<bool> alive_;
    std::shared_ptr<Inode> inode_;
    mutable std::string path_;  // As last known.
    bool writable_;
};

namespace {

class SimLock final : public io::DirectoryLock {
public:
    SimLock(std::map<std::uint64_t, std::string>& locks, std::shared_ptr<bool> alive,
            std::uint64_t inode)
        : locks_(locks), alive_(std::move(alive)), inode_(inode) {}
    // A dead process has released its locks already; a later one may hold them now.
    ~SimLock() override {
        if (*alive_) locks_.erase(inode_);
    }

private:
    std::map<std::uint64_t, std::string>& locks_;
    std::shared_ptr<bool> alive_;
    std::uint64_t inode_;
};

}  // namespace

DiskPort::DiskPort(sim::Disk& disk, sim::Clock& clock)
    : disk_(disk), clock_(clock), alive_(std::make_shared<bool>(true)) {}

DiskPort::~DiskPort() {
    die();
}

IoStatus DiskPort::admit(const std::string& what, const std::string& path) const {
    if (!*alive_) return gone(what, path);
    if (disk_.is_broken(path)) return failed(EIO, what, path);
    return {};
}

IoStatus DiskPort::admit_change(const std::string& what, const std::string& path) {
    PABAL_TRY(admit(what, path));
    disk_.note("disk-" + what, {fingerprint(as_bytes(path))});
    if (disk_.blows()) return gone(what, path);
    return {};
}

IoResult<std::shared_ptr<io::File>> DiskPort::open(std::string path, io::OpenMode mode) {
    PABAL_TRY(admit("open", path));
    auto inode = disk_.find(path);
    if (inode && inode->is_directory) return failed(EISDIR, "open", path);
    if (inode && mode == io::OpenMode::create_new) return failed(EEXIST, "create", path);
    if (!inode) {
        if (mode == io::OpenMode::read_only || mode == io::OpenMode::read_write) {
            return failed(ENOENT, "open", path);
        }
        const auto place = disk_.place_of(path);
        if (!place) return failed(ENOENT, "create", path);
        PABAL_TRY(admit_change("create", path));
        if (disk_.free_bytes() == 0) return failed(ENOSPC, "create", path);
        inode = disk_.make_inode(false);
        disk_.link(*place, inode, ++disk_.last_group_);
    }
    return std::shared_ptr<io::File>(std::make_shared<SimFile>(
        disk_, alive_, std::move(inode), std::move(path), mode != io::OpenMode::read_only));
}

IoResult<bool> DiskPort::exists(const std::string& path) {
    PABAL_TRY(admit("look for", path));
    return disk_.find(path) != nullptr;
}

IoResult<std::vector<io::DirectoryEntry>> DiskPort::list(const std::string& path) {
    PABAL_TRY(admit("list", path));
    const auto inode = disk_.find(path);
    if (!inode) return failed(ENOENT, "list", path);
    if (!inode->is_directory) return failed(ENOTDIR, "list", path);
    std::vector<io::DirectoryEntry> entries;
    for (const auto& [name, child] : inode->entries) {
        entries.push_back({name, child->is_directory, child->content.size()});
    }
    return entries;
}

IoStatus DiskPort::make_directories(const std::string& path) {
    PABAL_TRY(admit("make", path));
    for (std::size_t end = 0; end < path.size();) {
        end = std::min(path.find('/', end + 1), path.size());
        const auto part = path.substr(0, end);
        const auto place = disk_.place_of(part);
        if (!place) {
            const auto above = disk_.find(part);
            if (above && above->is_directory) continue;
            return failed(ENOTDIR, "make", path);
        }
        const auto entry = place->directory->entries.find(place->name);
        if (entry != place->directory->entries.end()) {
            if (!entry->second->is_directory) return failed(ENOTDIR, "make", path);
            continue;
        }
        PABAL_TRY(admit_change("make", part));
        disk_.link(*place, disk_.make_inode(true), ++disk_.last_group_);
    }
    return {};
}

IoStatus DiskPort::rename(const std::string& from, const std::string& to) {
    PABAL_TRY(admit("rename", from));
    const auto source = disk_.place_of(from);
    const auto target = disk_.place_of(to);
    const auto inode = disk_.find(from);
    const std::string both = from + " to " + to;
    if (!source || !inode || !target) return failed(ENOENT, "rename", both);
    const auto replaced = disk_.find(to);
    if (replaced == inode) return {};
    if (replaced && replaced->is_directory && !inode->is_directory) {
        return failed(EISDIR, "rename", both);
    }
    if (replaced && !replaced->is_directory && inode->is_directory) {
        return failed(ENOTDIR, "rename", both);
    }
    if (replaced && !replaced->entries.empty()) return failed(ENOTEMPTY, "rename", both);
    PABAL_TRY(admit_change("rename", both));
    const auto group = ++disk_.last_group_;
    disk_.unlink(*source, group);
    if (disk_.sabotage.rename_loses_target && disk_.random_.chance(1, 4)) {
        disk_.released(*inode);
        return {};
    }
    disk_.link(*target, inode, group);
    return {};
}

IoStatus DiskPort::remove(const std::string& path) {
    PABAL_TRY(admit("remove", path));
    const auto place = disk_.place_of(path);
    if (!place || !place->directory->entries.contains(place->name)) return {};
    PABAL_TRY(admit_change("remove", path));
    disk_.unlink_tree(*place);
    return {};
}

IoStatus DiskPort::sync_directory(const std::string& path) {
    PABAL_TRY(admit("sync directory", path));
    const auto inode = disk_.find(path);
    if (!inode) return failed(ENOENT, "sync directory", path);
    if (!inode->is_directory) return failed(ENOTDIR, "sync directory", path);
    PABAL_TRY(admit_change("sync-directory", path));
    if (disk_.draw(disk_.faults.sync_errors_per_million)) {
        return failed(EIO, "sync directory", path);
    }
    if (!disk_.sabotage.sync_directory_does_nothing) disk_.settle_names(*inode);
    return {};
}

IoStatus DiskPort::sync_file_system(const std::string& path) {
    PABAL_TRY(admit_change("sync-file-system", path));
    if (disk_.draw(disk_.faults.sync_errors_per_million)) {
        return failed(EIO, "sync the file system of", path);
    }
    if (disk_.sabotage.sync_does_nothing) return {};
    disk_.settle_everything();
    return {};
}

IoResult<std::unique_ptr<io::DirectoryLock>> DiskPort::lock(const std::string& path) {
    PABAL_TRY_ASSIGN(const auto file, open(path, io::OpenMode::create));
    const auto inode = disk_.find(path);
    if (!disk_.locks_.emplace(inode->id, path).second) {
        return IoError{EAGAIN, "cannot lock " + path + ": a process of this machine holds it"};
    }
    return std::unique_ptr<io::DirectoryLock>(
        std::make_unique<SimLock>(disk_.locks_, alive_, inode->id));
}

IoResult<std::uint64_t> DiskPort::free_bytes(const std::string& path) {
    PABAL_TRY(admit("ask for free space of", path));
    return disk_.free_bytes();
}

IoResult<std::uint64_t> DiskPort::total_bytes(const std::string& path) {
    PABAL_TRY(admit("ask for the size of", path));
    return disk_.capacity_bytes();
}

io::Task<void> DiskPort::run(std::function<void()> work) {
    const auto least = disk_.faults.job_least.to_nanoseconds();
    const auto most = disk_.faults.job_most.to_nanoseconds();
    // What the job does happens at one moment, somewhere between asking and being told.
    const auto took = disk_.pool_random_.between(least, most);
    const auto before = disk_.pool_random_.between(0, took);
    const Instant asked = clock_.now();
    io::Sleep until_done(clock_, asked + Duration::nanoseconds(before + 1));
    co_await until_done;
    work();
    io::Sleep until_told(clock_, asked + Duration::nanoseconds(took + 2));
    co_await until_told;
}

}  // namespace pabal::sim
