// Fetches what is assigned, ahead of the poller and within bounds, from the leaders or from nearer
// replicas (KIP-392), through fetch sessions (KIP-227); looks up positions; commits; and is a
// member of a group, where one is given. Lives on one shard; whoever owns it awaits
// `stop` before it goes.
#pragma once

#include <cstdint>
#include <map>
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
#include "client/group_membership.h"
#include "client/task_group.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"
#include "record/compression.h"
#include "wire/fetch.h"

namespace pabal::client {

class Consumer {
public:
    struct Options {
        Brokers::Options brokers;
        GroupMembership::Options group;  // None if its id is empty.
        std::string rack;
        // For partitions without a position: a timestamp of ListOffsets (-1 the end, -2 the start),
        // or Assigned::no_reset: an error.
        std::int64_t reset_to = -1;
        std::int32_t min_bytes = 1;
        std::int32_t max_bytes = 50 << 20;
        std::int32_t partition_max_bytes = 1 << 20;
        Duration max_wait = Duration::milliseconds(500);
        bool read_committed = false;
        bool check_crcs = true;
        Duration request_timeout = Duration::seconds(30);
        Duration retry_backoff = Duration::milliseconds(100);
        Duration retry_backoff_max = Duration::seconds(1);
        Duration metadata_max_age = Duration::seconds(300);
    };

    Consumer(io::Clock* clock, io::Network* network, Prng random, Options options,
             std::shared_ptr<FetchedRecords> records);
    ~Consumer();

    // Something changed in the records' positions, or time has passed.
    void pump();
    // Leaves the group, and ends all that is under way.
    io::Task<void> stop();

    GroupMembership& group() { return *membership_; }
    // The number of partitions. Errors: unknown_topic_or_partition after `timeout`.
    io::Task<Result<std::size_t>> partition_count(std::string topic, Duration timeout);
    // All topics that there are, without internal ones.
    io::Task<Result<std::vector<std::string>>> topic_names();
    // For each partition the first offset at or after its timestamp, -1 if there is none; -2 asks
    // for the log start, -1 for the end that may be read.
    struct OffsetQuery {
        NamedPartition partition;
        std::int64_t timestamp = 0;
    };
    io::Task<Result<std::vector<std::int64_t>>> list_offsets(std::vector<OffsetQuery> queries,
                                                             Duration timeout);

private:
    // The way to one broker.
    struct Node {
        BrokerId broker;
        bool running = false;
        bool waiting = false;  // A fetch is under way.
        bool crowded = false;  // One that does not wait for long.
        std::shared_ptr<Channel> channel;
        std::int32_t session_id = 0;
        std::int32_t session_epoch = 0;
        int failures = 0;
        Instant not_before;
        // What the session holds, by topic and partition.
        struct Known {
            TopicId topic_id;
            std::int64_t offset = 0;
            LeaderEpoch leader_epoch = no_leader_epoch;
        };
        std::map<NamedPartition, Known> known;
    };
    struct Wanted {
        NamedPartition name;
        std::shared_ptr<Assigned> partition;
        std::uint64_t version = 0;
        std::int64_t offset = 0;
        LeaderEpoch leader_epoch = no_leader_epoch;
        TopicId topic_id;
    };
    struct Plan {
        std::map<BrokerId, std::vector<Wanted>> fetches;
        std::set<BrokerId> crowded;  // Some partition's buffer is full there.
        std::vector<std::pair<NamedPartition, std::int64_t>> lookups;
        std::vector<NamedPartition> without_position;
        bool metadata = false;  // A leader is not known, or what is known is old.
    };

    Plan plan();
    // Asks for metadata where it is missing, and tells the poller of partitions that cannot be
    // read.
    void follow_up(const Plan& todo);
    io::Task<void> fetch_from(Node* node);
    wire::FetchRequest request_of(Node* node, const std::vector<Wanted>& wanted, bool crowded);
    bool take(Node* node, wire::FetchResponse& response, const std::vector<Wanted>& wanted);
    void take_partition(Node* node, wire::FetchResponse::PartitionData& data, const Wanted& wanted);
    void take_failure(Node* node, const wire::FetchResponse::PartitionData& data,
                      const Wanted& wanted);
    Result<std::vector<std::shared_ptr<FetchedBatch>>> decode(
        const Bytes& bytes, const Wanted& wanted, wire::FetchResponse::PartitionData& data,
        std::int64_t* next_offset);
    void moved_away(Assigned* partition, std::uint64_t version);
    io::Task<void> look_up(std::vector<std::pair<NamedPartition, std::int64_t>> lookups);
    io::Task<void> refresh();
    // Never called with the records' lock: what it starts takes that lock.
    void want_metadata();
    void wake_at(Instant when);
    Duration backoff(int failures);

    io::Clock& clock_;
    Options options_;
    Prng random_;
    std::shared_ptr<FetchedRecords> records_;
    Brokers brokers_;
    TaskGroup tasks_;
    std::unique_ptr<GroupMembership> membership_;
    record::Codecs codecs_;
    std::map<BrokerId, std::unique_ptr<Node>> nodes_;
    bool stopping_ = false;
    bool pumping_ = false;
    bool refreshing_ = false;
    bool metadata_wanted_ = false;
    Instant refresh_not_before_;
    Instant refreshed_;
    int refresh_failures_ = 0;
    bool looking_up_ = false;
    int lookup_failures_ = 0;
    Instant lookup_not_before_;
    io::TimerId timer_ = 0;
    Instant timer_at_ = Instant::never();
};

}  // namespace pabal::client
