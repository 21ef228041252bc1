#include "runtime/synced_mark.h"

#include <charconv>
#include <cstdio>

#include "base/crc32c.h"
#include "io/disk.h"

namespace pabal::runtime {
namespace {

constexpr std::uint64_t most_bytes = 512;
constexpr std::size_t digits = 19;  // Of the largest offset.
constexpr std::size_t checksum_digits = 8;

std::string checksum(std::string_view line) {
    char text[checksum_digits + 1];
    std::snprintf(text, sizeof text, "%08x", crc32c(as_bytes(line)));
    return text;
}

// Always as long for one boot: it is overwritten in place.
std::string line_of(Offset end, const std::string& boot) {
    const std::string number = std::to_string(end.value());
    return std::string(digits - number.size(), '0') + number + ' ' + boot + '\n';
}

}  // namespace

SyncedMark::SyncedMark(io::Disk* disk, const std::string& directory)
    : disk_(disk), path_(directory + "/pabal-synced"), boot_(disk->boot_id()) {}

IoResult<std::optional<SyncedMark::Content>> SyncedMark::read() const {
    using Found = std::optional<Content>;
    PABAL_TRY_ASSIGN(const bool exists, disk_->exists(path_));
    if (!exists) return Found();
    PABAL_TRY_ASSIGN(const std::string text, io::read_file(*disk_, path_, most_bytes));
    const std::size_t end_of_line = text.find('\n');
    if (end_of_line == std::string::npos || end_of_line <= digits) return Found();
    const std::string line = text.substr(0, end_of_line + 1);
    if (text.substr(line.size(), checksum_digits) != checksum(line)) return Found();
    std::int64_t end = 0;
    const auto parsed = std::from_chars(line.data(), line.data() + digits, end);
    if (parsed.ec != std::errc() || parsed.ptr != line.data() + digits) return Found();
    const std::string boot = line.substr(digits + 1, line.size() - digits - 2);
    return Found(Content{Offset(end), !boot.empty() && boot == boot_});
}

IoStatus SyncedMark::write(Offset end) {
    std::string text = line_of(end, boot_);
    text += checksum(text) + '\n';
    const bool first = !file_;
    if (first) {
        PABAL_TRY_ASSIGN(file_, disk_->open(path_, io::OpenMode::create));
    }
    const ByteView pieces[] = {as_bytes(text)};
    PABAL_TRY(file_->write(0, pieces));
    // Another boot may have had a longer name.
    return first ? file_->truncate(text.size()) : IoStatus();
}

IoStatus SyncedMark::lower(Offset end) {
    PABAL_TRY(write(end));
    return file_->sync();
}

}  // namespace pabal::runtime
