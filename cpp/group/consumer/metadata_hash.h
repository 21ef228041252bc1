// One number for what a consumer group's assignment was made from: its topics, their partitions and
// the racks of their replicas. Computed as Kafka does it (KIP-1101), so that neither takes the
// other's groups for changed. Pure.
#pragma once

#include <cstdint>
#include <set>

#include "base/bytes.h"
#include "base/ids.h"

namespace pabal::metadata {
class ClusterImage;
}

namespace pabal::group {

// Topics that do not exist do not count; 0 for none at all.
std::int64_t metadata_hash(const std::set<TopicId>& topics, const metadata::ClusterImage& image);

// XXH3 in 64 bits, without a seed.
std::uint64_t xxh3(ByteView bytes);

}  // namespace pabal::group
