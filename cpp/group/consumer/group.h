// One group of the consumer group protocol (KIP-848): members tell what they subscribe to, the
// coordinator computes who shall have what, and each member is led to its target at its own pace:
// it gives up first what others are to get. Owned by the shard of its __consumer_offsets partition.
// Pure: time and the cluster's metadata are arguments; everything that must outlive the broker
// becomes a record.
//
//   A member:  stable ──target takes something away──▶ unrevoked ──heartbeat without it──▶ stable
//              stable ──target gives what another has──▶ unreleased ──the other gave it up──▶
//              stable
//
// Members of the classic protocol may live in it while a group changes from one protocol to the
// other: what a heartbeat does for the others, JoinGroup does for them; their generation is their
// member epoch, nobody leads, and they are told to join again where others would be told the news.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/error_code.h"
#include "base/result.h"
#include "base/time.h"
#include "group/consumer/assignment.h"
#include "group/effects.h"
#include "group/settings.h"
#include "wire/consumer_group_describe.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/leave_group.h"

namespace pabal {
class Prng;
}
namespace pabal::metadata {
class ClusterImage;
}

namespace pabal::group {

struct ConsumerMember;
struct ConsumerMemberMetadata;
struct ConsumerTarget;
struct ConsumerCurrent;
struct ConsumerPattern;
struct Joiner;
struct Migrant;

// Who sent a ConsumerGroupHeartbeat.
struct Caller {
    CallId call = 0;
    std::string client_id;
    std::string client_host;
};

class ConsumerGroup {
public:
    // What member_epoch says besides an epoch.
    static constexpr std::int32_t join_epoch = 0;
    static constexpr std::int32_t leave_epoch = -1;
    static constexpr std::int32_t leave_static_epoch = -2;

    // `settings` must outlive the group.
    ConsumerGroup(std::string id, const Settings* settings);
    ~ConsumerGroup();

    bool is_empty() const { return members_.empty(); }
    std::size_t member_count() const { return members_.size(); }
    std::string_view state() const;  // Kafka's: "Reconciling".
    bool subscribes(const std::string& topic) const;

    // The request is valid by itself. Answers in `effects`, or returns for how long the call may
    // wait for news; what `nothing_new` says is the answer after that, when the call waits no more.
    Duration heartbeat(const wire::ConsumerGroupHeartbeatRequest& request, const Caller& caller,
                       const metadata::ClusterImage& image, Moment moment, Effects* effects);
    wire::ConsumerGroupHeartbeatResponse nothing_new(
        const wire::ConsumerGroupHeartbeatRequest& request, CallId call);
    // Is it a member that asks to leave, and by its own instance id? UNKNOWN_MEMBER_ID,
    // FENCED_INSTANCE_ID.
    Status check_leave(const wire::ConsumerGroupHeartbeatRequest& request) const;
    // May this member, or nobody, fetch with this epoch? UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, and
    // ILLEGAL_GENERATION for a classic one.
    ErrorCode check_fetch(const std::optional<std::string>& member, std::int32_t epoch) const;
    // May this member commit with this epoch? A former one will do for what it has had since
    // (KIP-1251): then `*former` is set, and each partition is asked for.
    ErrorCode check_commit(const std::string& member, std::int32_t epoch, int version,
                           bool* former) const;
    ErrorCode check_commit_of(const std::string& member, std::int32_t epoch,
                              const TopicPartition& partition) const;
    // Topics came, went or grew.
    void metadata_changed(const metadata::ClusterImage& image, Moment moment, Effects* effects);
    wire::ConsumerGroupDescribeResponse::DescribedGroup describe(
        const metadata::ClusterImage& image) const;

    // --- members of the classic protocol (KIP-848)

    bool has_member(const std::string& id) const { return members_.count(id) > 0; }
    // Takes over the members of a classic group of this generation, with what they have. Before
    // anybody joins. GROUP_ID_NOT_FOUND where they speak of something else than consumers do.
    Status adopt(std::int32_t generation, const std::vector<Migrant>& members,
                 const metadata::ClusterImage& image, Moment moment);
    void join(const wire::JoinGroupRequest& request, const Joiner& joiner,
              const metadata::ClusterImage& image, Moment moment, Prng* random, Effects* effects);
    void sync(const wire::SyncGroupRequest& request, CallId call,
              const metadata::ClusterImage& image, Moment moment, Effects* effects);
    ErrorCode heartbeat(const wire::HeartbeatRequest& request, Moment moment);
    // ClassicGroup::park_heartbeat.
    Duration park_heartbeat(const std::string& member, CallId call);
    // Who is to leave, of either protocol: an operator takes out any. One answer for each member
    // of the request, in its order.
    std::set<std::string> leaving(
        const wire::LeaveGroupRequest& request,
        std::vector<wire::LeaveGroupResponse::MemberResponse>* responses) const;
    void remove_members(const std::set<std::string>& ids, const metadata::ClusterImage& image,
                        Moment moment, Effects* effects);
    // Whether the last member of this protocol is among these, and a classic group can follow.
    bool becomes_classic_without(const std::set<std::string>& leaving) const;
    // Whether the last one has been replaced by a classic member that bears its instance id.
    bool became_classic() const { return became_classic_; }
    // Whether all have the newest epoch.
    bool is_settled() const;
    std::int32_t epoch() const { return epoch_; }
    // The others, with what they are to have.
    std::vector<Migrant> migrants(const std::set<std::string>& leaving,
                                  const metadata::ClusterImage& image) const;

    // --- the log

