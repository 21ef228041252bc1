// The coordinator of consumer groups on this broker: for each partition of __consumer_offsets that
// it leads, a group::Shard, whose records it appends, whose timers it keeps and whose answers it
// gives once everything before them is committed. A shard that could not write is thrown away and
// loaded again. Owned by the node; lives on the data shard.
//
//   absent ──becomes leader──▶ loading ──all replayed──▶ active ──append failed──▶ loading
//      ▲                         │                         │
//      └───────leads no more─────┴─────────────────────────┘
//
// Errors of every call: NOT_COORDINATOR where another broker leads the group's partition,
// COORDINATOR_LOAD_IN_PROGRESS while it is loaded and that takes longer than `load_patience`,
// COORDINATOR_NOT_AVAILABLE if its records are not committed in time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "group/settings.h"
#include "group/shard.h"
#include "io/gate.h"
#include "io/ports.h"
#include "io/task.h"
#include "metadata/cluster_delta.h"
#include "runtime/coordinator_log.h"

namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::runtime {

class Partitions;

inline constexpr std::string_view group_topic = "__consumer_offsets";

// The partition of `partition_count` that a group belongs to: Kafka's, by Java's String.hashCode.
PartitionIndex group_partition(std::string_view group, std::int32_t partition_count);

class GroupCoordinator {
public:
    // How long a request waits for its group's partition to be loaded.
    static constexpr Duration load_patience = Duration::seconds(1);

    // All outlive this object.
    GroupCoordinator(io::Ports* ports, const metadata::BrokerConfig* config, Partitions* partitions,
                     const Logger* log);
    ~GroupCoordinator();
    GroupCoordinator(const GroupCoordinator&) = delete;
    GroupCoordinator& operator=(const GroupCoordinator&) = delete;

    // After Partitions::apply of the same news: takes over partitions that this broker leads now,
    // leaves others, forgets the offsets of topics that are gone.
    void apply(const metadata::ClusterDelta& delta,
               std::shared_ptr<const metadata::ClusterImage> image);
    // Whoever waits is told NOT_COORDINATOR; afterwards every call is. Ends when nothing of this
    // object runs any more.
    io::Task<void> stop();

    io::Task<wire::JoinGroupResponse> join(wire::JoinGroupRequest request, group::Joiner joiner);
    io::Task<wire::SyncGroupResponse> sync(wire::SyncGroupRequest request);
    // Held back while there is nothing new; `*parked` is then a gate that ends the waiting.
    io::Task<wire::HeartbeatResponse> heartbeat(wire::HeartbeatRequest request, io::Gate** parked);
    io::Task<wire::LeaveGroupResponse> leave(wire::LeaveGroupRequest request);
    // The request is valid by itself. Held back like a classic heartbeat.
    io::Task<wire::ConsumerGroupHeartbeatResponse> consumer_heartbeat(
        wire::ConsumerGroupHeartbeatRequest request, group::Caller caller, io::Gate** parked);
    io::Task<wire::ConsumerGroupDescribeResponse::DescribedGroup> describe_consumer(
        std::string group);
    // The topics of the request exist and have names and ids.
    io::Task<wire::OffsetCommitResponse> commit(wire::OffsetCommitRequest request, int version);
    // Of one group, by names.
    io::Task<wire::OffsetFetchResponse::OffsetFetchResponseGroup> fetch(
        wire::OffsetFetchRequest::OffsetFetchRequestGroup request, bool require_stable);

    // The partition of a group as one that takes part in a producer's transaction.
    struct Participant {
        ErrorCode error = ErrorCode::none;
        PartitionIndex partition;
        bool open = false;          // The producer's transaction is known there already.
        std::uint64_t markers = 0;  // CoordinatorLog::marker_count.
    };
    io::Task<Participant> participant(std::string group, CoordinatorLog::Producer producer);
    // The topics of the request exist. `markers` is the participant's, from before it was verified
    // that it takes part: CONCURRENT_TRANSACTIONS if a transaction has ended there since.
    io::Task<wire::TxnOffsetCommitResponse> commit_in_transaction(
        wire::TxnOffsetCommitRequest request, std::uint64_t markers);
    // Writes the marker. NOT_LEADER_OR_FOLLOWER where the partition is coordinated elsewhere, or
    // not yet here; INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED.
    io::Task<ErrorCode> end_transaction(PartitionIndex partition, CoordinatorLog::Marker marker);

    io::Task<wire::OffsetDeleteResponse> delete_offsets(wire::OffsetDeleteRequest request);
    io::Task<wire::DescribeGroupsResponse::DescribedGroup> describe(std::string group);
    // Those of all partitions that are coordinated here.
    io::Task<wire::ListGroupsResponse> list();
    io::Task<ErrorCode> delete_group(std::string group);

    const group::Settings& settings() const { return settings_; }
    std::size_t group_count() const;

private:
    struct Active;
    struct Call;
    struct Outcome;
    using ActivePointer = std::shared_ptr<Active>;

    void follow(PartitionIndex index, const std::shared_ptr<Partition>& partition);
    void unload(const ActivePointer& active, ErrorCode error);
    io::Task<void> load(ActivePointer active);
    // The failed shard is replaced by one that is loaded anew, if this broker still leads.
    void reload(const ActivePointer& failed);
    ActivePointer find(std::string_view group) const;
    io::Task<Result<ActivePointer>> serving(std::string group);
    io::Task<ErrorCode> loaded(ActivePointer active);
    template <class Request, class Work, class Fail>
    auto ask(std::string group, Request request, Work work, Fail fail)
        -> io::Task<std::invoke_result_t<Fail, const Request&, ErrorCode>>;

    group::Moment moment() const;
    // Writes the records; the answers leave when they are committed.
    void carry_out(const ActivePointer& active, group::Effects effects);
    // The same, and waits for it; as a part of the producer's transaction, if there is one.
    io::Task<ErrorCode> written(ActivePointer active, group::Effects effects,
                                CoordinatorLog::Producer producer = {});
    io::Task<ErrorCode> marker_written(ActivePointer active, CoordinatorLog::Marker marker);
    CoordinatorLog::Done tell(const ActivePointer& active, const std::shared_ptr<Outcome>& outcome);
    io::Task<ErrorCode> known(std::shared_ptr<Outcome> outcome);
    void answer(std::vector<group::Reply>* replies, ErrorCode error);
    void arm(const ActivePointer& active);
    void elapsed(const ActivePointer& active);
    void schedule_expiry();
    void expire();

    io::Ports* ports_;
    Partitions* partitions_;
    const Logger* log_;
    group::Settings settings_;
    Duration commit_timeout_;
    Duration expiry_interval_;
    Prng random_;
    std::map<PartitionIndex, ActivePointer> active_;
    std::shared_ptr<const metadata::ClusterImage> image_;
    std::int32_t partition_count_ = 0;  // Of the topic; 0 while there is none.
    std::unordered_map<group::CallId, Call*> calls_;
    group::CallId last_call_ = 0;
    io::TimerId expiry_timer_ = 0;
    std::size_t loading_count_ = 0;
    io::Gate* idle_waiter_ = nullptr;
    bool stopped_ = false;
};

}  // namespace pabal::runtime
