// What an administrator asks of a cluster, over a connection that is made again when it is lost.
// One call at a time, on one shard. What one broker alone can say (the leader of a partition, the
// coordinator of a group) is asked there, over a connection of its own.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/network.h"
#include "io/task.h"
#include "rpc/connection.h"

namespace pabal::client {

struct NewTopic {
    std::string name;
    std::int32_t partitions = -1;  // -1: the brokers' default.
    std::int16_t replication_factor = -1;
    std::vector<std::pair<std::string, std::string>> configs;
};

struct PartitionDescription {
    PartitionIndex partition;
    BrokerId leader = no_broker;
    LeaderEpoch leader_epoch = no_leader_epoch;
    std::vector<BrokerId> replicas;
    std::vector<BrokerId> isr;
};

struct TopicDescription {
    TopicId id;
    std::string name;
    bool internal = false;
    std::vector<PartitionDescription> partitions;
};

// What settings belong to, with Kafka's numbers.
enum class ConfigResource : std::int8_t { topic = 2, broker = 4 };

struct ConfigSynonym {
    std::string name;
    std::optional<std::string> value;
    std::int8_t source = 0;
};

struct Config {
    std::string name;
    std::optional<std::string> value;  // None for a secret.
    std::int8_t source = 0;  // DescribeConfigs' number: 1 topic, 2 to 4 broker, 5 default.
    bool read_only = false;
    bool sensitive = false;
    std::vector<ConfigSynonym> synonyms;  // What would be in force, in turn; the first one is.
};

struct PartitionOffset {
    PartitionIndex partition;
    Offset offset;  // -1 where no record is as late as was asked for.
};

struct GroupListing {
    std::string id;
    std::string type;  // "classic", "consumer"; empty from a broker before KIP-848.
    std::string protocol_type;
    std::string state;
};

struct GroupMember {
    std::string id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string host;
    std::vector<std::pair<std::string, PartitionIndex>> assignment;
};

struct GroupDescription {
    std::string id;
    std::string type;  // "classic" or "consumer" (KIP-848).
    std::string state;
    std::string protocol_type;
    std::string assignor;     // Empty while there is none.
    std::int32_t epoch = -1;  // Of a consumer group; a classic one does not tell its generation.
    BrokerId coordinator = no_broker;
    std::vector<GroupMember> members;
};

struct CommittedOffset {
    std::string topic;
    PartitionIndex partition;
    Offset offset;
};

// The metadata quorum, as its leader sees it.
struct QuorumDescription {
    BrokerId leader = no_broker;
    LeaderEpoch leader_epoch = no_leader_epoch;
    Offset high_watermark;
};

class Admin {
public:
    // `bootstrap` are tried in turn. The ports outlive this.
    Admin(io::Clock* clock, io::Network* network, std::vector<io::Address> bootstrap);
    ~Admin();

    // Ends when every partition has a leader. Errors: what the controller answers, e.g.
    // topic_already_exists; broker_not_available naming every address that was tried.
    io::Task<Result<TopicId>> create_topic(NewTopic topic, Duration timeout);
    io::Task<Status> delete_topic(std::string name, Duration timeout);
    io::Task<Result<TopicDescription>> describe_topic(std::string name, Duration timeout);
    io::Task<Result<std::vector<TopicDescription>>> list_topics(Duration timeout);
    // Ends when the new partitions have leaders. `count` is the new total.
    io::Task<Status> create_partitions(std::string topic, std::int32_t count, Duration timeout);
    // `name` is a topic's, a broker's id, or empty for what all brokers share. Errors: what the
    // broker answers, e.g. unknown_topic_or_partition.
    io::Task<Result<std::vector<Config>>> describe_configs(ConfigResource resource,
                                                           std::string name, Duration timeout);
    // Sets what has a value, and takes back to its default what has none (KIP-339).
    io::Task<Status> alter_configs(
        ConfigResource resource, std::string name,
        std::vector<std::pair<std::string, std::optional<std::string>>> changes, Duration timeout);
    // For each partition the first offset at or after `timestamp`; -2 asks for the log start, -1
    // for the high watermark.
    io::Task<Result<std::vector<PartitionOffset>>> list_offsets(std::string topic,
                                                                std::int64_t timestamp,
                                                                Duration timeout);
    // Deletes what lies before each offset (-1: the high watermark), and says where the logs start.
    io::Task<Result<std::vector<PartitionOffset>>> delete_records(
        std::string topic, std::vector<PartitionOffset> before, Duration timeout);
    io::Task<Result<std::vector<GroupListing>>> list_groups(Duration timeout);
    // Errors: group_id_not_found (KIP-1043).
    io::Task<Result<GroupDescription>> describe_group(std::string id, Duration timeout);
    // Of every partition that the group has committed.
    io::Task<Result<std::vector<CommittedOffset>>> committed_offsets(std::string group,
                                                                     Duration timeout);
    // Where the group goes on, as if it had committed that. Errors: non_empty_group while it has
    // members; unknown_topic_or_partition.
    io::Task<Status> commit_offsets(std::string group, std::vector<CommittedOffset> offsets,
                                    Duration timeout);
    // Errors: group_id_not_found; group_subscribed_to_topic while members read it.
    io::Task<Status> delete_offsets(std::string group, std::string topic,
                                    std::vector<PartitionIndex> partitions, Duration timeout);
    // Errors: group_id_not_found; non_empty_group while it has members.
    io::Task<Status> delete_group(std::string id, Duration timeout);
    io::Task<Result<QuorumDescription>> describe_quorum(Duration timeout);
    void close();

private:
    // Calls on the connection at hand; once again on a new one if that one was lost before.
    template <class Response, class Request>
    io::Task<Result<Response>> call(Request request, Instant deadline);
    // The same, at one broker, whose address the last answer of Metadata or FindCoordinator told.
    template <class Response, class Request>
    io::Task<Result<Response>> call_at(BrokerId broker, Request request, Instant deadline);
    template <class Response, class Request, class CodeOf>
    io::Task<Result<Response>> call_coordinator(std::string group, Request request, CodeOf code_of,
                                                Instant deadline);
    io::Task<Status> connect(Instant deadline);
    io::Task<Result<GroupDescription>> describe_classic_group(std::string id, BrokerId coordinator,
                                                              Instant deadline);
    io::Task<Result<GroupDescription>> describe_consumer_group(std::string id, BrokerId coordinator,
                                                               Instant deadline);
    io::Task<Result<BrokerId>> find_coordinator(std::string group, Instant deadline);
    void learn(BrokerId broker, std::string host, std::int32_t port);

    struct Node {
        io::Address address;
        std::unique_ptr<rpc::Connection> connection;
    };

    io::Clock* clock_;
    io::Network* network_;
    std::vector<io::Address> bootstrap_;
    std::unique_ptr<rpc::Connection> connection_;
    std::map<BrokerId, Node> nodes_;
};

}  // namespace pabal::client
