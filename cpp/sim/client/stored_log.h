// A partition's log as it lies on a simulated disk, read without the broker that wrote it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "io/disk.h"
#include "sim/checkers/checker.h"

namespace pabal::sim {

// The batches of all segments in the directory of a partition, in order. An error if a segment does
// not consist of whole batches.
IoResult<std::vector<StoredBatch>> read_stored_log(io::Disk& disk, const std::string& directory);

}  // namespace pabal::sim
