// The groups of one partition of __consumer_offsets: their members, their committed offsets, their
// timers. Owned by the coordinator of that partition. Pure: requests and the time come in, records
// and answers go out. What a record says is applied by `replay`, when it is made and when the log
// is loaded; if a record cannot be written, the shard is thrown away and loaded again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error_code.h"
#include "base/prng.h"
#include "base/result.h"
#include "group/classic/group.h"
#include "group/consumer/group.h"
#include "group/effects.h"
#include "group/group_record.h"
#include "group/offsets.h"
#include "group/settings.h"
#include "wire/delete_groups.h"
#include "wire/list_groups.h"
#include "wire/offset_commit.h"
#include "wire/offset_delete.h"
#include "wire/offset_fetch.h"
#include "wire/txn_offset_commit.h"

namespace pabal::group {

class Shard {
public:
    // `settings` must outlive the shard.
    Shard(const Settings* settings, Prng random) : settings_(settings), random_(random) {}
    ~Shard();
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    // A record of the log, while it is loaded; of a producer's transaction, unless that is -1.
    // INVALID_RECORD: it does not parse.
    Status replay(const record::KeyValue& record, Moment moment,
                  ProducerId producer = no_producer_id);

    // The request's group id is not empty, its versions' differences are levelled (a rebalance
    // time-out of version 0 is the session's).
    void join(const wire::JoinGroupRequest& request, const Joiner& joiner, Moment moment,
              Effects* effects);
    void sync(const wire::SyncGroupRequest& request, CallId call, Moment moment, Effects* effects);
    ErrorCode heartbeat(const wire::HeartbeatRequest& request, Moment moment);
    // ClassicGroup::park_heartbeat.
    Duration park_heartbeat(const wire::HeartbeatRequest& request, CallId call);
    wire::LeaveGroupResponse leave(const wire::LeaveGroupRequest& request, Moment moment,
                                   Effects* effects);

    // ConsumerGroup::heartbeat and nothing_new. The request is valid by itself.
    Duration consumer_heartbeat(const wire::ConsumerGroupHeartbeatRequest& request,
                                const Caller& caller, Moment moment, Effects* effects);
    wire::ConsumerGroupHeartbeatResponse nothing_new(
        const wire::ConsumerGroupHeartbeatRequest& request, CallId call);
    // GROUP_ID_NOT_FOUND for one that does not exist or speaks the classic protocol.
    wire::ConsumerGroupDescribeResponse::DescribedGroup describe_consumer(
        const std::string& group) const;

    // Nothing about topics is new in it, but settings of groups may be.
    void learn_settings(std::shared_ptr<const metadata::ClusterImage> image) {
        image_ = std::move(image);
    }
    // What the cluster's topics are now: before the first request, and whenever they changed.
    void learn(std::shared_ptr<const metadata::ClusterImage> image, Moment moment,
               Effects* effects);

    // The topics of the request exist and have names, whatever the version. Answers in its order.
    wire::OffsetCommitResponse commit(const wire::OffsetCommitRequest& request, int version,
                                      Moment moment, Effects* effects);
    // The same as a part of the producer's transaction (KIP-98, KIP-447): the records belong into a
    // batch of it, the offsets count when it is committed.
    wire::TxnOffsetCommitResponse commit_in_transaction(const wire::TxnOffsetCommitRequest& request,
                                                        Moment moment, Effects* effects);
    // What the producer's transaction holds counts from now on, or never.
    void end_transaction(ProducerId producer, bool commit);
    // For one group, by names; every topic of the group if the request names none. A stable offset
    // is one that no open transaction may change: UNSTABLE_OFFSET_COMMIT for others.
    wire::OffsetFetchResponse::OffsetFetchResponseGroup fetch(
        const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request,
        bool require_stable) const;
    wire::OffsetDeleteResponse delete_offsets(const wire::OffsetDeleteRequest& request,
                                              Moment moment, Effects* effects);

    // GROUP_ID_NOT_FOUND and the state Dead for one that does not exist.
    wire::DescribeGroupsResponse::DescribedGroup describe(const std::string& group) const;
    // All of them, by group id.
    void list(std::vector<wire::ListGroupsResponse::ListedGroup>* listed) const;
    ErrorCode delete_group(const std::string& group, Effects* effects);

    // The topic is gone: so are the offsets that were committed for it.
    void topic_deleted(const std::string& topic, TopicId id, Effects* effects);
    // Removes what nobody asked for within offsets.retention.minutes.
    void expire_offsets(Moment moment, Effects* effects);

    // When `elapsed` has something to do; may be earlier than needed, never later.
    Instant deadline() const;
    void elapsed(Moment moment, Effects* effects);
    // Everybody who waits is told `error`. The shard goes.
    void abandon(ErrorCode error, Effects* effects);

    std::size_t group_count() const { return groups_.size(); }
    // The state as the fewest records that bring it back.
    void snapshot(const std::function<void(record::KeyValue)>& take) const;

private:
    struct Group {
        explicit Group(ClassicGroup made) : classic(std::move(made)) {}
        ClassicGroup classic;  // Without members while the group speaks the other protocol.
        std::unique_ptr<ConsumerGroup> consumer;
        Offsets offsets;
        std::map<ProducerId, Offsets> pending;  // Of open transactions.
        bool has_record = false;                // Of its metadata, in the log.
        Instant armed = Instant::never();       // Its place in timers_.
    };

    Group* find(const std::string& id);
    const Group* find(const std::string& id) const;
    Group* find_or_create(const std::string& id, Moment moment);
    void remove(const std::string& id);
    // After whatever may have brought the group's deadline forward.
    void arm(const std::string& id, Group* group);
    void remove_offset(const std::string& id, Group* group, const std::string& topic,
                       PartitionIndex partition, Effects* effects);
    void remove_pending(Group* group, const std::string& topic, PartitionIndex partition);
    static bool has_pending(const Group& group, const std::string& topic, PartitionIndex partition);
    ErrorCode check_commit_in_transaction(const wire::TxnOffsetCommitRequest& request, Group* group,
                                          Moment moment);
    bool is_empty(const Group& group) const;
    bool subscribes(const Group& group, const std::string& topic) const;
    Group* find_or_create_consumer(const std::string& id, Moment moment);
    void replay_consumer(const GroupRecord& record, Moment moment);
    // With its first member of this protocol; those that it has are classic ones.
    Duration begin_consumer(std::unique_ptr<ConsumerGroup> consumer,
                            const wire::ConsumerGroupHeartbeatRequest& request,
                            const Caller& caller, Moment moment, Effects* effects);
    Duration upgrade(Group* group, const wire::ConsumerGroupHeartbeatRequest& request,
                     const Caller& caller, Moment moment, Effects* effects);
    // The last members of the newer protocol leave, or have been replaced.
    void downgrade(const std::string& id, Group* group, const std::set<std::string>& leaving,
                   Moment moment, Effects* effects);
    void remove_group(const std::string& id, Effects* effects);
    void note_records(const std::string& id, std::size_t first, Effects* effects);

    const Settings* settings_;
    Prng random_;
    using Groups = std::map<std::string, std::unique_ptr<Group>>;
    Groups groups_;
    Groups::iterator recent_ = groups_.end();
    std::set<std::pair<Instant, std::string>> timers_;
    std::map<ProducerId, std::set<std::string>> transactions_;  // The groups that take part.
    std::uint64_t last_order_ = 0;                              // CommittedOffset::order.
    std::shared_ptr<const metadata::ClusterImage> image_;
};

}  // namespace pabal::group
