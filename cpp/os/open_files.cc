#include "os/open_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/assert.h"
#include "os/system_error.h"

namespace pabal::os {

NamedFile::NamedFile(OpenFiles& files, std::string path, int open_flags)
    : files_(files), open_flags_(open_flags) {
    paths_.push_back(std::make_unique<const std::string>(std::move(path)));
    path_.store(paths_.back().get(), std::memory_order_release);
    files_.add(this);
}

NamedFile::~NamedFile() {
    files_.remove(this);
}

IoResult<NamedFile::Pin> NamedFile::pin() {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    while ((state & descriptor_bits) != 0) {
        if (state_.compare_exchange_weak(state, state + one_pin, std::memory_order_acquire)) {
            if (!used_lately_.load(std::memory_order_relaxed)) {
                used_lately_.store(true, std::memory_order_relaxed);
            }
            return Pin(this, static_cast<int>((state & descriptor_bits) - 1));
        }
    }
    return files_.open(this);
}

std::size_t OpenFiles::default_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 256;
    if (limit.rlim_cur == RLIM_INFINITY) return 65536;
    return std::min<std::size_t>(limit.rlim_cur / 4, 65536);
}

std::size_t OpenFiles::open_count() const {
    const std::lock_guard lock(ring_mutex_);
    return ring_.size();
}

void OpenFiles::add(NamedFile* file) {
    const std::lock_guard lock(registry_mutex_);
    registry_.emplace(file->path(), file);
}

void OpenFiles::erase(NamedFile* file) {
    auto [entry, end] = registry_.equal_range(file->path());
    while (entry != end && entry->second != file) ++entry;
    ASSERT(entry != end, "a file that is held and has a name is in the registry");
    registry_.erase(entry);
}

void OpenFiles::remove(NamedFile* file) {
    {
        const std::lock_guard lock(registry_mutex_);
        if (!file->is_removed()) erase(file);
        if (file->pinned_for_good_) --pinned_for_good_;
    }
    leave_ring(file);
    const std::uint64_t descriptor =
        file->state_.load(std::memory_order_acquire) & NamedFile::descriptor_bits;
    if (descriptor != 0) ::close(static_cast<int>(descriptor - 1));
}

IoResult<NamedFile::Pin> OpenFiles::open(NamedFile* file) {
    const auto number = reinterpret_cast<std::uintptr_t>(file) / sizeof(NamedFile);
    const std::lock_guard opening(opening_[number % std::size(opening_)]);
    if (file->is_open()) {
        // Another thread was faster.
        std::uint64_t state = file->state_.load(std::memory_order_acquire);
        while ((state & NamedFile::descriptor_bits) != 0) {
            if (file->state_.compare_exchange_weak(state, state + NamedFile::one_pin)) {
                return NamedFile::Pin(file,
                                      static_cast<int>((state & NamedFile::descriptor_bits) - 1));
            }
        }
    }
    const std::shared_lock names(names_mutex_);
    if (file->is_removed()) {
        return IoError{ESTALE, "cannot open " + file->path() + ": it was removed"};
    }
    enter_ring(file);
    int descriptor = -1;
    int error = 0;
    for (;;) {
        descriptor = ::open(file->path().c_str(), file->open_flags_ | O_CLOEXEC);
        error = descriptor < 0 ? errno : 0;
        if (error == EINTR) continue;
        if (error != EMFILE && error != ENFILE) break;
        // Others took the descriptors; what we keep open for later is worth less.
        const std::lock_guard lock(ring_mutex_);
        if (!close_one()) break;
    }
    if (error != 0) {
        leave_ring(file);
        return system_error(error, "cannot open " + file->path());
    }
    file->used_lately_.store(true, std::memory_order_relaxed);
    file->state_.store(NamedFile::one_pin | static_cast<std::uint64_t>(descriptor + 1),
                       std::memory_order_release);
    return NamedFile::Pin(file, descriptor);
}

void OpenFiles::enter_ring(NamedFile* file) {
    const std::lock_guard lock(ring_mutex_);
    while (ring_.size() >= limit_ && close_one()) {
    }
    ring_.push_back(file);
    file->place_ = ring_.size();
}

