// Who reads what: the server-side assignors of KIP-848. Pure functions of the members, what they
// subscribe to, and what they were to have before.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "group/consumer/assignment.h"

namespace pabal::group {

struct AssignedMember {
    std::string order;         // Its instance id, or its member id: decides among equals.
    std::set<TopicId> topics;  // That exist and that it subscribes to.
    Assignment target;         // Before.
};

struct AssignorInput {
    std::map<std::string, AssignedMember> members;  // By member id.
    std::map<TopicId, std::int32_t> partition_counts;
};

using Targets = std::map<std::string, Assignment>;  // By member id; every member is in it.

// As even as the subscriptions allow; who has a partition keeps it if that is even, too.
Targets assign_uniform(const AssignorInput& input);
// Each topic by itself in consecutive ranges, so that equal partitions of topics of equal size come
// to one member.
Targets assign_range(const AssignorInput& input);

}  // namespace pabal::group
