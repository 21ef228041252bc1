// Brings a log up from what its directory holds. Where the last run ended in order, or nothing was
// written since the checkpoint, no `.log` is read. Everything above the recovery point is read
// batch by batch (length, magic, checksum, offsets), the indexes beside it are made again, and it
// is cut at the first damaged batch: the result is a prefix of what was appended. Below the
// recovery point damage is no trace of a crash but lost data: an error that names the place, and
// nothing is changed. The same above it, when whole batches follow and the machine stayed up.
#pragma once

#include "log/partition_log_state.h"

namespace pabal::log {

IoStatus recover(PartitionLog::State& log, const LogCheckpoint& checkpoint, WallTime now);

}  // namespace pabal::log
