// What the members and the leader of a classic consumer group tell each other through the
// coordinator (the embedded consumer protocol): read where the coordinator has to know what it
// carries, and written where it speaks for a leader.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "wire/records/consumer_protocol_assignment.h"
#include "wire/records/consumer_protocol_subscription.h"

namespace pabal::group {

inline constexpr std::string_view consumer_protocol_type = "consumer";

// Nothing if it is not metadata of a consumer.
std::optional<wire::ConsumerProtocolSubscription> parse_subscription(const Bytes& metadata);
std::optional<std::vector<std::string>> subscribed_topics(const Bytes& metadata);

// Of nobody's assignment, which is empty, an empty one. Nothing if it is none of a consumer.
std::optional<wire::ConsumerProtocolAssignment> parse_assignment(const Bytes& assignment);
// In the version that the member speaks, as its metadata tells.
Bytes encode_assignment(const wire::ConsumerProtocolAssignment& assignment, const Bytes& metadata);

}  // namespace pabal::group
