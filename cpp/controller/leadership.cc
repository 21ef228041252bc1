#include "controller/leadership.h"

#include <algorithm>
#include <optional>
#include <string>

#include "controller/partition_change.h"
#include "metadata/cluster_image.h"

namespace pabal::controller {
namespace {

using metadata::ClusterImage;
using metadata::PartitionImage;
using metadata::Record;
using metadata::TopicImage;

// Calls `change(topic, index, partition)`, which returns the record that is needed, if one is.
template <class Change>
void for_each_partition(const ClusterImage& image, std::vector<Record>& records, Change change) {
    for (const auto& [name, id] : image.topic_ids()) {
        const auto topic = image.topic(id);
        for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
            const PartitionIndex index(static_cast<std::int32_t>(i));
            std::optional<wire::PartitionChangeRecord> record =
                change(*topic, index, topic->partitions[i]);
            if (record) records.emplace_back(std::move(*record));
        }
    }
}

using Change = std::optional<wire::PartitionChangeRecord>;

// Whether somebody in sync other than `broker` can lead, or somebody eligible where only `broker`
// is in sync.
bool has_successor(const Electable& others, const PartitionImage& partition, BrokerId broker) {
    const Replicas rest = without(partition.isr, broker);
    const Replicas& heirs = rest.empty() ? partition.eligible_leader_replicas : rest;
    return std::any_of(heirs.begin(), heirs.end(), [&](BrokerId replica) {
        return contains(partition.replicas, replica) && others(partition, replica);
    });
}

ErrorCode elect_one(const Electable& electable, const metadata::BrokerConfig& config,
                    const TopicImage& topic, PartitionIndex index, bool unclean,
                    std::vector<Record>& records) {
    const PartitionImage& partition = *topic.partition(index);
    const bool satisfied =
        unclean ? partition.leader != no_broker : partition.leader == partition.replicas.front();
    if (satisfied) return ErrorCode::election_not_needed;
    PartitionChange change(electable, config, topic, index);
    change.unclean_by_setting = false;
    if (unclean)
        change.unclean = true;
    else
        change.election = Election::preferred;
    auto record = change.record();
    const bool elected = record && record->leader.value() >= 0 &&
                         (unclean || record->leader == partition.replicas.front());
    if (!elected)
        return unclean ? ErrorCode::eligible_leaders_not_available
                       : ErrorCode::preferred_leader_not_available;
    records.emplace_back(std::move(*record));
    return ErrorCode::none;
}

std::optional<std::string> election_message(ErrorCode code, const std::string& topic,
                                            PartitionIndex index) {
    const std::string partition = topic + "-" + std::to_string(index.value());
    switch (code) {
        case ErrorCode::election_not_needed:
            return "Partition " + partition + " has the leader already.";
        case ErrorCode::preferred_leader_not_available:
            return "The preferred leader of " + partition + " is not in sync or not alive.";
        case ErrorCode::eligible_leaders_not_available:
            return "No replica of " + partition + " is alive.";
        default: return std::nullopt;
    }
}

}  // namespace

void broker_left(const ClusterImage& image, const metadata::BrokerConfig& config, BrokerId broker,
                 bool lost_its_end, std::vector<Record>& records) {
    const Electable electable{image, broker};
    for_each_partition(
        image, records,
        [&](const TopicImage& topic, PartitionIndex index,
            const PartitionImage& partition) -> Change {
            const bool concerned =
                partition.leader == broker || contains(partition.isr, broker) ||
                (lost_its_end && contains(partition.eligible_leader_replicas, broker));
            if (!concerned) return std::nullopt;
            PartitionChange change(electable, config, topic, index);
            change.isr = without(partition.isr, broker);
            if (lost_its_end) change.lost_its_end = broker;
            return change.record();
        });
}

void broker_leaves(const ClusterImage& image, const metadata::BrokerConfig& config, BrokerId broker,
                   std::vector<Record>& records) {
    const Electable electable{image, broker};
    for_each_partition(image, records,
                       [&](const TopicImage& topic, PartitionIndex index,
                           const PartitionImage& partition) -> Change {
                           if (!contains(partition.isr, broker)) return std::nullopt;
                           const bool counts =
                               partition.leader == broker || partition.isr.size() == 1;
                           if (counts && !has_successor(electable, partition, broker))
                               return std::nullopt;
                           PartitionChange change(electable, config, topic, index);
                           change.unclean_by_setting = false;
                           change.isr = without(partition.isr, broker);
                           return change.record();
                       });
}

void broker_came(const ClusterImage& image, const metadata::BrokerConfig& config, BrokerId broker,
                 std::vector<Record>& records) {
    const Electable electable{image, no_broker, broker};
    for_each_partition(
        image, records,
        [&](const TopicImage& topic, PartitionIndex index,
            const PartitionImage& partition) -> Change {
            if (partition.leader != no_broker || !contains(partition.replicas, broker))
                return std::nullopt;
            return PartitionChange(electable, config, topic, index).record();
        });
}