    // From the log; a missing value removes.
    void replay(const ConsumerMemberMetadata& record, Moment moment);
    void replay(const ConsumerTarget& record);
    void replay(const ConsumerCurrent& record, Moment moment);
    void replay(const ConsumerPattern& record);
    void replay_epoch(std::int32_t epoch, std::int64_t hash);
    void replay_target_epoch(std::int32_t epoch, std::int64_t timestamp);
    // The group goes, or becomes a classic one.
    void write_tombstones(Effects* effects) const;
    // The fewest records that bring it back.
    void snapshot(Effects* effects) const;

    // --- time

    Instant deadline() const;
    // Whom `elapsed` takes out.
    std::set<std::string> overdue(Moment moment) const;
    void elapsed(const metadata::ClusterImage& image, Moment moment, Effects* effects);
    // Whoever waits is told: `error`, but those that leave are told that they are no members.
    void abandon(ErrorCode error, Effects* effects, const std::set<std::string>& leaving = {});

private:
    using Member = ConsumerMember;
    using Request = wire::ConsumerGroupHeartbeatRequest;

    void obey(const metadata::ClusterImage& image);
    Result<Member*> find_or_join(const Request& request, Effects* effects);
    Member* add_member(const std::string& id);
    // A static member comes back under another id.
    Member* take_place(const std::string& old_id, const std::string& new_id, Effects* effects);
    ErrorCode check_heartbeat_epoch(const Member& member, const Request& request) const;
    enum class Change { none, details, subscription };
    Status check_pattern(const Request& request) const;
    Change update(Member* member, const Request& request, const Caller& caller);
    Change replace(Member* member, Member updated);
    void leave(Member* member, const Request& request, const Caller& caller,
               const metadata::ClusterImage& image, Moment moment, Effects* effects);
    void remove_member(const std::string& id, Effects* effects);
    void begin_session(Member* member, Moment moment) const;

    bool supports(const wire::JoinGroupRequest& request) const;
    Result<Member*> find_or_join(const wire::JoinGroupRequest& request, const std::string& id,
                                 Effects* effects);
    ErrorCode find_member(const std::string& id, const std::optional<std::string>& instance,
                          Member** member) const;
    ErrorCode find_classic(const std::string& id, const std::optional<std::string>& instance,
                           Member** member) const;
    static ErrorCode check_epoch(const Member& member, std::int32_t epoch);
    bool must_rejoin(const Member& member) const;
    static void await_rejoin(Member* member, Moment moment);

    // A new epoch and target if members, subscriptions or topics changed.
    void refresh(bool changed, const metadata::ClusterImage& image, Moment moment,
                 Effects* effects);
    void compute_target(const metadata::ClusterImage& image, Moment moment, Effects* effects);
    bool reconcile(Member* member, const std::optional<Assignment>& owned, Moment moment);
    bool advance(Member* member, std::int32_t epoch, const std::optional<Assignment>& owned);
    // Leads all members whose heartbeats wait as far as they can get now.
    void tell_parked(Moment moment, Effects* effects);
    // What is new is held since `epoch`.
    void set_held(Member* member, Assignment assigned, Assignment pending, std::int32_t epoch);
    bool held_by_other(const TopicPartition& partition, const Member& member) const;
    // What the members subscribe to, of what exists; those that ask for the same share one set.
    struct Subscriptions {
        struct Asked {
            const std::vector<std::string>* names;
            const std::string* pattern;
            bool operator<(const Asked& other) const {
                return std::tie(*names, *pattern) < std::tie(*other.names, *other.pattern);
            }
        };
        std::map<Asked, std::set<TopicId>> topics;
        std::vector<const std::set<TopicId>*> of_member;  // In the order of members_.
        std::set<TopicId> all;
    };
    Subscriptions subscriptions(const metadata::ClusterImage& image) const;
    // Patterns that nobody uses are forgotten, new ones are matched, with `anew` all are.
    void match_patterns(bool anew, const metadata::ClusterImage& image, Moment moment,
                        Effects* effects);
    std::string assignor() const;
    wire::ConsumerGroupHeartbeatResponse response_for(const Member& member,
                                                      bool with_assignment) const;
    static void refuse(CallId call, ErrorCode error, std::string message, Effects* effects);
    static void end_heartbeat(Member* member, ErrorCode error, std::string message,
                              Effects* effects);
    void write_current(const Member& member, Effects* effects) const;
    void write_target(const std::string& member, const Assignment& target, Effects* effects) const;
    void write_metadata(const Member& member, Effects* effects) const;
    void write_removal(const std::string& member, Effects* effects) const;

    std::string id_;
    const Settings* settings_;
    // What is set for this group, else for all of this broker.
    std::int32_t heartbeat_interval_ms_;
    std::int32_t session_timeout_ms_;
    std::int32_t epoch_ = 0;
    std::int32_t target_epoch_ = 0;
    std::int64_t target_timestamp_ = 0;
    std::int64_t metadata_hash_ = 0;
    bool became_classic_ = false;
    std::map<std::string, std::unique_ptr<Member>> members_;
    std::map<std::string, std::string> static_members_;  // Instance id → member id.
    std::map<std::string, Assignment> targets_;          // By member id.
    // Invariant: one-owner-per-partition-per-generation. Who holds each partition now, also while
    // it is giving it up.
    std::map<TopicPartition, std::string> holders_;
    // Topic names by regular expression, as the log has them.
    std::map<std::string, std::set<std::string>> matched_;
};

}  // namespace pabal::group
