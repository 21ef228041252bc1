// The log directories of a node before anything in them is read: made, locked against a second
// process, and known by their meta.properties to belong to this node of this cluster. An empty one
// is formatted, as kafka-storage would. Blocks; for the disk pool.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "io/disk.h"
#include "metadata/broker_config.h"
#include "runtime/partitions.h"

namespace pabal::node {

struct NodeOptions;

struct LogDirectories {
    std::vector<runtime::LogDirectory> directories;  // In the order of log.dirs.
    std::vector<std::unique_ptr<io::DirectoryLock>> locks;
    DirectoryId metadata_directory;
    std::string cluster_id;
    bool formatted = false;  // At least one was.
};

// Errors say which directory, what is wrong with it, and what to do.
Result<LogDirectories> claim_log_directories(io::Disk& disk, const metadata::BrokerConfig& config,
                                             const NodeOptions& options, Prng random, WallTime now);

}  // namespace pabal::node
