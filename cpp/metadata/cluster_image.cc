#include "metadata/cluster_image.h"

#include <algorithm>

#include "metadata/cluster_delta.h"
#include "metadata/record.h"

namespace pabal::metadata {
namespace {

const ConfigMap no_config;

Error contradiction(std::string what) {
    return {ErrorCode::corrupt_message, "the metadata log contradicts itself: " + std::move(what)};
}

std::string describe(const TopicId& topic, PartitionIndex partition) {
    return "partition " + std::to_string(partition.value()) + " of topic " + topic.value().text();
}

template <class Endpoints>
std::vector<Endpoint> endpoints_of(const Endpoints& endpoints) {
    std::vector<Endpoint> result;
    for (const auto& endpoint : endpoints)
        result.push_back({endpoint.name, endpoint.host, endpoint.port, endpoint.security_protocol});
    return result;
}

template <class Features>
std::map<std::string, VersionRange> features_of(const Features& features) {
    std::map<std::string, VersionRange> result;
    for (const auto& feature : features)
        result[feature.name] = {feature.min_supported_version, feature.max_supported_version};
    return result;
}

template <class Target>
void fill_endpoints(Target& target, const std::vector<Endpoint>& endpoints,
                    const std::map<std::string, VersionRange>& features) {
    for (const Endpoint& endpoint : endpoints) {
        auto& out = target.end_points.emplace_back();
        out.name = endpoint.name;
        out.host = endpoint.host;
        out.port = endpoint.port;
        out.security_protocol = endpoint.security_protocol;
    }
    for (const auto& [name, range] : features) {
        auto& out = target.features.emplace_back();
        out.name = name;
        out.min_supported_version = range.min;
        out.max_supported_version = range.max;
    }
}

// What identifies a quota: its entity and the key that is limited.
std::string quota_key(const wire::ClientQuotaRecord& record) {
    std::vector<std::string> parts;
    for (const auto& entity : record.entity)
        parts.push_back(entity.entity_type +
                        (entity.entity_name ? "=" + *entity.entity_name : "!"));
    std::sort(parts.begin(), parts.end());
    std::string key = "quota\n";
    for (const std::string& part : parts) key += part + '\n';
    return key + record.key;
}

std::string credential_key(const std::string& user, std::int8_t mechanism) {
    return "scram\n" + user + '\n' + std::to_string(mechanism);
}

}  // namespace

const Endpoint* BrokerImage::endpoint(std::string_view listener) const {
    for (const Endpoint& candidate : endpoints)
        if (candidate.name == listener) return &candidate;
    return nullptr;
}

// Applies one record of each kind.
struct Replay {
    ClusterImage& image;
    ClusterDelta* delta;

    Status operator()(const wire::TopicRecord& record) {
        if (image.topic_ids_.contains(record.name))
            return contradiction("topic '" + record.name + "' is created twice");
        if (image.topics_.contains(record.topic_id))
            return contradiction("two topics have the id " + record.topic_id.value().text());
        auto topic = std::make_shared<TopicImage>();
        topic->id = record.topic_id;
        topic->name = record.name;
        image.topic_ids_.insert_or_assign(record.name, record.topic_id);
        image.topics_.insert_or_assign(record.topic_id, std::move(topic));
        if (delta) delta->topics[record.topic_id];
        return {};
    }

