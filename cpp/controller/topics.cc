#include "controller/topics.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "controller/placement.h"
#include "controller/topic_name.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::Record;
using metadata::ResourceType;

Error too_many_records() {
    return {ErrorCode::policy_violation, "The request asks for more than " +
                                             std::to_string(max_records_per_request) +
                                             " changes at once; split it into several."};
}

// Names that stand more than once.
template <class Items>
std::set<std::string> duplicates(const Items& items) {
    std::set<std::string> seen, twice;
    for (const auto& item : items)
        if (!seen.insert(item.name).second) twice.insert(item.name);
    return twice;
}

// An existing topic that differs from `name` in '.' and '_' only.
std::optional<std::string> colliding_topic(const ClusterImage& image, const std::string& name) {
    if (!may_collide(name)) return std::nullopt;
    // Equal up to the first of the two characters: only those names need a look.
    const std::string prefix = name.substr(0, name.find_first_of("._"));
    const std::string unified = collision_name(name);
    for (char separator : {'.', '_'}) {
        const std::string first = prefix + separator;
        for (auto entry = image.topic_ids().lower_bound(first);
             entry != image.topic_ids().end() && entry->first.starts_with(first); ++entry)
            if (entry->first != name && collision_name(entry->first) == unified)
                return entry->first;
    }
    return std::nullopt;
}

Status check_manual_replicas(const ClusterImage& image, const Replicas& replicas,
                             std::optional<std::size_t> replication_factor) {
    auto invalid = [](std::string what) {
        return Error{ErrorCode::invalid_replica_assignment, std::move(what)};
    };
    if (replicas.empty()) return invalid("An assignment names no broker.");
    std::set<BrokerId> seen;
    for (BrokerId broker : replicas) {
        if (!image.broker(broker))
            return invalid("An assignment names broker " + std::to_string(broker.value()) +
                           ", which is not registered.");
        if (!seen.insert(broker).second)
            return invalid("An assignment names broker " + std::to_string(broker.value()) +
                           " more than once.");
    }
    if (replication_factor && replicas.size() != *replication_factor)
        return invalid("An assignment names " + std::to_string(replicas.size()) +
                       " replicas where the topic's other partitions have " +
                       std::to_string(*replication_factor) + ".");
    return {};
}

Status check_some_active(const ClusterImage& image, const Replicas& replicas, std::size_t partition,
                         ErrorCode code) {
    for (BrokerId broker : replicas)
        if (is_active(image, broker)) return {};
    return Error{code, "All brokers that were named for partition " + std::to_string(partition) +
                           " are fenced or shutting down."};
}

}  // namespace

struct Topics::Planned {
    std::vector<Record> records;
    wire::CreateTopicsResponse::CreatableTopicResult result;
};

Record Topics::partition_record(const ClusterImage& image, TopicId topic, std::size_t index,
                                Replicas replicas) {
    wire::PartitionRecord record;
    record.partition_id = PartitionIndex(static_cast<std::int32_t>(index));
    record.topic_id = topic;
    for (BrokerId broker : replicas) {
        if (is_active(image, broker)) record.isr.push_back(broker);
        record.directories.push_back(place_directory(image, broker, random_));
    }
    record.leader = record.isr.front();
    record.replicas = std::move(replicas);
    record.leader_epoch = LeaderEpoch(0);
    record.partition_epoch = PartitionEpoch(0);
    return record;
}