void broker_restarted(const ClusterImage& image, const metadata::BrokerConfig& config,
                      BrokerId broker, bool lost_its_end, std::vector<Record>& records) {
    const Electable others{image, broker};
    const Electable electable{image, no_broker, broker};
    for_each_partition(
        image, records,
        [&](const TopicImage& topic, PartitionIndex index,
            const PartitionImage& partition) -> Change {
            if (!contains(partition.replicas, broker)) return std::nullopt;
            const BrokerId doubtful = lost_its_end ? broker : no_broker;
            if (contains(partition.isr, broker) && has_successor(others, partition, broker)) {
                PartitionChange change(others, config, topic, index);
                change.unclean_by_setting = false;
                change.isr = without(partition.isr, broker);
                change.lost_its_end = doubtful;
                return change.record();
            }
            Change record;
            const bool leads = partition.leader == broker;
            const bool eligible = contains(partition.eligible_leader_replicas, broker);
            if (leads || partition.leader == no_broker || (lost_its_end && eligible)) {
                PartitionChange change(electable, config, topic, index);
                change.unclean_by_setting = false;
                change.lost_its_end = doubtful;
                record = change.record();
            }
            if (!leads) return record;
            // It begins a new epoch, whatever else changes.
            if (!record) {
                record.emplace();
                record->topic_id = topic.id;
                record->partition_id = index;
            }
            if (record->leader.value() == -2) record->leader = broker;
            return record;
        });
}

void directories_lost(const ClusterImage& image, const metadata::BrokerConfig& config,
                      BrokerId broker, const std::set<DirectoryId>& directories,
                      std::vector<Record>& records) {
    const Electable electable{image, broker};
    for_each_partition(image, records,
                       [&](const TopicImage& topic, PartitionIndex index,
                           const PartitionImage& partition) -> Change {
                           if (partition.leader != broker && !contains(partition.isr, broker) &&
                               !contains(partition.eligible_leader_replicas, broker))
                               return std::nullopt;
                           for (std::size_t i = 0; i < partition.replicas.size(); ++i) {
                               if (partition.replicas[i] != broker) continue;
                               if (!directories.contains(partition.directories[i]))
                                   return std::nullopt;
                           }
                           PartitionChange change(electable, config, topic, index);
                           change.isr = without(partition.isr, broker);
                           change.lost_its_end = broker;
                           return change.record();
                       });
}

bool leads_what_others_could(const ClusterImage& image, BrokerId broker) {
    const Electable others{image, broker};
    for (const auto& [name, id] : image.topic_ids())
        for (const PartitionImage& partition : image.topic(id)->partitions)
            if (partition.leader == broker && has_successor(others, partition, broker)) return true;
    return false;
}

void elect_where_nobody_leads(const ClusterImage& image, const metadata::BrokerConfig& config,
                              std::vector<Record>& records) {
    const Electable electable{image};
    for_each_partition(image, records,
                       [&](const TopicImage& topic, PartitionIndex index,
                           const PartitionImage& partition) -> Change {
                           if (partition.leader != no_broker) return std::nullopt;
                           return PartitionChange(electable, config, topic, index).record();
                       });
}

void balance_leaders(const ClusterImage& image, const metadata::BrokerConfig& config,
                     std::size_t max_count, std::vector<Record>& records) {
    const Electable electable{image};
    const std::size_t limit = records.size() + max_count;
    for_each_partition(
        image, records,
        [&](const TopicImage& topic, PartitionIndex index,
            const PartitionImage& partition) -> Change {
            const BrokerId preferred = partition.replicas.front();
            if (records.size() >= limit || partition.leader == preferred) return std::nullopt;
            if (!contains(partition.isr, preferred) || !electable(partition, preferred))
                return std::nullopt;
            PartitionChange change(electable, config, topic, index);
            change.unclean_by_setting = false;
            change.election = Election::preferred;
            return change.record();
        });
}

Outcome<wire::ElectLeadersResponse> elect_leaders(const wire::ElectLeadersRequest& request,
                                                  const metadata::BrokerConfig& config,
                                                  const ClusterImage& image) {
    Outcome<wire::ElectLeadersResponse> outcome;
    constexpr std::int8_t preferred_type = 0, unclean_type = 1;
    if (request.election_type != preferred_type && request.election_type != unclean_type) {
        outcome.response.error_code = ErrorCode::invalid_request;
        return outcome;
    }
    const bool unclean = request.election_type == unclean_type;
    const Electable electable{image};
    auto answer = [&](auto& results, PartitionIndex index, ErrorCode code,
                      std::optional<std::string> message) {
        auto& result = results.partition_result.emplace_back();
        result.partition_id = index;
        result.error_code = code;
        result.error_message = std::move(message);
    };
    if (!request.topic_partitions) {
        // All partitions; those that need no election are not listed.
        for (const auto& topic : image.topics()) {
            wire::ElectLeadersResponse::ReplicaElectionResult results;
            results.topic = topic->name;
            for (std::size_t i = 0; i < topic->partitions.size(); ++i) {
                const PartitionIndex index(static_cast<std::int32_t>(i));
                const ErrorCode code =
                    elect_one(electable, config, *topic, index, unclean, outcome.records);
                if (code == ErrorCode::election_not_needed) continue;
                answer(results, index, code, election_message(code, topic->name, index));
            }
            if (!results.partition_result.empty())
                outcome.response.replica_election_results.push_back(std::move(results));
        }
        return outcome;
    }
    std::set<std::pair<std::string, PartitionIndex>> answered;
    for (const auto& asked : *request.topic_partitions) {
        auto& results = outcome.response.replica_election_results.emplace_back();
        results.topic = asked.topic;
        const auto topic = image.topic(asked.topic);
        for (PartitionIndex index : asked.partitions) {
            if (!answered.emplace(asked.topic, index).second) continue;
            if (!topic || !topic->partition(index)) {
                answer(results, index, ErrorCode::unknown_topic_or_partition,
                       topic ? "There is no partition " + std::to_string(index.value()) +
                                   " of topic '" + asked.topic + "'."
                             : "There is no topic '" + asked.topic + "'.");
                continue;
            }
            const ErrorCode code =
                elect_one(electable, config, *topic, index, unclean, outcome.records);
            answer(results, index, code, election_message(code, asked.topic, index));
        }
    }
    return outcome;
}

}  // namespace pabal::controller
