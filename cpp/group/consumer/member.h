// A member of a ConsumerGroup: what it told of itself, and where it is on its way to its target. A
// value that the group keeps.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "group/consumer/assignment.h"
#include "group/effects.h"
#include "wire/records/consumer_group_member_metadata_value.h"

namespace pabal::group {

// As the records number them.
enum class MemberState : std::int8_t {
    stable = 0,      // Has what its epoch's target gives it.
    unrevoked = 1,   // Was told to give something up, and has not said that it did.
    unreleased = 2,  // Waits for what others have to give up.
};

struct ConsumerMember {
    std::string id;
    std::optional<std::string> instance_id;
    std::optional<std::string> rack_id;
    std::string client_id;
    std::string client_host;
    std::int32_t rebalance_timeout_ms = -1;
    std::vector<std::string> topic_names;  // Sorted.
    std::string pattern;                   // Empty: none.
    std::optional<std::string> server_assignor;
    // Of a member that speaks the classic protocol, which the group has taken in (KIP-848).
    std::optional<wire::ConsumerGroupMemberMetadataValue::ClassicMemberMetadata> classic;

    std::int32_t epoch = 0;
    std::int32_t previous_epoch = -1;
    MemberState state = MemberState::stable;
    Assignment assigned;
    Assignment pending;  // To be given up; held until then.
    // The epoch in which it was given what it holds (KIP-1251).
    std::map<TopicPartition, std::int32_t> since;

    Instant expires = Instant::never();
    Instant revoke_by = Instant::never();
    // Of a classic member: it was told to join again; it joined and has not fetched its share.
    Instant join_by = Instant::never();
    Instant sync_by = Instant::never();
    CallId beating = 0;  // Its heartbeat that waits for news.

    // When it is taken out of the group if nothing more is heard of it.
    Instant deadline() const { return std::min({expires, revoke_by, join_by, sync_by}); }
};

}  // namespace pabal::group
