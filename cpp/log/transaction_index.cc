#include "log/transaction_index.h"

#include <array>

#include "io/disk.h"
#include "log/big_endian.h"

namespace pabal::log {
namespace {

constexpr std::int16_t format_version = 0;

}  // namespace

TransactionIndex::TransactionIndex(io::Disk& disk, std::string path, std::uint64_t on_disk_bytes)
    : disk_(disk), path_(std::move(path)), size_(on_disk_bytes - on_disk_bytes % entry_size) {}

IoStatus TransactionIndex::open() const {
    if (file_) return {};
    PABAL_TRY_ASSIGN(file_, disk_.open(path_, io::OpenMode::create));
    return {};
}

IoStatus TransactionIndex::append(const AbortedTransactionEntry& entry) {
    PABAL_TRY(open());
    std::array<std::uint8_t, entry_size> bytes;
    put_big_endian(bytes.data(), format_version);
    put_big_endian(bytes.data() + 2, entry.producer.value());
    put_big_endian(bytes.data() + 10, entry.first_offset.value());
    put_big_endian(bytes.data() + 18, entry.last_offset.value());
    put_big_endian(bytes.data() + 26, entry.last_stable_offset.value());
    const ByteView piece = bytes;
    PABAL_TRY(file_->write(size_, {&piece, 1}));
    size_ += entry_size;
    return {};
}

IoResult<std::vector<AbortedTransactionEntry>> TransactionIndex::read_all() const {
    std::vector<AbortedTransactionEntry> entries;
    if (empty()) return entries;
    PABAL_TRY(open());
    Buffer content(size_);
    if (!file_->read_exactly(0, content.view())) {
        return IoError{0, "cannot read the " + std::to_string(size_) + " bytes of " + path_};
    }
    entries.reserve(size_ / entry_size);
    for (std::size_t position = 0; position < size_; position += entry_size) {
        const std::uint8_t* at = content.data() + position;
        if (const auto version = get_big_endian<std::int16_t>(at); version != format_version) {
            return IoError{0, path_ + " has format version " + std::to_string(version) +
                                  " at position " + std::to_string(position) + "; 0 is known"};
        }
        entries.push_back({ProducerId(get_big_endian<std::int64_t>(at + 2)),
                           Offset(get_big_endian<std::int64_t>(at + 10)),
                           Offset(get_big_endian<std::int64_t>(at + 18)),
                           Offset(get_big_endian<std::int64_t>(at + 26))});
    }
    return entries;
}

IoStatus TransactionIndex::truncate_to_offset(Offset offset) {
    if (empty()) return {};
    PABAL_TRY_ASSIGN(const auto entries, read_all());
    std::uint64_t kept = 0;
    for (const auto& entry : entries) {
        if (entry.last_offset >= offset) break;
        kept += entry_size;
    }
    if (kept == size_) return {};
    PABAL_TRY(file_->truncate(kept));
    size_ = kept;
    return {};
}

}  // namespace pabal::log