    Status operator()(const wire::PartitionRecord& record) {
        const TopicImage* known = peek(record.topic_id);
        if (!known)
            return contradiction(describe(record.topic_id, record.partition_id) +
                                 " is created, but there is no such topic");
        const auto index = static_cast<std::int64_t>(record.partition_id.value());
        const auto count = static_cast<std::int64_t>(known->partitions.size());
        if (index < 0 || index > count)
            return contradiction(describe(record.topic_id, record.partition_id) +
                                 " is created, but the topic has " + std::to_string(count) +
                                 " partitions so far");
        PartitionImage partition;
        partition.replicas = record.replicas;
        partition.directories = record.directories;
        // Before KIP-858 a record named no directories.
        if (partition.directories.empty()) partition.directories.resize(record.replicas.size());
        if (partition.directories.size() != partition.replicas.size() || record.replicas.empty())
            return contradiction(describe(record.topic_id, record.partition_id) +
                                 " has not one directory for each of its replicas");
        partition.isr = record.isr;
        partition.removing = record.removing_replicas;
        partition.adding = record.adding_replicas;
        if (record.eligible_leader_replicas)
            partition.eligible_leader_replicas = *record.eligible_leader_replicas;
        if (record.last_known_elr) partition.last_known_elr = *record.last_known_elr;
        partition.leader = record.leader;
        partition.leader_recovering = record.leader_recovery_state != 0;
        partition.leader_epoch = record.leader_epoch;
        partition.partition_epoch = record.partition_epoch;
        note(record.topic_id, record.partition_id);
        TopicImage* topic = image.edit_topic(record.topic_id);
        if (index == count) {
            topic->partitions.push_back(std::move(partition));
            ++image.partition_count_;
        } else {
            topic->partitions[static_cast<std::size_t>(index)] = std::move(partition);
        }
        return {};
    }

    Status operator()(const wire::PartitionChangeRecord& record) {
        const TopicImage* known = peek(record.topic_id);
        if (!known || !known->partition(record.partition_id))
            return contradiction(describe(record.topic_id, record.partition_id) +
                                 " changes, but it does not exist");
        note(record.topic_id, record.partition_id);
        TopicImage* topic = image.edit_topic(record.topic_id);
        PartitionImage& partition =
            topic->partitions[static_cast<std::size_t>(record.partition_id.value())];
        if (record.isr) partition.isr = *record.isr;
        if (record.replicas) partition.replicas = *record.replicas;
        if (record.directories)
            partition.directories = *record.directories;
        else if (record.replicas)
            partition.directories.resize(partition.replicas.size());
        if (partition.directories.size() != partition.replicas.size() || partition.replicas.empty())
            return contradiction(describe(record.topic_id, record.partition_id) +
                                 " has not one directory for each of its replicas");
        if (record.removing_replicas) partition.removing = *record.removing_replicas;
        if (record.adding_replicas) partition.adding = *record.adding_replicas;
        if (record.eligible_leader_replicas)
            partition.eligible_leader_replicas = *record.eligible_leader_replicas;
        if (record.last_known_elr) partition.last_known_elr = *record.last_known_elr;
        if (record.leader_recovery_state >= 0)
            partition.leader_recovering = record.leader_recovery_state != 0;
        // -2 leaves the leader alone; naming one begins an epoch, even if it is the same.
        if (record.leader.value() != -2) {
            partition.leader = record.leader;
            ++partition.leader_epoch;
        }
        ++partition.partition_epoch;
        return {};
    }

    Status operator()(const wire::RemoveTopicRecord& record) {
        std::shared_ptr<TopicImage>* slot = image.topics_.edit(record.topic_id);
        if (!slot)
            return contradiction("topic " + record.topic_id.value().text() +
                                 " is deleted, but it does not exist");
        std::shared_ptr<TopicImage> topic = *slot;
        if (delta) {
            auto found = delta->topics.find(record.topic_id);
            if (found != delta->topics.end() && !found->second.before) {
                delta->topics.erase(found);
            } else {
                TopicDelta& change = delta->topics[record.topic_id];
                if (!change.before) change.before = topic;
                change.deleted = true;
                change.partitions.clear();
            }
        }
        image.partition_count_ -= topic->partitions.size();
        image.topic_ids_.erase(topic->name);
        image.topics_.erase(record.topic_id);
        const ConfigResource resource{ResourceType::topic, topic->name};
        if (image.configs_.erase(resource) && delta) delta->configs.insert(resource);
        return {};
    }

    Status operator()(const wire::ConfigRecord& record) {
        const ConfigResource resource{static_cast<ResourceType>(record.resource_type),
                                      record.resource_name};
        ConfigMap* settings = image.configs_.edit(resource);
        if (record.value) {
            if (!settings) {
                image.configs_.insert_or_assign(resource, ConfigMap{});
                settings = image.configs_.edit(resource);
            }
            (*settings)[record.name] = *record.value;
        } else if (settings) {
            settings->erase(record.name);
            if (settings->empty()) image.configs_.erase(resource);
        }
        if (delta) delta->configs.insert(resource);
        return {};
    }