void OpenFiles::leave_ring(NamedFile* file) {
    const std::lock_guard lock(ring_mutex_);
    if (file->place_ == 0) return;
    NamedFile* last = ring_.back();
    ring_[file->place_ - 1] = last;
    last->place_ = file->place_;
    ring_.pop_back();
    file->place_ = 0;
}

bool OpenFiles::close_one() {
    // Once around clears the marks, the second time finds one.
    for (std::size_t steps = 2 * ring_.size(); steps > 0; --steps) {
        if (hand_ >= ring_.size()) hand_ = 0;
        NamedFile* file = ring_[hand_];
        std::uint64_t state = file->state_.load(std::memory_order_acquire);
        const bool idle = state != 0 && state < NamedFile::one_pin;
        if (!idle || file->used_lately_.exchange(false, std::memory_order_relaxed)) {
            ++hand_;
            continue;
        }
        if (!file->state_.compare_exchange_strong(state, 0, std::memory_order_acq_rel)) continue;
        ::close(static_cast<int>(state - 1));
        NamedFile* last = ring_.back();
        ring_[hand_] = last;
        last->place_ = hand_ + 1;
        ring_.pop_back();
        file->place_ = 0;
        return true;
    }
    return false;
}

std::vector<NamedFile*> OpenFiles::held(const std::string& path) {
    std::vector<NamedFile*> files;
    auto [same, same_end] = registry_.equal_range(path);
    for (; same != same_end; ++same) files.push_back(same->second);
    const std::string below = path + "/";
    for (auto entry = registry_.lower_bound(below);
         entry != registry_.end() && entry->first.starts_with(below); ++entry) {
        files.push_back(entry->second);
    }
    return files;
}

void OpenFiles::pin_for_good(NamedFile* file) {
    // The names are held exclusively: no other thread is inside open().
    std::uint64_t state = file->state_.load(std::memory_order_acquire);
    bool pinned = false;
    while ((state & NamedFile::descriptor_bits) != 0 && !pinned) {
        pinned = file->state_.compare_exchange_weak(state, state + NamedFile::one_pin);
    }
    if (!pinned) {
        enter_ring(file);
        const int descriptor = ::open(file->path().c_str(), file->open_flags_ | O_CLOEXEC);
        if (descriptor < 0) {
            leave_ring(file);
            return;
        }
        file->state_.store(NamedFile::one_pin | static_cast<std::uint64_t>(descriptor + 1),
                           std::memory_order_release);
    }
    file->pinned_for_good_ = true;
    ++pinned_for_good_;
}

IoStatus OpenFiles::rename(const std::string& from, const std::string& to) {
    const std::unique_lock names(names_mutex_);
    const std::lock_guard lock(registry_mutex_);
    const auto replaced = from == to ? std::vector<NamedFile*>() : held(to);
    for (NamedFile* file : replaced) pin_for_good(file);
    if (::rename(from.c_str(), to.c_str()) != 0) {
        const int error = errno;
        for (NamedFile* file : replaced) {
            if (!file->pinned_for_good_) continue;
            file->pinned_for_good_ = false;
            --pinned_for_good_;
            file->state_.fetch_sub(NamedFile::one_pin, std::memory_order_release);
        }
        return system_error(error, "cannot rename " + from + " to " + to);
    }
    for (NamedFile* file : replaced) {
        erase(file);
        file->removed_.store(true, std::memory_order_release);
    }
    if (from == to) return {};
    for (NamedFile* file : held(from)) {
        erase(file);
        file->paths_.push_back(
            std::make_unique<const std::string>(to + file->path().substr(from.size())));
        file->path_.store(file->paths_.back().get(), std::memory_order_release);
        registry_.emplace(file->path(), file);
    }
    return {};
}

void OpenFiles::forget(const std::string& path) {
    const std::unique_lock names(names_mutex_);
    const std::lock_guard lock(registry_mutex_);
    for (NamedFile* file : held(path)) {
        if (pinned_for_good_ < limit_ / 2) pin_for_good(file);
        erase(file);
        file->removed_.store(true, std::memory_order_release);
    }
}

}  // namespace pabal::os
