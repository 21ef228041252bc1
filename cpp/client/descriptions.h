// What an administrator is told of a cluster, and what is to be changed of it: values, as Admin
// takes and gives them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error_code.h"
#include "base/ids.h"
#include "client/named_partition.h"

namespace pabal::client {

struct NewTopic {
    std::string name;
    std::int32_t partitions = -1;  // -1: the brokers' default.
    std::int16_t replication_factor = -1;
    std::vector<std::pair<std::string, std::string>> configs;
    std::vector<std::vector<BrokerId>> replicas;  // By hand, of each partition; else empty.
    bool validate_only = false;
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
enum class ConfigResource : std::int8_t { topic = 2, broker = 4, group = 32 };

// IncrementalAlterConfigs' numbers (KIP-339).
enum class ConfigOperation : std::int8_t { set, take_back, append, subtract };

struct ConfigChange {
    std::string name;
    ConfigOperation operation = ConfigOperation::set;
    std::optional<std::string> value;  // None to take it back to its default.
};

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
    std::vector<NamedPartition> assignment;
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

struct QuorumReplica {
    BrokerId id = no_broker;
    DirectoryId directory;
    Offset log_end_offset;
    std::int64_t last_fetch = -1;      // Milliseconds by the leader's clock; -1 unknown.
    std::int64_t last_caught_up = -1;  // The same.
};

// The metadata quorum, as its leader sees it.
struct QuorumDescription {
    BrokerId leader = no_broker;
    LeaderEpoch leader_epoch = no_leader_epoch;
    Offset high_watermark;
    std::vector<QuorumReplica> voters;
    std::vector<QuorumReplica> observers;
};

struct BrokerDescription {
    BrokerId id = no_broker;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    bool fenced = false;
};

struct ClusterDescription {
    std::string id;
    BrokerId controller = no_broker;  // Any broker takes what is the controller's (KIP-590).
    std::vector<BrokerDescription> brokers;
};

struct FeatureVersions {
    std::string name;
    std::int16_t least = 0;
    std::int16_t most = 0;
};

struct FeatureDescription {
    std::vector<FeatureVersions> finalized;  // Agreed on by the cluster.
    std::vector<FeatureVersions> supported;  // By the broker that was asked.
    std::int64_t epoch = -1;                 // Metadata offset of the last change; -1 unknown.
};

struct FeatureUpdate {
    std::string name;
    std::int16_t level = 0;        // 0 takes the feature away.
    std::int8_t upgrade_type = 1;  // UpdateFeatures': 1 upgrade, 2 safe downgrade, 3 unsafe one.
};

struct PartitionOutcome {
    NamedPartition partition;
    ErrorCode code = ErrorCode::none;
    std::string message;
};

// Where the replicas of a partition shall be; nowhere else than now if there are none.
struct Reassignment {
    NamedPartition partition;
    std::optional<std::vector<BrokerId>> replicas;
};

struct OngoingReassignment {
    NamedPartition partition;
    std::vector<BrokerId> replicas;
    std::vector<BrokerId> adding;
    std::vector<BrokerId> removing;
};

struct ReplicaSize {
    NamedPartition partition;
    std::int64_t bytes = 0;
    std::int64_t offset_lag = 0;
    bool is_future = false;  // Being copied there from another directory.
};

struct LogDirDescription {
    BrokerId broker = no_broker;
    std::string path;
    ErrorCode code = ErrorCode::none;
    std::int64_t total_bytes = -1;  // Of the volume; -1 from a broker before KIP-827.
    std::int64_t usable_bytes = -1;
    std::vector<ReplicaSize> replicas;
};

}  // namespace pabal::client