    Status operator()(const wire::RegisterBrokerRecord& record) {
        BrokerImage broker;
        broker.id = record.broker_id;
        broker.epoch = record.broker_epoch;
        broker.incarnation = record.incarnation_id;
        broker.endpoints = endpoints_of(record.end_points);
        broker.features = features_of(record.features);
        broker.rack = record.rack;
        broker.fenced = record.fenced;
        broker.in_controlled_shutdown = record.in_controlled_shutdown;
        broker.directories = record.log_dirs;
        broker.cordoned_directories = record.cordoned_log_dirs;
        image.brokers_.insert_or_assign(record.broker_id, std::move(broker));
        if (delta) delta->brokers.insert(record.broker_id);
        return {};
    }

    Status operator()(const wire::UnregisterBrokerRecord& record) {
        if (auto known = broker(record.broker_id, record.broker_epoch); !known.ok())
            return known.error();
        image.brokers_.erase(record.broker_id);
        if (delta) delta->brokers.insert(record.broker_id);
        return {};
    }

    Status operator()(const wire::BrokerRegistrationChangeRecord& record) {
        PABAL_TRY_ASSIGN(BrokerImage* changed, broker(record.broker_id, record.broker_epoch));
        if (record.fenced != 0) changed->fenced = record.fenced > 0;
        if (record.in_controlled_shutdown != 0)
            changed->in_controlled_shutdown = record.in_controlled_shutdown > 0;
        if (!record.log_dirs.empty()) changed->directories = record.log_dirs;
        if (record.cordoned_log_dirs) changed->cordoned_directories = record.cordoned_log_dirs;
        return {};
    }

    Status operator()(const wire::FenceBrokerRecord& record) {
        PABAL_TRY_ASSIGN(BrokerImage* changed, broker(record.id, record.epoch));
        changed->fenced = true;
        return {};
    }

    Status operator()(const wire::UnfenceBrokerRecord& record) {
        PABAL_TRY_ASSIGN(BrokerImage* changed, broker(record.id, record.epoch));
        changed->fenced = false;
        return {};
    }

    Status operator()(const wire::RegisterControllerRecord& record) {
        ControllerImage controller;
        controller.id = record.controller_id;
        controller.incarnation = record.incarnation_id;
        controller.zk_migration_ready = record.zk_migration_ready;
        controller.endpoints = endpoints_of(record.end_points);
        controller.features = features_of(record.features);
        image.controllers_.insert_or_assign(record.controller_id, std::move(controller));
        if (delta) delta->controllers.insert(record.controller_id);
        return {};
    }

    Status operator()(const wire::FeatureLevelRecord& record) {
        if (record.name == "metadata.version" && (record.feature_level < lowest_metadata_version ||
                                                  record.feature_level > metadata_version_4_3))
            return Error{
                ErrorCode::unsupported_version,
                "the cluster has metadata.version " + std::to_string(record.feature_level) +
                    "; this version of pabal reads " + std::to_string(lowest_metadata_version) +
                    " to " + std::to_string(metadata_version_4_3)};
        if (record.feature_level == 0) {
            if (auto found = image.features_.find(record.name); found != image.features_.end())
                image.features_.erase(found);
        } else {
            image.features_[record.name] = record.feature_level;
        }
        if (delta) delta->features.insert(record.name);
        return {};
    }

    Status operator()(const wire::ProducerIdsRecord& record) {
        image.next_producer_id_ = record.next_producer_id;
        if (delta) delta->producer_ids = true;
        return {};
    }

    Status operator()(const wire::ClearElrRecord& record) {
        std::vector<TopicId> cleared;
        if (record.topic_name.empty()) {
            for (const auto& [name, id] : image.topic_ids_) cleared.push_back(id);
        } else {
            const TopicId* id = image.topic_ids_.find(record.topic_name);
            if (!id)
                return contradiction("topic '" + record.topic_name +
                                     "' changes, but it does not exist");
            cleared.push_back(*id);
        }
        for (const TopicId& id : cleared) {
            const TopicImage* topic = peek(id);
            for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
                if (topic->partitions[i].eligible_leader_replicas.empty() &&
                    topic->partitions[i].last_known_elr.empty())
                    continue;
                note(id, PartitionIndex(static_cast<std::int32_t>(i)));
                TopicImage* edited = image.edit_topic(id);
                edited->partitions[i].eligible_leader_replicas.clear();
                edited->partitions[i].last_known_elr.clear();
                topic = edited;
            }
        }
        return {};
    }