Result<Topics::Planned> Topics::plan(const wire::CreateTopicsRequest::CreatableTopic& topic,
                                     const ClusterImage& image) {
    const metadata::ConfigView view(config_, image);
    if (topic.name == cluster_metadata_topic)
        return Error{ErrorCode::invalid_request,
                     "Topic " + topic.name + " is internal and cannot be created."};
    PABAL_TRY(check_topic_name(topic.name));
    if (image.topic_ids().contains(topic.name))
        return Error{ErrorCode::topic_already_exists, "Topic '" + topic.name + "' already exists."};
    if (auto other = colliding_topic(image, topic.name))
        return Error{ErrorCode::invalid_topic_exception,
                     "Topic '" + topic.name + "' collides with topic '" + *other +
                         "': metrics cannot tell '.' from '_'."};

    metadata::ConfigMap settings;
    for (const auto& config : topic.configs) {
        if (!config.value)
            return Error{ErrorCode::invalid_config, "Setting '" + config.name + "' has no value."};
        PABAL_TRY(metadata::validate_config(ResourceType::topic, config.name, *config.value));
        settings[config.name] = *config.value;
    }
    PABAL_TRY(view.validate_topic(settings));

    std::vector<Replicas> placed;
    if (!topic.assignments.empty()) {
        if (topic.replication_factor != -1)
            return Error{ErrorCode::invalid_request,
                         "With replicas assigned by hand the replication factor must be -1."};
        if (topic.num_partitions != -1)
            return Error{ErrorCode::invalid_request,
                         "With replicas assigned by hand the number of partitions must be -1."};
        const std::size_t count = topic.assignments.size();
        placed.resize(count);
        std::optional<std::size_t> replication_factor;
        for (const auto& assignment : topic.assignments) {
            const std::int32_t index = assignment.partition_index.value();
            if (index < 0 || static_cast<std::size_t>(index) >= count)
                return Error{ErrorCode::invalid_replica_assignment,
                             "The assigned partitions must be 0 to " + std::to_string(count - 1) +
                                 " without gaps; one is " + std::to_string(index) + "."};
            Replicas& replicas = placed[static_cast<std::size_t>(index)];
            if (!replicas.empty())
                return Error{ErrorCode::invalid_replica_assignment,
                             "Partition " + std::to_string(index) + " is assigned twice."};
            PABAL_TRY(check_manual_replicas(image, assignment.broker_ids, replication_factor));
            PABAL_TRY(check_some_active(image, assignment.broker_ids,
                                        static_cast<std::size_t>(index),
                                        ErrorCode::invalid_replica_assignment));
            replication_factor = assignment.broker_ids.size();
            replicas = assignment.broker_ids;
        }
    } else {
        if (topic.replication_factor < -1 || topic.replication_factor == 0)
            return Error{ErrorCode::invalid_replication_factor,
                         "The replication factor must be larger than 0, or -1 for the default; "
                         "it is " +
                             std::to_string(topic.replication_factor) + "."};
        if (topic.num_partitions < -1 || topic.num_partitions == 0)
            return Error{ErrorCode::invalid_partitions,
                         "The number of partitions must be larger than 0, or -1 for the default; "
                         "it is " +
                             std::to_string(topic.num_partitions) + "."};
        const auto count = static_cast<std::size_t>(topic.num_partitions == -1
                                                        ? view.broker_integer("num.partitions")
                                                        : topic.num_partitions);
        if (count > max_records_per_request) return too_many_records();
        const int replication_factor =
            topic.replication_factor == -1
                ? static_cast<int>(view.broker_integer("default.replication.factor"))
                : topic.replication_factor;
        PABAL_TRY_ASSIGN(placed, place_replicas(image, count, replication_factor, random_));
    }

    Planned planned;
    const TopicId id(Uuid::random(random_));
    wire::TopicRecord created;
    created.name = topic.name;
    created.topic_id = id;
    planned.records.emplace_back(std::move(created));
    for (const auto& [name, value] : settings) {
        wire::ConfigRecord record;
        record.resource_type = static_cast<std::int8_t>(ResourceType::topic);
        record.resource_name = topic.name;
        record.name = name;
        record.value = value;
        planned.records.emplace_back(std::move(record));
    }
    auto& result = planned.result;
    result.name = topic.name;
    result.topic_id = id;
    result.num_partitions = static_cast<std::int32_t>(placed.size());
    result.replication_factor = static_cast<std::int16_t>(placed.front().size());
    for (std::size_t i = 0; i < placed.size(); ++i)
        planned.records.push_back(partition_record(image, id, i, std::move(placed[i])));
    result.configs.emplace();
    for (metadata::EffectiveConfig& effective : view.describe_topic_with(settings)) {
        auto& config = result.configs->emplace_back();
        config.name = std::move(effective.name);
        config.value = std::move(effective.value);
        config.read_only = effective.read_only;
        config.config_source = static_cast<std::int8_t>(effective.source);
        config.is_sensitive = effective.sensitive;
    }
    return planned;
}

