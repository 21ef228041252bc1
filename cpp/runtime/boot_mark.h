// The boot of the machine in which everything below a directory was last brought up, in the file
// `pabal-boot`. While the machine is still in that boot the kernel holds every write of a killed
// process; after any other, what was not synced may be torn. Never synced itself: it is believed
// only where the kernel cannot have lost it. All functions here block.
#pragma once

#include <string>

#include "base/result.h"

namespace pabal::io {
class Disk;
}

namespace pabal::runtime {

// True if the machine has not gone down since the mark was written. No or an odd mark says false.
bool machine_stayed_up(io::Disk& disk, const std::string& directory);
// To be written once nothing in the directory shows traces of an earlier boot any more.
IoStatus write_boot_mark(io::Disk& disk, const std::string& directory);

}  // namespace pabal::runtime