    Status operator()(const wire::AccessControlEntryRecord& record) {
        return keep("acl\n" + record.id.text(), record);
    }
    Status operator()(const wire::RemoveAccessControlEntryRecord& record) {
        return forget("acl\n" + record.id.text());
    }
    Status operator()(const wire::UserScramCredentialRecord& record) {
        return keep(credential_key(record.name, record.mechanism), record);
    }
    Status operator()(const wire::RemoveUserScramCredentialRecord& record) {
        return forget(credential_key(record.name, record.mechanism));
    }
    Status operator()(const wire::DelegationTokenRecord& record) {
        return keep("token\n" + record.token_id, record);
    }
    Status operator()(const wire::RemoveDelegationTokenRecord& record) {
        return forget("token\n" + record.token_id);
    }
    Status operator()(const wire::ClientQuotaRecord& record) {
        return record.remove ? forget(quota_key(record)) : keep(quota_key(record), record);
    }

    Status operator()(const wire::NoOpRecord&) { return {}; }
    Status operator()(const wire::ZkMigrationStateRecord&) { return {}; }
    // Transactions are resolved before records reach an image (see image_loader.h).
    Status operator()(const wire::BeginTransactionRecord&) { return {}; }
    Status operator()(const wire::EndTransactionRecord&) { return {}; }
    Status operator()(const wire::AbortTransactionRecord&) { return {}; }

private:
    const TopicImage* peek(const TopicId& id) const {
        const std::shared_ptr<TopicImage>* topic = image.topics_.find(id);
        return topic ? topic->get() : nullptr;
    }
    // Before the partition changes.
    void note(const TopicId& id, PartitionIndex partition) {
        if (!delta) return;
        auto [entry, fresh] = delta->topics.try_emplace(id);
        if (fresh) entry->second.before = *image.topics_.find(id);
        entry->second.partitions.insert(partition);
    }
    Result<BrokerImage*> broker(BrokerId id, BrokerEpoch epoch) {
        BrokerImage* known = image.brokers_.edit(id);
        if (!known)
            return contradiction("broker " + std::to_string(id.value()) +
                                 " changes, but it is not registered");
        if (known->epoch != epoch)
            return contradiction("broker " + std::to_string(id.value()) + " changes in its epoch " +
                                 std::to_string(epoch.value()) +
                                 ", but it is registered with epoch " +
                                 std::to_string(known->epoch.value()));
        if (delta) delta->brokers.insert(id);
        return known;
    }
    template <class Kind>
    Status keep(std::string key, const Kind& record) {
        image.kept_.insert_or_assign(std::move(key), std::make_shared<const Record>(record));
        return {};
    }
    Status forget(const std::string& key) {
        image.kept_.erase(key);
        return {};
    }
};

Status ClusterImage::replay(const Record& record, ClusterDelta* delta) {
    Replay replay{*this, delta};
    return std::visit(replay, record.content);
}

void ClusterImage::advance(Offset offset, LeaderEpoch epoch, WallTime timestamp) {
    offset_ = offset;
    epoch_ = epoch;
    timestamp_ = timestamp;
}

TopicImage* ClusterImage::edit_topic(const TopicId& id) {
    std::shared_ptr<TopicImage>* slot = topics_.edit(id);
    if (!slot) return nullptr;
    if (slot->use_count() > 1) *slot = std::make_shared<TopicImage>(**slot);
    return slot->get();
}

std::shared_ptr<const TopicImage> ClusterImage::topic(std::string_view name) const {
    const TopicId* id = topic_ids_.find(name);
    return id ? topic(*id) : nullptr;
}

std::shared_ptr<const TopicImage> ClusterImage::topic(const TopicId& id) const {
    const std::shared_ptr<TopicImage>* topic = topics_.find(id);
    return topic ? *topic : nullptr;
}

const PartitionImage* ClusterImage::partition(const TopicPartition& partition) const {
    const std::shared_ptr<TopicImage>* topic = topics_.find(partition.topic);
    return topic ? (*topic)->partition(partition.partition) : nullptr;
}

