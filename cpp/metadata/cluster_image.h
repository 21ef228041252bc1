// What every node knows of the cluster, as of one offset of the metadata log. Written by `replay`
// alone, record by record; published as shared_ptr<const ClusterImage>. A value: a copy costs a few
// pointers, and replaying onto one of two copies leaves the other as it was.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "metadata/persistent_map.h"

namespace pabal::metadata {

struct Record;
struct ClusterDelta;

struct PartitionImage {
    std::vector<BrokerId> replicas;        // In order of preference; never empty.
    std::vector<DirectoryId> directories;  // The log directory of each replica (KIP-858).
    std::vector<BrokerId> isr;
    std::vector<BrokerId> removing;
    std::vector<BrokerId> adding;
    std::vector<BrokerId> eligible_leader_replicas;  // KIP-966.
    std::vector<BrokerId> last_known_elr;
    BrokerId leader = no_broker;
    bool leader_recovering = false;  // After an unclean election.
    LeaderEpoch leader_epoch;
    PartitionEpoch partition_epoch;

    bool operator==(const PartitionImage&) const = default;
};

struct TopicImage {
    TopicId id;
    std::string name;
    std::vector<PartitionImage> partitions;  // By index, without gaps.

    const PartitionImage* partition(PartitionIndex index) const {
        if (index.value() < 0 || static_cast<std::size_t>(index.value()) >= partitions.size())
            return nullptr;
        return &partitions[static_cast<std::size_t>(index.value())];
    }
    bool operator==(const TopicImage&) const = default;
};

struct Endpoint {
    std::string name;  // Of the listener.
    std::string host;
    std::uint16_t port = 0;
    std::int16_t security_protocol = 0;  // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.

    bool operator==(const Endpoint&) const = default;
};

struct VersionRange {
    std::int16_t min = 0;
    std::int16_t max = 0;
    bool operator==(const VersionRange&) const = default;
};

struct BrokerImage {
    BrokerId id;
    BrokerEpoch epoch;
    Uuid incarnation;
    std::vector<Endpoint> endpoints;
    std::map<std::string, VersionRange> features;  // What the broker could serve.
    std::optional<std::string> rack;
    bool fenced = true;
    bool in_controlled_shutdown = false;
    std::vector<DirectoryId> directories;
    std::optional<std::vector<DirectoryId>> cordoned_directories;

    const Endpoint* endpoint(std::string_view listener) const;
    bool operator==(const BrokerImage&) const = default;
};

struct ControllerImage {
    BrokerId id;
    Uuid incarnation;
    bool zk_migration_ready = false;
    std::vector<Endpoint> endpoints;
    std::map<std::string, VersionRange> features;
    bool operator==(const ControllerImage&) const = default;
};

// As in Kafka's config records.
enum class ResourceType : std::int8_t {
    topic = 2,
    broker = 4,
    broker_logger = 8,
    client_metrics = 16,
    group = 32,
};

struct ConfigResource {
    ResourceType type = ResourceType::topic;
    std::string name;  // Empty for the default of all brokers.
    auto operator<=>(const ConfigResource&) const = default;
};

using ConfigMap = std::map<std::string, std::string, std::less<>>;

class ClusterImage {
public:
    // The only way in which an image changes. `record` lies at `offset` of the metadata log. An
    // error means that the log contradicts itself, or holds a record of a later version of Kafka;
    // the image is then unusable. `delta`, if given, learns what changed.
    Status replay(const Record& record, ClusterDelta* delta);
    // The image now holds everything up to and including `offset`.
    void advance(Offset offset, LeaderEpoch epoch, WallTime timestamp);

    std::shared_ptr<const TopicImage> topic(std::string_view name) const;
    std::shared_ptr<const TopicImage> topic(const TopicId& id) const;
    const PartitionImage* partition(const TopicPartition& partition) const;
    using TopicsByName = PersistentMap<std::string, TopicId>;
    using TopicsById = PersistentMap<TopicId, std::shared_ptr<TopicImage>>;
    // Ordered by name; look the topic itself up by its id.
    const TopicsByName& topic_ids() const { return topic_ids_; }
    // All topics, ordered by name.
    std::vector<std::shared_ptr<const TopicImage>> topics() const;
    std::size_t topic_count() const { return topic_ids_.size(); }
    std::size_t partition_count() const { return partition_count_; }

    const BrokerImage* broker(BrokerId id) const { return brokers_.find(id); }
    const PersistentMap<BrokerId, BrokerImage>& brokers() const { return brokers_; }
    const PersistentMap<BrokerId, ControllerImage>& controllers() const { return controllers_; }

    // What was set on a resource and nothing else; empty if nothing was.
    const ConfigMap& config(ResourceType type, std::string_view name) const;
    const PersistentMap<ConfigResource, ConfigMap>& configs() const { return configs_; }

    // The finalised level of a feature; 0 if it is not finalised.
    std::int16_t feature(std::string_view name) const;
    const std::map<std::string, std::int16_t, std::less<>>& features() const { return features_; }
    std::int16_t metadata_version() const { return feature("metadata.version"); }
    ProducerId next_producer_id() const { return next_producer_id_; }

    // Everything below and including `offset` is applied; -1 if nothing is.
    Offset offset() const { return offset_; }
    LeaderEpoch epoch() const { return epoch_; }
    WallTime timestamp() const { return timestamp_; }

    // The records that rebuild this image from nothing, in the order in which they must be read.
    std::vector<Record> records() const;

private:
    friend struct Replay;
    TopicImage* edit_topic(const TopicId& id);

    TopicsByName topic_ids_;
    TopicsById topics_;
    std::size_t partition_count_ = 0;
    PersistentMap<BrokerId, BrokerImage> brokers_;
    PersistentMap<BrokerId, ControllerImage> controllers_;
    PersistentMap<ConfigResource, ConfigMap> configs_;
    std::map<std::string, std::int16_t, std::less<>> features_;
    ProducerId next_producer_id_{0};
    // Records that this version keeps for others and does not act on (ACLs, quotas, credentials,
    // delegation tokens), by what identifies them.
    PersistentMap<std::string, std::shared_ptr<const Record>> kept_;
    Offset offset_{-1};
    LeaderEpoch epoch_{-1};
    WallTime timestamp_;
};

}  // namespace pabal::metadata
