// A member of a consumer group in the protocol of KIP-848: heartbeats to the coordinator, which
// decides who reads what, and takes over what it decided in the order in which it must be taken:
// first what is taken away is given up, by the poller and then here, then what is new begins. Also
// the positions that the group commits. Part of a consumer, on its shard.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "client/brokers.h"
#include "client/fetched_records.h"
#include "client/task_group.h"
#include "io/clock.h"
#include "io/gate.h"
#include "io/task.h"

namespace pabal::wire {
struct ConsumerGroupHeartbeatRequest;
struct ConsumerGroupHeartbeatResponse;
}  // namespace pabal::wire

namespace pabal::client {

struct CommittedPosition {
    NamedPartition partition;
    std::int64_t offset = -1;  // -1: none is committed.
    std::int32_t leader_epoch = -1;
    std::string metadata;
};

class GroupMembership {
public:
    struct Options {
        std::string group_id;
        std::optional<std::string> instance_id;
        std::optional<std::string> assignor;
        std::string rack;
        Duration max_poll_interval = Duration::seconds(300);
        Duration request_timeout = Duration::seconds(30);
        Duration retry_backoff = Duration::milliseconds(100);
        Duration retry_backoff_max = Duration::seconds(1);
        bool require_stable = false;  // Positions of transactions under way are waited for.
        std::int64_t reset_to = -1;
    };

    GroupMembership(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                    FetchedRecords* records, TaskGroup* tasks);
    ~GroupMembership();

    // From now on reads these topics as a member; either names or a pattern (RE2, of the brokers).
    void subscribe(std::vector<std::string> topics, std::string pattern);
    bool is_subscribed() const { return subscribed_; }
    // Ends the membership: what it read goes to others at once.
    io::Task<void> leave();
    // The poller has dealt with a rebalance, or has polled again.
    void news();
    // Ends all waits here.
    void stop();

    // Errors: what the coordinator answers, e.g. unknown_member_id if the group has gone on without
    // this member; request_timed_out.
    io::Task<Status> commit(std::vector<CommittedPosition> positions, Duration timeout);
    io::Task<Result<std::vector<CommittedPosition>>> committed(
        std::vector<NamedPartition> partitions, Duration timeout);

    const std::string& member_id() const { return member_id_; }
    std::int32_t member_epoch() const { return epoch_; }

private:
    using Owned = std::set<std::pair<TopicId, PartitionIndex>>;

    io::Task<void> run();
    io::Task<void> beat();
    io::Task<void> reconcile();
    io::Task<void> poke();
    io::Task<Result<BrokerId>> find_coordinator();
    void fill(wire::ConsumerGroupHeartbeatRequest* request);
    void take(wire::ConsumerGroupHeartbeatResponse& response);
    void lost();
    void fail(Error error);
    std::optional<NamedPartition> named(const std::pair<TopicId, PartitionIndex>& id) const;
    Duration backoff();

    io::Clock& clock_;
    Options options_;
    Prng random_;
    Brokers& brokers_;
    FetchedRecords& records_;
    TaskGroup& tasks_;

    std::string member_id_;
    std::int32_t epoch_ = 0;
    bool subscribed_ = false;
    bool running_ = false;
    bool stopping_ = false;
    std::vector<std::string> topics_;
    std::string pattern_;
    bool subscription_changed_ = false;
    bool owned_changed_ = false;
    bool beating_ = false;
    bool urgent_ = false;
    bool has_news_ = false;
    Duration interval_ = Duration::seconds(5);
    Instant next_beat_;
    int failures_ = 0;
    bool placed_ = false;  // Has been given something to read since it joined.
    int early_beats_ = 0;
    std::optional<BrokerId> coordinator_;
    Owned owned_;
    std::optional<Owned> target_;
    Owned leaving_;      // Proposed to the poller to give up.
    Owned arriving_;     // Begun, and told to the poller.
    bool told_ = false;  // The poller has a rebalance of ours, of either kind.
    std::unique_ptr<io::Gate> gate_;
};

}  // namespace pabal::client