std::vector<std::shared_ptr<const TopicImage>> ClusterImage::topics() const {
    std::vector<std::shared_ptr<const TopicImage>> result;
    result.reserve(topic_ids_.size());
    for (const auto& [name, id] : topic_ids_) result.push_back(*topics_.find(id));
    return result;
}

const ConfigMap& ClusterImage::config(ResourceType type, std::string_view name) const {
    const ConfigMap* found = configs_.find(ConfigResource{type, std::string(name)});
    return found ? *found : no_config;
}

std::int16_t ClusterImage::feature(std::string_view name) const {
    auto found = features_.find(name);
    return found == features_.end() ? std::int16_t{0} : found->second;
}

std::vector<Record> ClusterImage::records() const {
    std::vector<Record> records;
    // Readers need metadata.version before anything else.
    auto feature_record = [&](const std::string& name, std::int16_t level) {
        wire::FeatureLevelRecord record;
        record.name = name;
        record.feature_level = level;
        records.emplace_back(std::move(record));
    };
    if (auto version = features_.find("metadata.version"); version != features_.end())
        feature_record(version->first, version->second);
    for (const auto& [name, level] : features_)
        if (name != "metadata.version") feature_record(name, level);
    for (const auto& [id, broker] : brokers_) {
        wire::RegisterBrokerRecord record;
        record.broker_id = id;
        record.broker_epoch = broker.epoch;
        record.incarnation_id = broker.incarnation;
        fill_endpoints(record, broker.endpoints, broker.features);
        record.rack = broker.rack;
        record.fenced = broker.fenced;
        record.in_controlled_shutdown = broker.in_controlled_shutdown;
        record.log_dirs = broker.directories;
        record.cordoned_log_dirs = broker.cordoned_directories;
        records.emplace_back(std::move(record));
    }
    for (const auto& [id, controller] : controllers_) {
        wire::RegisterControllerRecord record;
        record.controller_id = id;
        record.incarnation_id = controller.incarnation;
        record.zk_migration_ready = controller.zk_migration_ready;
        fill_endpoints(record, controller.endpoints, controller.features);
        records.emplace_back(std::move(record));
    }
    for (const auto& [name, id] : topic_ids_) {
        const TopicImage& topic = **topics_.find(id);
        wire::TopicRecord topic_record;
        topic_record.name = name;
        topic_record.topic_id = id;
        records.emplace_back(std::move(topic_record));
        for (std::size_t i = 0; i < topic.partitions.size(); ++i) {
            const PartitionImage& partition = topic.partitions[i];
            wire::PartitionRecord record;
            record.partition_id = PartitionIndex(static_cast<std::int32_t>(i));
            record.topic_id = id;
            record.replicas = partition.replicas;
            record.isr = partition.isr;
            record.removing_replicas = partition.removing;
            record.adding_replicas = partition.adding;
            record.leader = partition.leader;
            record.leader_recovery_state = partition.leader_recovering ? 1 : 0;
            record.leader_epoch = partition.leader_epoch;
            record.partition_epoch = partition.partition_epoch;
            record.directories = partition.directories;
            if (!partition.eligible_leader_replicas.empty())
                record.eligible_leader_replicas = partition.eligible_leader_replicas;
            if (!partition.last_known_elr.empty()) record.last_known_elr = partition.last_known_elr;
            records.emplace_back(std::move(record));
        }
    }
    for (const auto& [resource, settings] : configs_) {
        for (const auto& [name, value] : settings) {
            wire::ConfigRecord record;
            record.resource_type = static_cast<std::int8_t>(resource.type);
            record.resource_name = resource.name;
            record.name = name;
            record.value = value;
            records.emplace_back(std::move(record));
        }
    }
    if (next_producer_id_ > ProducerId(0)) {
        wire::ProducerIdsRecord record;
        record.broker_id = no_broker;
        record.broker_epoch = BrokerEpoch(-1);
        record.next_producer_id = next_producer_id_;
        records.emplace_back(std::move(record));
    }
    for (const auto& [key, record] : kept_) records.push_back(*record);
    return records;
}

}  // namespace pabal::metadata
