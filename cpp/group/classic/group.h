// One group of the classic protocol (JoinGroup, SyncGroup, Heartbeat, LeaveGroup; KIP-62, 134, 229,
// 345, 394, 814): its members, its generation, and who waits for what. Owned by the shard of its
// __consumer_offsets partition. Pure: the time is an argument, requests that have to wait are
// answered later through Effects, and all that must outlive the broker becomes a record.
//
//   Empty ──join──▶ PreparingRebalance ──all joined, or time is up──▶ CompletingRebalance
//     ▲                │      ▲                                          │        │
//     └──all left──────┘      └──join, leave, expiry────────────────────-┤   the leader's sync
//                             └───────────────────────────────── Stable ◀┘────────┘
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error_code.h"
#include "base/prng.h"
#include "base/time.h"
#include "group/classic/migrant.h"
#include "group/effects.h"
#include "group/settings.h"
#include "wire/describe_groups.h"
#include "wire/leave_group.h"
#include "wire/records/group_metadata_value.h"

namespace pabal::group {

enum class GroupState : std::uint8_t {
    empty,                 // No members; committed offsets may remain.
    preparing_rebalance,   // Waits for members to join.
    completing_rebalance,  // Waits for the leader's assignment.
    stable,                // Members have the leader's assignment.
    dead,                  // Never a group's own: what is told of one that does not exist.
};
// Kafka's: "PreparingRebalance".
std::string_view state_name(GroupState state);

// Who sent a JoinGroup.
struct Joiner {
    CallId call = 0;
    std::string client_id;
    std::string client_host;
    bool member_id_required = false;   // From version 4 on (KIP-394).
    bool may_skip_assignment = false;  // From version 9 on (KIP-814).
};

class ClassicGroup {
public:
    // `settings` must outlive the group.
    ClassicGroup(std::string id, const Settings* settings, Moment moment);
    // As its newest record tells; members get a session anew.
    ClassicGroup(std::string id, const Settings* settings, const wire::GroupMetadataValue& value,
                 Moment moment);
    // Stable, of the classic members that a group of the other protocol is left with (KIP-848).
    ClassicGroup(std::string id, const Settings* settings, std::int32_t generation,
                 std::vector<Migrant> members, Moment moment);

    const std::string& id() const { return id_; }
    GroupState state() const { return state_; }
    bool is_empty() const { return state_ == GroupState::empty; }
    std::int32_t generation() const { return generation_; }
    const std::optional<std::string>& protocol_type() const { return protocol_type_; }
    std::int64_t state_timestamp() const { return state_timestamp_; }
    std::size_t member_count() const { return members_.size(); }
    bool is_consumer_group() const;
    // Whether members read the topic, as far as they told.
    bool subscribes(const std::string& topic) const;
    bool knows_subscriptions() const { return subscriptions_.has_value(); }

    void join(const wire::JoinGroupRequest& request, const Joiner& joiner, Moment moment,
              Prng* random, Effects* effects);
    void sync(const wire::SyncGroupRequest& request, CallId call, Moment moment, Effects* effects);
    ErrorCode heartbeat(const wire::HeartbeatRequest& request, Moment moment);
    // After a heartbeat that found nothing new: `call` is answered when there is something. Returns
    // how long that may be waited for, zero if not at all. An answer to a call that was given up is
    // for nobody.
    Duration park_heartbeat(const std::string& member, CallId call);
    // How long a heartbeat of a member with this session may be held back.
    static Duration patience(std::int32_t session_timeout_ms);
    // One answer for each member of the request, in its order.
    std::vector<wire::LeaveGroupResponse::MemberResponse> leave(
        const wire::LeaveGroupRequest& request, Moment moment, Effects* effects);
    // Whether this member (or nobody: a simple consumer) may commit offsets now; if so, its session
    // begins anew, unless a producer commits for it.
    ErrorCode commit(const std::string& member, const std::optional<std::string>& instance,
                     std::int32_t generation, Moment moment, bool in_transaction = false);
    wire::DescribeGroupsResponse::DescribedGroup describe() const;

    // When `elapsed` has something to do; may be earlier than needed, never later.
    Instant deadline() const;
    void elapsed(Moment moment, Effects* effects);
    // Everybody who waits is told `error`.
    void abandon(ErrorCode error, Effects* effects);

