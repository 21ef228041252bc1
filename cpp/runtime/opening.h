// The opening or making of one partition's log: filled in on the shard, worked on by the disk pool,
// finished on the shard.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/uuid.h"
#include "log/partition_log.h"
#include "runtime/partitions.h"

namespace pabal::runtime {

struct Partitions::Opening {
    std::shared_ptr<Partition> partition;
    std::shared_ptr<const TopicConfig> config;
    std::string path;
    bool on_disk = false;  // The last run left this directory.
    log::LogCheckpoint checkpoint;
    Uuid unique;  // Part of the name, should the directory be set aside.
    // Filled in by the disk pool.
    std::string set_aside;  // The name that another topic's directory got.
    std::optional<IoResult<std::unique_ptr<log::PartitionLog>>> result;
};

}  // namespace pabal::runtime
