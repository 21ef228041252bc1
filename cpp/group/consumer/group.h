// One group of the consumer group protocol (KIP-848): members tell what they subscribe to, the
// coordinator computes who shall have what, and each member is led to its target at its own pace:
// it gives up first what others are to get. Owned by the shard of its __consumer_offsets partition.
// Pure: time and the cluster's metadata are arguments; everything that must outlive the broker
// becomes a record.
//
//   A member:  stable ──target takes something away──▶ unrevoked ──heartbeat without it──▶ stable
//              stable ──target gives what another has──▶ unreleased ──the other gave it up──▶
//              stable
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error_code.h"
#include "base/result.h"
#include "base/time.h"
#include "group/consumer/assignment.h"
#include "group/effects.h"
#include "group/settings.h"
#include "wire/consumer_group_describe.h"
#include "wire/consumer_group_heartbeat.h"

namespace pabal::metadata {
class ClusterImage;
}

namespace pabal::group {

struct ConsumerMember;
struct ConsumerMemberMetadata;
struct ConsumerTarget;
struct ConsumerCurrent;

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
    // wait for news; what `nothing_new` says is the answer after that.
    Duration heartbeat(const wire::ConsumerGroupHeartbeatRequest& request, const Caller& caller,
                       const metadata::ClusterImage& image, Moment moment, Effects* effects);
    wire::ConsumerGroupHeartbeatResponse nothing_new(
        const wire::ConsumerGroupHeartbeatRequest& request) const;
    // May this member commit or fetch with this epoch? UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH.
    ErrorCode check_epoch(const std::string& member, std::int32_t epoch) const;
    // Topics came, went or grew.
    void metadata_changed(const metadata::ClusterImage& image, Moment moment, Effects* effects);
    wire::ConsumerGroupDescribeResponse::DescribedGroup describe(
        const metadata::ClusterImage& image) const;

    // From the log; a missing value removes.
    void replay(const ConsumerMemberMetadata& record, Moment moment);
    void replay(const ConsumerTarget& record);
    void replay(const ConsumerCurrent& record);
    void replay_epoch(std::int32_t epoch, std::int64_t hash);
    void replay_target_epoch(std::int32_t epoch) { target_epoch_ = epoch; }

    Instant deadline() const;
    void elapsed(const metadata::ClusterImage& image, Moment moment, Effects* effects);
    void abandon(ErrorCode error, Effects* effects);
    // The group goes, or becomes a classic one.
    void write_tombstones(Effects* effects) const;
    // The fewest records that bring it back.
    void snapshot(Effects* effects) const;

private:
    using Member = ConsumerMember;
    using Request = wire::ConsumerGroupHeartbeatRequest;

    Result<Member*> find_or_join(const Request& request, Effects* effects);
    ErrorCode check_heartbeat_epoch(const Member& member, const Request& request) const;
    Result<bool> update_subscription(Member* member, const Request& request, const Caller& caller);
    void leave(Member* member, const Request& request, const Caller& caller,
               const metadata::ClusterImage& image, Moment moment, Effects* effects);
    void remove_member(const std::string& id, Effects* effects);
    // A new epoch and target if members, subscriptions or topics changed.
    void refresh(bool changed, const metadata::ClusterImage& image, Effects* effects);
    void compute_target(const metadata::ClusterImage& image, Effects* effects);
    bool reconcile(Member* member, const std::optional<Assignment>& owned, Moment moment);
    bool advance(Member* member, std::int32_t epoch, const std::optional<Assignment>& owned);
    // Leads all members whose heartbeats wait as far as they can get now.
    void tell_parked(Moment moment, Effects* effects);
    void set_held(Member* member, Assignment assigned, Assignment pending);
    bool held_by_other(const TopicPartition& partition, const Member& member) const;
    std::set<TopicId> subscribed(const Member& member, const metadata::ClusterImage& image) const;
    void match_patterns(const metadata::ClusterImage& image);
    std::int64_t hash_of(const metadata::ClusterImage& image) const;
    std::string assignor() const;
    wire::ConsumerGroupHeartbeatResponse response_for(const Member& member,
                                                      bool with_assignment) const;
    void refuse(CallId call, ErrorCode error, std::string message, Effects* effects) const;
    void write_current(const Member& member, Effects* effects) const;
    void write_metadata(const Member& member, Effects* effects) const;

    std::string id_;
    const Settings* settings_;
    std::int32_t epoch_ = 0;
    std::int32_t target_epoch_ = 0;
    std::int64_t metadata_hash_ = 0;
    std::map<std::string, std::unique_ptr<Member>> members_;
    std::map<std::string, std::string> static_members_;  // Instance id → member id.
    std::map<std::string, Assignment> targets_;          // By member id.
    // Invariant: one-owner-per-partition-per-generation. Who holds each partition now, also while
    // it is giving it up.
    std::map<TopicPartition, std::string> holders_;
    std::map<std::string, std::set<std::string>> matched_;  // Topic names by regular expression.
};

}  // namespace pabal::group
