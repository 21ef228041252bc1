// The file system as RocksDB sees it, with fewer syncs: a store's opening would wait for ten, each
// up to milliseconds. What nothing depends on (the OPTIONS and IDENTITY files) is never synced, and
// in a temporary store nothing is.
#pragma once

#include <rocksdb/file_system.h>

#include <memory>

namespace pabal::kv {

std::shared_ptr<rocksdb::FileSystem> file_system_with_fewer_syncs(bool temporary);

}  // namespace pabal::kv