Outcome<wire::CreateTopicsResponse> Topics::create(const wire::CreateTopicsRequest& request,
                                                   const ClusterImage& image) {
    Outcome<wire::CreateTopicsResponse> outcome;
    const std::set<std::string> twice = duplicates(request.topics);
    std::set<std::string> answered;
    // Names that this request takes, as far as they can collide.
    std::map<std::string, std::string> taken;
    bool too_many = false;
    for (const auto& topic : request.topics) {
        if (!answered.insert(topic.name).second) continue;
        wire::CreateTopicsResponse::CreatableTopicResult refused;
        refused.name = topic.name;
        auto refuse = [&](const Error& error) {
            refused.error_code = error.code;
            refused.error_message = error.message;
            outcome.response.topics.push_back(refused);
        };
        if (twice.contains(topic.name)) {
            refuse({ErrorCode::invalid_request,
                    "Topic '" + topic.name + "' stands more than once in the request."});
            continue;
        }
        const std::string unified = collision_name(topic.name);
        if (auto other = taken.find(unified); other != taken.end()) {
            refuse({ErrorCode::invalid_topic_exception,
                    "Topic '" + topic.name + "' collides with topic '" + other->second +
                        "' of the same request: metrics cannot tell '.' from '_'."});
            continue;
        }
        auto planned = plan(topic, image);
        if (!planned.ok()) {
            refuse(planned.error());
            continue;
        }
        if (outcome.records.size() + planned->records.size() > max_records_per_request) {
            too_many = true;
            break;
        }
        taken.emplace(unified, topic.name);
        std::move(planned->records.begin(), planned->records.end(),
                  std::back_inserter(outcome.records));
        outcome.response.topics.push_back(std::move(planned->result));
    }
    if (too_many) {
        const Error error = too_many_records();
        outcome = {};
        answered.clear();
        for (const auto& topic : request.topics) {
            if (!answered.insert(topic.name).second) continue;
            auto& result = outcome.response.topics.emplace_back();
            result.name = topic.name;
            result.error_code = error.code;
            result.error_message = error.message;
        }
    }
    if (request.validate_only) outcome.records.clear();
    return outcome;
}

Outcome<wire::DeleteTopicsResponse> Topics::remove(const wire::DeleteTopicsRequest& request,
                                                   int version, const ClusterImage& image) const {
    Outcome<wire::DeleteTopicsResponse> outcome;
    const bool enabled = metadata::ConfigView(config_, image).broker_boolean("delete.topic.enable");
    auto answer = [&](std::optional<std::string> name, TopicId id, ErrorCode code,
                      std::optional<std::string> message) {
        auto& result = outcome.response.responses.emplace_back();
        result.name = std::move(name);
        result.topic_id = id;
        result.error_code = code;
        result.error_message = std::move(message);
    };

    // What was asked for, by name and by id; what stands twice is refused.
    std::map<std::string, int> names;
    std::map<TopicId, int> ids;
    for (const std::string& name : request.topic_names) ++names[name];
    for (const auto& topic : request.topics) {
        const bool by_id = !topic.topic_id.value().is_zero();
        if (topic.name && by_id)
            answer(topic.name, topic.topic_id, ErrorCode::invalid_request,
                   "A topic is named by its name or by its id, not by both.");
        else if (topic.name)
            ++names[*topic.name];
        else if (by_id)
            ++ids[topic.topic_id];
        else
            answer(std::nullopt, {}, ErrorCode::invalid_request,
                   "A topic has neither name nor id.");
    }
    std::set<TopicId> chosen;
    auto choose = [&](const std::string& name, TopicId id) {
        if (!enabled) {
            const bool old = version < 3;
            answer(name, id, old ? ErrorCode::invalid_request : ErrorCode::topic_deletion_disabled,
                   "Topics cannot be deleted: delete.topic.enable is false.");
            return;
        }
        if (!chosen.insert(id).second) {
            answer(name, id, ErrorCode::invalid_request,
                   "Topic '" + name + "' stands in the request by its name and by its id.");
            return;
        }
        wire::RemoveTopicRecord record;
        record.topic_id = id;
        outcome.records.emplace_back(std::move(record));
        answer(name, id, ErrorCode::none, std::nullopt);
    };
    for (const auto& [id, count] : ids) {
        auto topic = image.topic(id);
        if (count > 1)
            answer(std::nullopt, id, ErrorCode::invalid_request,
                   "The topic id stands more than once in the request.");
        else if (!topic)
            answer(std::nullopt, id, ErrorCode::unknown_topic_id,
                   "There is no topic with this id.");
        else
            choose(topic->name, id);
    }
    for (const auto& [name, count] : names) {
        const TopicId* id = image.topic_ids().find(name);
        if (count > 1)
            answer(name, {}, ErrorCode::invalid_request,
                   "Topic '" + name + "' stands more than once in the request.");
        else if (!id)
            answer(name, {}, ErrorCode::unknown_topic_or_partition,
                   "There is no topic '" + name + "'.");
        else
            choose(name, *id);
    }
    if (outcome.records.size() > max_records_per_request) {
        outcome.records.clear();
        const Error error = too_many_records();
        for (auto& result : outcome.response.responses) {
            result.error_code = error.code;
            result.error_message = error.message;
        }
    }
    return outcome;
}

