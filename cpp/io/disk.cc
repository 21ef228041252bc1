#include "io/disk.h"

namespace pabal::io {
namespace {

IoStatus replace(Disk& disk, const std::string& path, std::string_view content, bool durable) {
    const std::string temporary = path + ".tmp";
    PABAL_TRY(disk.remove(temporary));
    PABAL_TRY_ASSIGN(auto file, disk.open(temporary, OpenMode::create_new));
    const ByteView pieces[] = {as_bytes(content)};
    PABAL_TRY(file->write(0, pieces));
    if (durable) PABAL_TRY(file->sync());
    PABAL_TRY(disk.rename(temporary, path));
    if (!durable) return {};
    const auto slash = path.rfind('/');
    return disk.sync_directory(slash == std::string::npos ? "." : path.substr(0, slash));
}

}  // namespace

bool File::read_exactly(std::uint64_t position, MutableByteView into) const {
    const auto count = read(position, into);
    return count.ok() && *count == into.size();
}

IoResult<std::string> read_file(Disk& disk, const std::string& path, std::uint64_t limit_bytes) {
    PABAL_TRY_ASSIGN(auto file, disk.open(path, OpenMode::read_only));
    PABAL_TRY_ASSIGN(const std::uint64_t size, file->size());
    if (size > limit_bytes) {
        return IoError{0, path + " has " + std::to_string(size) + " bytes, more than the " +
                              std::to_string(limit_bytes) + " that it may have"};
    }
    std::string content(size, '\0');
    if (!file->read_exactly(0, {reinterpret_cast<std::uint8_t*>(content.data()), size})) {
        return IoError{0, "cannot read " + path};
    }
    return content;
}

IoStatus replace_file(Disk& disk, const std::string& path, std::string_view content) {
    return replace(disk, path, content, true);
}

IoStatus replace_file_unsynced(Disk& disk, const std::string& path, std::string_view content) {
    return replace(disk, path, content, false);
}

}  // namespace pabal::io
