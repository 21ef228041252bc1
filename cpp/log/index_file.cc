#include "log/index_file.h"

#include <algorithm>
#include <cstring>

#include "io/disk.h"

namespace pabal::log {
namespace {

// Entries that wait before they are written: one write per some hundred kilobytes of records.
constexpr std::size_t entries_per_write = 64;

// What the last step of a search reads at once.
constexpr std::size_t entries_per_read = 128;

bool all_zero(const std::uint8_t* bytes, std::size_t size) {
    return std::all_of(bytes, bytes + size, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

IndexFile::IndexFile(io::Disk& disk, std::string path, std::size_t entry_size,
                     std::uint64_t on_disk_bytes)
    : disk_(disk),
      path_(std::move(path)),
      written_count_(static_cast<std::uint32_t>(on_disk_bytes / entry_size)),
      entry_size_(static_cast<std::uint8_t>(entry_size)),
      longer_on_disk_(on_disk_bytes % entry_size != 0) {
    ASSERT(entry_size <= max_index_entry_size, "an index entry fits the buffers of its readers");
}

IoStatus IndexFile::open(bool create) {
    if (file_) return {};
    PABAL_TRY_ASSIGN(file_,
                     disk_.open(path_, create ? io::OpenMode::create : io::OpenMode::read_write));
    return {};
}

IoStatus IndexFile::load() {
    if (written_count_ == 0 && !longer_on_disk_) return {};
    PABAL_TRY(open(false));
    // Entries grow, so zeros can only be the first entry or space that nobody has written yet.
    std::uint8_t entry[max_index_entry_size];
    std::uint32_t valid = 0;
    std::uint32_t zeros_from = written_count_;
    while (valid < zeros_from) {
        const std::uint32_t middle = valid + (zeros_from - valid) / 2;
        // The last one first: it is zeros only where space was preallocated.
        const std::uint32_t probe = zeros_from == written_count_ ? zeros_from - 1 : middle;
        PABAL_TRY(read(probe, entry));
        if (all_zero(entry, entry_size_)) {
            zeros_from = probe;
        } else {
            valid = probe + 1;
        }
    }
    if (valid != written_count_) longer_on_disk_ = true;
    written_count_ = valid;
    return {};
}

IoStatus IndexFile::read(std::uint32_t number, std::uint8_t* into) const {
    return read_run(number, 1, into);
}

IoResult<std::uint32_t> IndexFile::count_at_most(std::int64_t target, Key key) const {
    std::uint8_t run[entries_per_read * max_index_entry_size];
    std::uint32_t low = 0;  // Entries below are at most the target, those from `high` on above it.
    std::uint32_t high = count();
    while (low < high) {
        // The few that are left on one side of the border between file and memory: one read.
        const std::uint32_t end = low < written_count_ ? std::min(high, written_count_) : high;
        if (end - low <= entries_per_read) {
            PABAL_TRY(read_run(low, end - low, run));
            std::uint32_t below = 0;
            while (below < end - low && key(run + std::size_t{below} * entry_size_) <= target) {
                ++below;
            }
            if (low + below < end || end == high) return low + below;
            low = end;
            continue;
        }
        const std::uint32_t middle = low + (high - low) / 2;
        PABAL_TRY(read_run(middle, 1, run));
        if (key(run) <= target) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

IoStatus IndexFile::read_run(std::uint32_t first, std::uint32_t count, std::uint8_t* into) const {
    const std::size_t size = std::size_t{count} * entry_size_;
    if (first >= written_count_) {
        const std::size_t position = std::size_t{first - written_count_} * entry_size_;
        ASSERT(position + size <= pending_.size(), "an index entry that is read exists");
        std::memcpy(into, pending_.data() + position, size);
        return {};
    }
    PABAL_TRY_ASSIGN(const std::size_t read,
                     file_->read(std::uint64_t{first} * entry_size_, {into, size}));
    if (read != size) {
        return IoError{0, path_ + " ended at entry " + std::to_string(first) + " of " +
                              std::to_string(written_count_)};
    }
    return {};
}

void IndexFile::append(const std::uint8_t* entry) {
    pending_.append(reinterpret_cast<const char*>(entry), entry_size_);
}

void IndexFile::write_if_due() {
    if (pending_count() % entries_per_write == 0 && pending_count() > 0) (void)write();
}

IoStatus IndexFile::write() {
    if (longer_on_disk_) {
        PABAL_TRY(open(false));
        PABAL_TRY(file_->truncate(std::uint64_t{written_count_} * entry_size_));
        longer_on_disk_ = false;
    }
    if (pending_.empty()) return {};
    PABAL_TRY(open(true));
    const ByteView piece = as_bytes(pending_);
    if (auto status = file_->write(std::uint64_t{written_count_} * entry_size_, {&piece, 1});
        !status.ok()) {
        longer_on_disk_ = true;
        return status;
    }
    written_count_ += pending_count();
    pending_.clear();
    return {};
}

IoStatus IndexFile::truncate(std::uint32_t count) {
    if (count >= written_count_) {
        pending_.resize(std::size_t{std::min(count - written_count_, pending_count())} *
                        entry_size_);
        return {};
    }
    pending_.clear();
    written_count_ = count;
    longer_on_disk_ = true;
    return write();
}

}  // namespace pabal::log
