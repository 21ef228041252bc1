// Metadata: the brokers of the cluster as this listener reaches them, and the partitions of topics.
//
// 0     an empty list means all topics; a partition with an unreachable replica carries an error
// 1     null means all topics, an empty list none; rack, controller, internal topics
// 2     cluster id · 4 whether unknown topics are created · 5 offline replicas (KIP-112)
// 6     LISTENER_NOT_FOUND instead of LEADER_NOT_AVAILABLE · 7 leader epochs (KIP-320)
// 8     authorised operations (KIP-430), those of the cluster up to 10 (KIP-700)
// 10    topic ids in responses (KIP-516) · 12 and in requests · 13 an error for the whole
// (KIP-1102)
//
// Deviation: Kafka answers UNKNOWN_TOPIC_OR_PARTITION while it creates a topic that was asked for,
// and the client asks again; here the answer waits until the topic is there, at most a second. A
// client that has just lost a leader asks at once who leads now, and again after seconds if it
// hears of the same leader: where this broker, which follows that leader, has lost it too, the
// answer waits for the next one, at most a quarter of a second.
#include <algorithm>
#include <set>
#include <string>

#include "base/probe.h"
#include "broker/cluster_view.h"
#include "broker/dispatch.h"
#include "broker/operations.h"
#include "broker/successions.h"
#include "broker/topic_creation.h"
#include "controller/topic_name.h"
#include "io/gate.h"
#include "metadata/broker_config.h"
#include "runtime/controller_link.h"
#include "runtime/fetchers.h"
#include "wire/metadata.h"

