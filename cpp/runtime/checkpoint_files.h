// Kafka's own checkpoint files at the top of a log directory. Read when the last run ended cleanly
// (whoever it was, Kafka or pabal), written when this one does: so each can open what the other
// left.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/result.h"
#include "log/partition_log.h"

namespace pabal::io {
class Disk;
}

namespace pabal::runtime {

// Topic name and partition, as these files say it.
using NamedPartition = std::pair<std::string, std::int32_t>;
using CheckpointsByName = std::map<NamedPartition, log::LogCheckpoint>;

inline constexpr const char* clean_shutdown_file = ".kafka_cleanshutdown";

struct CheckpointFiles {
    bool clean_shutdown = false;   // The marker was there.
    BrokerEpoch broker_epoch{-1};  // Of the run that left it; -1 if it does not say.
    CheckpointsByName partitions;
};

// Missing files are empty ones. A damaged file is an error that names it. Blocks.
IoResult<CheckpointFiles> read_checkpoint_files(io::Disk& disk, const std::string& log_directory);
// All three files, then the marker. Blocks.
IoStatus write_clean_shutdown(io::Disk& disk, const std::string& log_directory,
                              const CheckpointsByName& partitions, BrokerEpoch broker_epoch);
// From now on a crash is a crash. Blocks.
IoStatus remove_clean_shutdown_marker(io::Disk& disk, const std::string& log_directory);
// Up to where each compacted log was cleaned: one more such file, which is in use while the broker
// runs. Reading and writing block.
using OffsetsByName = std::map<NamedPartition, Offset>;
IoResult<OffsetsByName> read_cleaner_checkpoint(io::Disk& disk, const std::string& log_directory);
IoStatus write_cleaner_checkpoint(io::Disk& disk, const std::string& log_directory,
                                  const OffsetsByName& cleaned);
// The files say nothing any more: what they said stands in the store. Blocks.
IoStatus clear_checkpoint_files(io::Disk& disk, const std::string& log_directory);

}  // namespace pabal::runtime
