// Exclusive use of a directory through a lock file, as Kafka takes it (a record lock), so that a
// Kafka broker and ours exclude each other too. Also excludes other holders in this process.
#pragma once

#include <memory>
#include <string>

#include "io/disk.h"

namespace pabal::os {

IoResult<std::unique_ptr<io::DirectoryLock>> lock_directory(const std::string& path);

}  // namespace pabal::os