namespace pabal::broker {
namespace {

using Topic = wire::MetadataResponse::MetadataResponseTopic;
using Partition = wire::MetadataResponse::MetadataResponsePartition;

Topic describe(const metadata::TopicImage& topic, const ClusterView& view, int version) {
    Topic described;
    described.name = topic.name;
    described.topic_id = topic.id;
    described.is_internal = is_internal_topic(topic.name);
    described.partitions.reserve(topic.partitions.size());
    for (std::size_t index = 0; index < topic.partitions.size(); ++index) {
        const metadata::PartitionImage& image = topic.partitions[index];
        Partition partition;
        partition.partition_index = PartitionIndex(static_cast<std::int32_t>(index));
        partition.leader_id = view.reachable_leader(image);
        partition.leader_epoch = image.leader_epoch;
        partition.replica_nodes = image.replicas;
        partition.isr_nodes = image.isr;
        partition.offline_replicas = view.offline_replicas(image);
        if (version == 0) {
            auto unreachable = [&](BrokerId id) { return view.reachable(id) == nullptr; };
            std::erase_if(partition.replica_nodes, unreachable);
            std::erase_if(partition.isr_nodes, unreachable);
            if (partition.replica_nodes.size() < image.replicas.size() ||
                partition.isr_nodes.size() < image.isr.size())
                partition.error_code = ErrorCode::replica_not_available;
        }
        if (partition.leader_id == no_broker) {
            partition.error_code =
                version < 6 ? ErrorCode::leader_not_available : view.leader_error(image);
        }
        described.partitions.push_back(std::move(partition));
    }
    return described;
}

Topic failed_topic(std::optional<std::string> name, TopicId id, ErrorCode error) {
    Topic topic;
    topic.error_code = error;
    topic.is_internal = name && is_internal_topic(*name);
    topic.name = std::move(name);
    topic.topic_id = id;
    return topic;
}

constexpr Duration succession = Duration::milliseconds(250);
// Whoever asks may have lost a leader in this very moment, before this broker has noticed.
constexpr Duration notice = Duration::milliseconds(2);

bool await_a_leader(const metadata::TopicImage* topic, const std::set<BrokerId>& lost) {
    return topic && std::any_of(topic->partitions.begin(), topic->partitions.end(),
                                [&](const metadata::PartitionImage& partition) {
                                    return lost.contains(partition.leader) &&
                                           partition.isr.size() > 1;
                                });
}

io::Task<void> await_successors(Context* context, const std::vector<std::string>* names,
                                const std::vector<TopicId>* ids) {
    io::Sleep pause(context->clock, context->clock.now() + notice);
    co_await pause;
    const Instant deadline = context->clock.now() + succession;
    while (context->clock.now() < deadline) {
        const std::set<BrokerId> lost =
            context->fetchers->lost_leaders(deadline + Duration::milliseconds(-500));
        if (lost.empty()) break;
        auto image = context->image();
        const bool some = std::any_of(names->begin(), names->end(),
                                      [&](const std::string& name) {
                                          return await_a_leader(image->topic(name).get(), lost);
                                      }) ||
                          std::any_of(ids->begin(), ids->end(), [&](const TopicId& id) {
                              return await_a_leader(image->topic(id).get(), lost);
                          });
        // A node that stops waits for nobody.
        if (!some || context->link->is_stopped()) break;
        image.reset();
        REACHED("metadata-waits-for-the-next-leader");
        co_await context->link->news(deadline);
    }
}

}  // namespace

io::Task<wire::MetadataResponse> handle_metadata(Context* context, RequestContext* request,
                                                 wire::MetadataRequest message) {
    int version = request->version;
    bool all_topics = !message.topics || (version == 0 && message.topics->empty());
    wire::MetadataResponse response;

    std::vector<std::string> names;
    std::vector<TopicId> ids;
    bool invalid = false;
    if (!all_topics) {
        std::set<std::string_view> names_seen;
        std::set<TopicId> ids_seen;
        for (const auto& topic : *message.topics) {
            invalid =
                invalid || (version < 12 && (!topic.name || !topic.topic_id.value().is_zero()));
            if (!topic.topic_id.value().is_zero()) {
                if (ids_seen.insert(topic.topic_id).second) ids.push_back(topic.topic_id);
            } else if (topic.name && names_seen.insert(*topic.name).second) {
                names.push_back(*topic.name);
            }
        }
    }
    if (invalid) {
        // Only versions 10 and 11 can say null or an id without meaning it.
        for (auto& topic : *message.topics) {
            response.topics.push_back(failed_topic(std::move(topic.name).value_or(""),
                                                   topic.topic_id, ErrorCode::invalid_request));
        }
        request->failed(ErrorCode::invalid_request);
        co_return response;
    }
    // A request that names one topic by id is taken to name all of them so.
    if (!ids.empty()) names.clear();

    std::map<std::string, ErrorCode> refused;
    if (!names.empty() && message.allow_auto_topic_creation &&
        context->config.boolean("auto.create.topics.enable")) {
        std::vector<std::string> missing;
        auto image = context->image();
        for (const std::string& name : names) {
            if (!image->topic(name) && controller::check_topic_name(name).ok())
                missing.push_back(name);
        }
        image.reset();
        if (!missing.empty()) {
            Instant deadline = context->clock.now() + Duration::seconds(1);
            refused = co_await context->topic_creation.create(std::move(missing), deadline);
        }
    }

    const bool named = !names.empty() || !ids.empty();
    if (named && context->fetchers && context->link && context->image()->brokers().size() > 1)
        co_await await_successors(context, &names, &ids);
    auto image = context->image();
    ClusterView view(*image, request->peer->listener_name);
    for (const metadata::BrokerImage* broker : view.reachable_brokers()) {
        const metadata::Endpoint* endpoint = view.reachable(broker->id);
        response.brokers.push_back({broker->id, endpoint->host, endpoint->port, broker->rack});
    }
    response.cluster_id = context->cluster_id;
    response.controller_id = view.any_broker(&context->random);
    if (all_topics) {
        response.topics.reserve(image->topic_count());
        for (const auto& [name, id] : image->topic_ids()) {
            response.topics.push_back(describe(*image->topic(id), view, version));
        }
    }
    for (const TopicId& id : ids) {
        auto topic = image->topic(id);
        if (topic) {
            response.topics.push_back(describe(*topic, view, version));
        } else {
            response.topics.push_back(failed_topic(std::nullopt, id, ErrorCode::unknown_topic_id));
        }
    }
    for (const std::string& name : names) {
        auto topic = image->topic(name);
        if (topic) {
            response.topics.push_back(describe(*topic, view, version));
            continue;
        }
        ErrorCode error = ErrorCode::unknown_topic_or_partition;
        auto refusal = refused.find(name);
        if (!controller::check_topic_name(name).ok()) {
            error = ErrorCode::invalid_topic_exception;
        } else if (refusal != refused.end() &&
                   refusal->second == ErrorCode::invalid_topic_exception) {
            error = refusal->second;  // Its name collides with another topic's.
        }
        response.topics.push_back(failed_topic(name, TopicId(), error));
        request->failed(error);
    }
    if (named && context->successions) context->successions->tell(&response, *image, request->peer);
    if (version >= 8 && message.include_topic_authorized_operations) {
        for (Topic& topic : response.topics) {
            if (topic.name) topic.topic_authorized_operations = all_topic_operations;
        }
    }
    if (version >= 8 && version <= 10 && message.include_cluster_authorized_operations)
        response.cluster_authorized_operations = all_cluster_operations;
    co_return response;
}

}  // namespace pabal::broker
