// What the stores of one process have in common: RocksDB's background threads, a block cache and a
// bound on memtables. Small, because the logs and not the stores hold the data.
#pragma once

#include <rocksdb/options.h>

namespace pabal::kv {

// Made at the first call, kept until the process ends. With `temporary` nothing is ever synced.
const rocksdb::Options& shared_options(bool temporary);

}  // namespace pabal::kv