Result<std::vector<Record>> Topics::plan_partitions(
    const wire::CreatePartitionsRequest::CreatePartitionsTopic& topic, const ClusterImage& image) {
    auto known = image.topic(topic.name);
    if (!known || known->partitions.empty())
        return Error{ErrorCode::unknown_topic_or_partition,
                     "There is no topic '" + topic.name + "'."};
    const auto current = static_cast<std::int64_t>(known->partitions.size());
    if (topic.count == current)
        return Error{
            ErrorCode::invalid_partitions,
            "Topic '" + topic.name + "' has " + std::to_string(current) + " partitions already."};
    if (topic.count < current)
        return Error{ErrorCode::invalid_partitions,
                     "Topic '" + topic.name + "' has " + std::to_string(current) +
                         " partitions; it cannot shrink to " + std::to_string(topic.count) +
                         ", since their records would be lost."};
    const auto added = static_cast<std::size_t>(topic.count - current);
    if (added > max_records_per_request) return too_many_records();
    const std::size_t replication_factor = known->partitions.front().replicas.size();
    std::vector<Replicas> placed;
    if (topic.assignments) {
        if (topic.assignments->size() != added)
            return Error{ErrorCode::invalid_replica_assignment,
                         "The topic gets " + std::to_string(added) + " more partitions, but " +
                             std::to_string(topic.assignments->size()) + " are assigned."};
        for (const auto& assignment : *topic.assignments) {
            PABAL_TRY(check_manual_replicas(image, assignment.broker_ids, replication_factor));
            PABAL_TRY(check_some_active(image, assignment.broker_ids,
                                        static_cast<std::size_t>(current) + placed.size(),
                                        ErrorCode::invalid_replica_assignment));
            placed.push_back(assignment.broker_ids);
        }
    } else {
        PABAL_TRY_ASSIGN(
            placed, place_replicas(image, added, static_cast<int>(replication_factor), random_));
    }
    std::vector<Record> records;
    for (std::size_t i = 0; i < placed.size(); ++i)
        records.push_back(partition_record(image, known->id, static_cast<std::size_t>(current) + i,
                                           std::move(placed[i])));
    return records;
}

Outcome<wire::CreatePartitionsResponse> Topics::add_partitions(
    const wire::CreatePartitionsRequest& request, const ClusterImage& image) {
    Outcome<wire::CreatePartitionsResponse> outcome;
    const std::set<std::string> twice = duplicates(request.topics);
    std::set<std::string> answered;
    for (const auto& topic : request.topics) {
        if (!answered.insert(topic.name).second) continue;
        auto& result = outcome.response.results.emplace_back();
        result.name = topic.name;
        auto planned =
            twice.contains(topic.name)
                ? Result<std::vector<Record>>(
                      Error{ErrorCode::invalid_request,
                            "Topic '" + topic.name + "' stands more than once in the request."})
                : plan_partitions(topic, image);
        if (planned.ok() && outcome.records.size() + planned->size() > max_records_per_request)
            planned = too_many_records();
        if (!planned.ok()) {
            result.error_code = planned.error().code;
            result.error_message = planned.error().message;
            continue;
        }
        std::move(planned->begin(), planned->end(), std::back_inserter(outcome.records));
    }
    if (request.validate_only) outcome.records.clear();
    return outcome;
}

}  // namespace pabal::controller