    wire::GroupMetadataValue metadata() const;
    // Its members, for a group of the other protocol.
    std::vector<Migrant> migrants() const;
    // Everybody has to join again.
    void rebalance(Moment moment, Effects* effects);

private:
    using Protocol = ClassicProtocol;
    struct Member {
        std::string id;
        std::optional<std::string> instance_id;
        std::string client_id;
        std::string client_host;
        std::int32_t rebalance_timeout_ms = 0;
        std::int32_t session_timeout_ms = 0;
        std::vector<Protocol> protocols;  // Best first.
        Bytes assignment;
        CallId joining = 0;  // Its JoinGroup that waits; 0 if none does.
        CallId syncing = 0;
        CallId beating = 0;      // Its Heartbeat that waits for news.
        bool is_new = true;      // Never had a generation.
        bool owes_sync = false;  // Has this generation and no assignment yet.
        Instant expires = Instant::never();

        const Bytes& metadata(std::string_view protocol) const;
        bool supports(std::string_view protocol) const;
        // Who waits for us cannot prove that it lives (KIP-62).
        bool can_expire() const { return is_new || (joining == 0 && syncing == 0); }
    };

    void join_as_new(const wire::JoinGroupRequest& request, const Joiner& joiner, Moment moment,
                     Prng* random, Effects* effects);
    void join_again(const wire::JoinGroupRequest& request, const Joiner& joiner, Moment moment,
                    Effects* effects);
    void replace_static_member(const wire::JoinGroupRequest& request, const Joiner& joiner,
                               const std::string& new_id, Moment moment, Effects* effects);
    void add_member(const wire::JoinGroupRequest& request, const Joiner& joiner,
                    const std::string& member_id, Moment moment, Effects* effects);
    void update_member(Member* member, const wire::JoinGroupRequest& request, const Joiner& joiner,
                       Effects* effects);
    bool has_room_for(const std::string& member_id) const;
    bool supports(const wire::JoinGroupRequest& request) const;
    ErrorCode validate(const std::string& member, const std::optional<std::string>& instance) const;

    void rebalance_or_complete(Moment moment, Effects* effects);
    void complete_if_all_joined(Moment moment, Effects* effects);
    void complete_join(Moment moment, Effects* effects);
    bool all_joined() const;
    bool elect_joined_leader();
    std::string select_protocol() const;
    void learn_subscriptions();
    void give_assignments(Moment moment, Effects* effects);
    void cancel_syncs(ErrorCode error, Moment moment, Effects* effects);
    // Ids that were given may be gone, and with `member_left` members are.
    void members_changed(bool member_left, Moment moment, Effects* effects);
    // Its waiting calls are answered with `error`.
    void remove_member(const std::string& member_id, ErrorCode error, Effects* effects);
    void transition(GroupState state, Moment moment);
    void begin_session(Member* member, Moment moment);
    Duration rebalance_timeout() const;
    void write(Effects* effects) const;

    void answer_join(Member* member, Effects* effects, bool with_members,
                     bool skip_assignment = false) const;
    wire::JoinGroupResponse generation_for(const Member& member, bool with_members) const;
    static void refuse_join(CallId call, const std::string& member_id, ErrorCode error,
                            Effects* effects);
    void answer_sync(CallId call, const Bytes& assignment, Effects* effects) const;
    static void refuse_sync(CallId call, ErrorCode error, Effects* effects);
    static void end_heartbeat(Member* member, ErrorCode error, Effects* effects);

    std::string id_;
    const Settings* settings_;
    GroupState state_ = GroupState::empty;
    std::int64_t state_timestamp_ = -1;
    std::int32_t generation_ = 0;
    std::optional<std::string> protocol_type_;
    std::optional<std::string> protocol_;
    std::optional<std::string> leader_;
    std::map<std::string, Member> members_;
    std::map<std::string, std::string> static_members_;  // Instance id → member id.
    // Ids that were given (KIP-394) and have not joined; until when they are remembered.
    std::map<std::string, Instant> announced_;
    std::optional<std::set<std::string>> subscriptions_;

    Instant join_deadline_ = Instant::never();
    Instant sync_deadline_ = Instant::never();
    // While the initial delay runs, the group waits although all have joined.
    bool delaying_ = false;
    bool joined_in_delay_ = false;
    Duration delay_left_;
};

}  // namespace pabal::group
