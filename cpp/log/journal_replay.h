// Brings the segments of a log directory to where the commit journal of a run that crashed vouches
// for them: the batches of every frame that is still needed are written to the places in the
// `.log` files where they stood, all of it is synced, and the journal is removed. Between two
// resets a partition's log only grows, so each place has had one content: replaying twice, or what
// stands already, changes nothing. Then each log is recovered as after any crash. Functions here
// block.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"

namespace pabal::io {
class Disk;
}

namespace pabal::log {

struct JournalReplay {
    std::uint64_t frames = 0;  // That were still needed.
    std::uint64_t entries = 0;
    std::uint64_t partitions = 0;  // Of which something was written.
    std::uint64_t bytes = 0;       // To segments.
};

// Up to where the segments of `partition`, which lies in the directory named `name`, are known to
// be synced; nothing if it is not there.
using SyncedUpTo =
    std::function<std::optional<Offset>(const TopicPartition& partition, const std::string& name)>;

// An error leaves the journal where it is. If it says that the journal is damaged, then the disk
// has lost what was synced, and acknowledged records with it.
IoResult<JournalReplay> replay_journal(io::Disk& disk, const std::string& log_directory,
                                       DirectoryId id, const SyncedUpTo& synced);

// Durable when it returns.
IoStatus remove_journal(io::Disk& disk, const std::string& log_directory);

}  // namespace pabal::log
