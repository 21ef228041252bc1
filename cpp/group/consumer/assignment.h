// Which partitions somebody has: by topic id, in order. A value.
#pragma once

#include <cstddef>
#include <map>
#include <set>

#include "base/ids.h"

namespace pabal::group {

// No topic without a partition.
using Assignment = std::map<TopicId, std::set<PartitionIndex>>;

inline bool contains(const Assignment& assignment, const TopicPartition& partition) {
    const auto topic = assignment.find(partition.topic);
    return topic != assignment.end() && topic->second.count(partition.partition) > 0;
}

inline void add(Assignment* assignment, const TopicPartition& partition) {
    (*assignment)[partition.topic].insert(partition.partition);
}

inline void remove(Assignment* assignment, const TopicPartition& partition) {
    const auto topic = assignment->find(partition.topic);
    if (topic == assignment->end()) return;
    topic->second.erase(partition.partition);
    if (topic->second.empty()) assignment->erase(topic);
}

inline std::size_t partition_count(const Assignment& assignment) {
    std::size_t count = 0;
    for (const auto& [topic, partitions] : assignment) count += partitions.size();
    return count;
}

template <class Visit>
void for_each(const Assignment& assignment, Visit visit) {
    for (const auto& [topic, partitions] : assignment) {
        for (const PartitionIndex partition : partitions) visit(TopicPartition{topic, partition});
    }
}

}  // namespace pabal::group
