// Who reads what: the server-side assignors of KIP-848. Pure functions of the members, what they
// subscribe to, and what they were to have before.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string_view>
#include <vector>

#include "group/consumer/assignment.h"

namespace pabal::group {

// Refers to what the group has.
struct AssignedMember {
    std::string_view order;  // Its instance id, or its member id: decides among equals.
    const std::set<TopicId>* topics = nullptr;  // That exist and that it subscribes to.
    const Assignment* target = nullptr;         // Before; null: none.
};

struct AssignorInput {
    std::vector<AssignedMember> members;  // By member id.
    std::map<TopicId, std::int32_t> partition_counts;
};

using Targets = std::vector<Assignment>;  // One for each member, in their order.

// As even as the subscriptions allow; who has a partition keeps it if that is even, too.
Targets assign_uniform(const AssignorInput& input);
// Each topic by itself in consecutive ranges, so that equal partitions of topics of equal size come
// to one member.
Targets assign_range(const AssignorInput& input);

}  // namespace pabal::group
