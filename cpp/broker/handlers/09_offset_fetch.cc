// OffsetFetch: how far groups have read.
//
// 1 one group, topics by name · 2 all topics (null), an error of its own (KIP-88) · 5 leader epochs
// (KIP-320) · 7 only what no open transaction may change (KIP-447) · 8 many groups (KIP-709) ·
// 9 member ids and epochs (KIP-848) · 10 topic ids (KIP-848)
#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "runtime/group_coordinator.h"
#include "wire/offset_fetch.h"

namespace pabal::broker {
namespace {

using Request = wire::OffsetFetchRequest;
using Response = wire::OffsetFetchResponse;

constexpr int first_version_with_groups = 8;
constexpr int first_version_with_ids = 10;

Request::OffsetFetchRequestGroup only_group(Request message) {
    Request::OffsetFetchRequestGroup group;
    group.group_id = std::move(message.group_id);
    if (!message.topics) return group;
    group.topics.emplace();
    for (auto& topic : *message.topics) {
        auto& asked = group.topics->emplace_back();
        asked.name = std::move(topic.name);
        asked.partition_indexes = std::move(topic.partition_indexes);
    }
    return group;
}

Response with_only_group(Response::OffsetFetchResponseGroup group, int version) {
    Response response;
    response.error_code = group.error_code;
    for (auto& topic : group.topics) {
        auto& answered = response.topics.emplace_back();
        answered.name = std::move(topic.name);
        for (auto& partition : topic.partitions) {
            answered.partitions.push_back({partition.partition_index, partition.committed_offset,
                                           partition.committed_leader_epoch,
                                           std::move(partition.metadata), partition.error_code});
        }
    }
    if (version < 2) response.error_code = ErrorCode::none;
    return response;
}

// Takes topics out whose id nobody knows, and gives the others their names.
std::vector<Response::OffsetFetchResponseTopics> resolve_ids(
    Request::OffsetFetchRequestGroup* group, const metadata::ClusterImage& image) {
    std::vector<Response::OffsetFetchResponseTopics> unknown;
    if (!group->topics) return unknown;
    std::erase_if(*group->topics, [&](auto& asked) {
        if (auto topic = image.topic(asked.topic_id)) {
            asked.name = topic->name;
            return false;
        }
        auto& answered = unknown.emplace_back();
        answered.topic_id = asked.topic_id;
        for (const PartitionIndex index : asked.partition_indexes) {
            auto& partition = answered.partitions.emplace_back();
            partition.partition_index = index;
            partition.committed_offset = Offset(-1);
            partition.metadata = "";
            partition.error_code = ErrorCode::unknown_topic_id;
        }
        return true;
    });
    return unknown;
}

// Topics that are gone meanwhile have no id to be told by.
void tell_ids(Response::OffsetFetchResponseGroup* group, const metadata::ClusterImage& image) {
    std::erase_if(group->topics, [&](auto& answered) {
        auto topic = image.topic(answered.name);
        if (topic) answered.topic_id = topic->id;
        return !topic;
    });
}

}  // namespace

io::Task<Response> handle_offset_fetch(Context* context, RequestContext* request, Request message) {
    const int version = request->version;
    const bool require_stable = message.require_stable;
    const bool several = version >= first_version_with_groups;
    std::vector<Request::OffsetFetchRequestGroup> asked;
    std::optional<std::vector<Request::OffsetFetchRequestTopic>> named = message.topics;
    if (several) {
        asked = std::move(message.groups);
    } else {
        asked.push_back(only_group(std::move(message)));
    }
    Response response;
    for (auto& group : asked) {
        auto image = context->image();
        std::vector<Response::OffsetFetchResponseTopics> unknown;
        if (version >= first_version_with_ids) unknown = resolve_ids(&group, *image);
        image.reset();
        Response::OffsetFetchResponseGroup fetched =
            co_await context->groups.fetch(std::move(group), require_stable);
        if (version >= first_version_with_ids) {
            image = context->image();
            tell_ids(&fetched, *image);
            if (fetched.error_code == ErrorCode::none) {
                fetched.topics.insert(fetched.topics.end(), unknown.begin(), unknown.end());
            }
        }
        request->failed(fetched.error_code);
        if (several) {
            response.groups.push_back(std::move(fetched));
            continue;
        }
        const ErrorCode error = fetched.error_code;
        response = with_only_group(std::move(fetched), version);
        if (error == ErrorCode::none || version >= 2 || !named) continue;
        // Version 1 can tell of the group's error in each partition only.
        for (const auto& topic : *named) {
            auto& answered = response.topics.emplace_back();
            answered.name = topic.name;
            for (const PartitionIndex index : topic.partition_indexes) {
                auto& partition = answered.partitions.emplace_back();
                partition.partition_index = index;
                partition.committed_offset = Offset(-1);
                partition.metadata = "";
                partition.error_code = error;
            }
        }
    }
    co_return response;
}

}  // namespace pabal::broker
