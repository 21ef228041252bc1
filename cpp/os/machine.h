// What all nodes of one process share: the disk pool and the open descriptors. Made with the first
// node, gone with the last.
#pragma once

#include <memory>

#include "os/disk_pool.h"
#include "os/open_files.h"

namespace pabal::os {

class Machine {
public:
    static std::shared_ptr<Machine> shared();
    explicit Machine(std::size_t descriptor_limit) : open_files(descriptor_limit) {}

    OpenFiles open_files;
    DiskPool disk_pool;
};

}  // namespace pabal::os
