// The directory of one partition as Kafka names and marks it: `topic-3`, with the topic's id in
// partition.metadata; `.<uuid>-delete` while its removal is pending, `.<uuid>-stray` when the
// metadata knows nothing of it. All functions here block.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "runtime/checkpoint_files.h"

namespace pabal::io {
class Disk;
}

namespace pabal::runtime {

std::string partition_directory_name(std::string_view topic, PartitionIndex index);
// Nothing if `name` is not that of a partition in use.
std::optional<NamedPartition> parse_partition_directory_name(std::string_view name);
// Whether the directory waits for its removal.
bool is_deleted_directory_name(std::string_view name);
// `suffix` is "delete" or "stray". Never longer than a file name may be.
std::string set_aside_name(std::string_view directory_name, const Uuid& unique,
                           std::string_view suffix);

// The topic id in partition.metadata; nothing if the file is missing or was cut off by a crash.
IoResult<std::optional<TopicId>> read_partition_metadata(io::Disk& disk,
                                                         const std::string& directory);
// Not synced: nothing in the directory is promised yet, see sync_partition_names.
IoStatus write_partition_metadata(io::Disk& disk, const std::string& directory,
                                  const TopicId& topic);
// The directory's name and its partition.metadata survive a loss of power. Before the first
// record in it is promised to.
IoStatus sync_partition_names(io::Disk& disk, const std::string& log_directory,
                              const std::string& directory);

}  // namespace pabal::runtime
