// Assignments as messages and records have them, and the other way round.
#pragma once

#include <vector>

#include "group/consumer/assignment.h"

namespace pabal::group {

template <class Topics>
Assignment from_wire(const Topics& topics) {
    Assignment assignment;
    for (const auto& topic : topics) {
        for (const PartitionIndex partition : topic.partitions)
            add(&assignment, {topic.topic_id, partition});
    }
    return assignment;
}

template <class Topic>
std::vector<Topic> to_wire(const Assignment& assignment) {
    std::vector<Topic> topics;
    for (const auto& [id, partitions] : assignment) {
        Topic& topic = topics.emplace_back();
        topic.topic_id = id;
        topic.partitions.assign(partitions.begin(), partitions.end());
    }
    return topics;
}

}  // namespace pabal::group
