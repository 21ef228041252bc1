// The open descriptors of the process's files, bounded: one that was not used lately is closed to
// make room and opened again when it is needed. Shared by the disks of all nodes of the process;
// safe from every thread. Also knows the names of all files that are held, so that a rename moves
// them and a removal leaves them readable.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pabal::os {

class OpenFiles;

// A file by name, with a descriptor that comes and goes. A descriptor that is pinned stays.
class NamedFile {
public:
    NamedFile(OpenFiles& files, std::string path, int open_flags);
    ~NamedFile();
    NamedFile(const NamedFile&) = delete;
    NamedFile& operator=(const NamedFile&) = delete;

    class Pin {
    public:
        Pin(NamedFile* file, int descriptor) : file_(file), descriptor_(descriptor) {}
        Pin(Pin&& other) noexcept : file_(other.file_), descriptor_(other.descriptor_) {
            other.file_ = nullptr;
        }
        Pin& operator=(Pin&&) = delete;
        ~Pin() {
            if (file_) file_->state_.fetch_sub(one_pin, std::memory_order_release);
        }
        int descriptor() const { return descriptor_; }

    private:
        NamedFile* file_;
        int descriptor_;
    };
    // Opens the file if it is not open. The file must outlive the pin.
    IoResult<Pin> pin();

    // Where the file is now. The reference stays good as long as this object, also over renames.
    const std::string& path() const { return *path_.load(std::memory_order_acquire); }
    bool is_removed() const { return removed_.load(std::memory_order_acquire); }
    bool is_open() const { return (state_.load(std::memory_order_acquire) & descriptor_bits) != 0; }
    int open_flags() const { return open_flags_; }

private:
    friend class OpenFiles;

    // Pins in the upper half, descriptor + 1 (0: closed) in the lower.
    static constexpr std::uint64_t one_pin = std::uint64_t{1} << 32;
    static constexpr std::uint64_t descriptor_bits = one_pin - 1;

    OpenFiles& files_;
    std::atomic<std::uint64_t> state_{0};
    std::atomic<bool> used_lately_{false};
    std::atomic<bool> removed_{false};
    const int open_flags_;
    std::size_t place_ = 0;  // In the ring, plus one; 0: not in it. Guarded by the ring's mutex.
    bool pinned_for_good_ = false;  // Guarded by the registry's mutex.
    std::atomic<const std::string*> path_;
    std::vector<std::unique_ptr<const std::string>> paths_;  // The last one is the path.
};

class OpenFiles {
public:
    // At most `limit` descriptors, as far as not more are pinned at once.
    explicit OpenFiles(std::size_t limit) : limit_(limit < 4 ? 4 : limit) {}
    // A quarter of what the process may open, which is left as it is.
    static std::size_t default_limit();

    std::size_t limit() const { return limit_; }
    std::size_t open_count() const;

    // rename(2), with what happens to the files that are held.
    IoStatus rename(const std::string& from, const std::string& to);
    // The files at `path`, or below it, are about to be removed: those that are held stay readable
    // (but for more than half of the limit at once: those that come last are not).
    void forget(const std::string& path);
    // Runs `use` while no file changes its name.
    template <class Use>
    auto with_names(Use use) {
        const std::shared_lock lock(names_mutex_);
        return use();
    }

private:
    friend class NamedFile;

    void add(NamedFile* file);
    void remove(NamedFile* file);
    IoResult<NamedFile::Pin> open(NamedFile* file);
    void enter_ring(NamedFile* file);
    void leave_ring(NamedFile* file);
    // Closes a descriptor that nobody pins; false if there is none. The ring's mutex is held.
    bool close_one();
    // For these three the registry's mutex is held.
    // The files at `path` and below it.
    std::vector<NamedFile*> held(const std::string& path);
    void erase(NamedFile* file);
    void pin_for_good(NamedFile* file);

    const std::size_t limit_;

    std::shared_mutex names_mutex_;  // Shared: a name is being used; exclusive: names change.
    std::mutex registry_mutex_;
    std::multimap<std::string_view, NamedFile*> registry_;
    std::size_t pinned_for_good_ = 0;  // Guarded by the registry's mutex.

    mutable std::mutex ring_mutex_;
    std::vector<NamedFile*> ring_;  // The open files; a clock hand passes over them.
    std::size_t hand_ = 0;

    // Files that are opened by two threads at once share one of these, by address.
    std::mutex opening_[16];
};

}  // namespace pabal::os
