#include "runtime/boot_mark.h"

#include "base/probe.h"
#include "io/disk.h"

namespace pabal::runtime {
namespace {

constexpr char file_name[] = "/pabal-boot";
constexpr std::uint64_t most_bytes = 256;

}  // namespace

bool machine_stayed_up(io::Disk& disk, const std::string& directory) {
    if (SABOTAGED("every-boot-is-the-same")) return true;
    const std::string boot = disk.boot_id();
    if (boot.empty()) return false;
    const auto exists = disk.exists(directory + file_name);
    if (!exists.ok() || !*exists) return false;
    const auto content = io::read_file(disk, directory + file_name, most_bytes);
    return content.ok() && *content == boot + "\n";
}

IoStatus write_boot_mark(io::Disk& disk, const std::string& directory) {
    const std::string boot = disk.boot_id();
    if (boot.empty()) return {};
    return io::replace_file_unsynced(disk, directory + file_name, boot + "\n");
}

}  // namespace pabal::runtime
