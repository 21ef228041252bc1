// The coordinator of consumer groups on this broker: for each partition of __consumer_offsets that
// it leads, a group::Shard (CoordinatedTopic), whose answers it gives once everything before them
// is committed. Owned by the node; lives on the data shard.
//
// Errors of every call: NOT_COORDINATOR where another broker leads the group's partition,
// COORDINATOR_LOAD_IN_PROGRESS while it is loaded and that takes longer than a second,
// COORDINATOR_NOT_AVAILABLE if its records are not committed in time.
#pragma once

#include <cstdint>
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
#include "runtime/coordinated_topic.h"

namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::runtime {

inline constexpr std::string_view group_topic = "__consumer_offsets";

class GroupCoordinator {
public:
    // All outlive this object.
    GroupCoordinator(io::Ports* ports, const metadata::BrokerConfig* config, Partitions* partitions,
                     const Logger* log);
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
    std::size_t group_count() const { return topic_.id_count(); }

private:
    struct Active;
    struct Call;
    using ActivePointer = std::shared_ptr<Active>;

    ActivePointer find(std::string_view group) const;
    io::Task<Result<ActivePointer>> serving(std::string group);
    template <class Request, class Work, class Fail>
    auto ask(std::string group, Request request, Work work, Fail fail)
        -> io::Task<std::invoke_result_t<Fail, const Request&, ErrorCode>>;

    group::Moment moment() const;
    // Writes the records; the answers leave when they are committed.
    void carry_out(Active* active, group::Effects effects);
    // The same, and waits for it; as a part of the producer's transaction, if there is one.
    io::Task<ErrorCode> written(ActivePointer active, group::Effects effects,
                                CoordinatorLog::Producer producer = {});
    CoordinatorLog::Done answering(std::vector<group::Reply> replies);
    void answer(std::vector<group::Reply>* replies, ErrorCode error);

    io::Ports* ports_;
    group::Settings settings_;
    Prng random_;
    std::shared_ptr<const metadata::ClusterImage> image_;
    std::unordered_map<group::CallId, Call*> calls_;
    group::CallId last_call_ = 0;
    CoordinatedTopic topic_;
};

}  // namespace pabal::runtime
