// What members of a classic consumer group tell each other through the coordinator, which does not
// look inside: subscriptions for the leader, assignments for everybody (the embedded consumer
// protocol), byte for byte as the Java client writes them. Values; what others sent may be
// anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/exported.h"
#include "client/named_partition.h"

namespace pabal::client {

enum class Assignor { range, round_robin, sticky, cooperative_sticky };

// As partition.assignment.strategy and the group's protocol call it.
std::string_view name_of(Assignor assignor);
PABAL_EXPORTED std::optional<Assignor> assignor_named(std::string_view name);
// Members give up only what others get, instead of all before every rebalance (KIP-429).
inline bool is_cooperative(Assignor assignor) {
    return assignor == Assignor::cooperative_sticky;
}

struct MemberSubscription {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::vector<std::string> topics;
    std::vector<NamedPartition> owned;  // What it still has, or for the sticky assignor had.
    std::int32_t generation = -1;       // When it was given that.
};

// `owned` is what the member reads now, `before` what it was given last.
Bytes encode_subscription(Assignor assignor, const std::vector<std::string>& topics,
                          const std::vector<NamedPartition>& owned,
                          const std::vector<NamedPartition>& before, std::int32_t generation,
                          const std::string& rack);
// Nothing subscribed to if these are no such bytes.
MemberSubscription decode_subscription(Assignor assignor, const Bytes& bytes);

Bytes encode_assignment(std::vector<NamedPartition> partitions);
// Sorted; nothing if these are no such bytes.
std::vector<NamedPartition> decode_assignment(const Bytes& bytes);

}  // namespace pabal::client
