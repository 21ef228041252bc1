// Brings a log up from what its directory holds. Where the last run ended in order, or nothing was
// written since the checkpoint, no `.log` is read. Everything above the recovery point is read
// batch by batch (length, magic, checksum, offsets), the indexes beside it are made again, and a
// torn end is cut away: the result is a prefix of what was appended. A damaged batch below the
// recovery point, or before valid ones, is no torn end but lost data: that is an error which names
// the place.
#pragma once

#include "log/partition_log_state.h"

namespace pabal::log {

IoStatus recover(PartitionLog::State& log, const LogCheckpoint& checkpoint, WallTime now);

}  // namespace pabal::log
