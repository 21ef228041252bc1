// The committed offsets of a Shard's groups: who may change them, and how long they are kept.
#include <algorithm>

#include "group/group_record.h"
#include "group/shard.h"

namespace pabal::group {

wire::OffsetCommitResponse Shard::commit(const wire::OffsetCommitRequest& request, int version,
                                         Moment moment, Effects* effects) {
    wire::OffsetCommitResponse response;
    Group* group = find(request.group_id);
    ErrorCode refusal = ErrorCode::none;
    const std::int32_t epoch = request.generation_id_or_member_epoch;
    bool former = false;
    if (group && group->consumer) {
        refusal = group->consumer->check_commit(request.member_id, epoch, version, &former);
    } else if (group) {
        refusal =
            group->classic.commit(request.member_id, request.group_instance_id, epoch, moment);
    } else if (epoch >= 0) {
        refusal = version >= 9 ? ErrorCode::group_id_not_found : ErrorCode::illegal_generation;
    }
    response.topics.reserve(request.topics.size());
    for (const auto& topic : request.topics) {
        auto& answered_topic = response.topics.emplace_back();
        answered_topic.name = topic.name;
        answered_topic.topic_id = topic.topic_id;
        answered_topic.partitions.reserve(topic.partitions.size());
        for (const auto& partition : topic.partitions) {
            auto& answered = answered_topic.partitions.emplace_back();
            answered.partition_index = partition.partition_index;
            answered.error_code = refusal;
            if (former) {
                answered.error_code = group->consumer->check_commit_of(
                    request.member_id, epoch, {topic.topic_id, partition.partition_index});
            }
            if (answered.error_code != ErrorCode::none) continue;
            CommittedOffset offset;
            offset.metadata = partition.committed_metadata.value_or("");
            if (offset.metadata.size() > settings_->offset_metadata_max_bytes) {
                answered.error_code = ErrorCode::offset_metadata_too_large;
                continue;
            }
            offset.offset = partition.committed_offset;
            offset.leader_epoch = partition.committed_leader_epoch;
            offset.commit_timestamp = moment.wall.milliseconds;
            if (request.retention_time_ms >= 0)
                offset.expire_timestamp = moment.wall.milliseconds + request.retention_time_ms;
            offset.topic_id = topic.topic_id;
            // A group that nobody joined lives through its offsets.
            if (!group) group = find_or_create(request.group_id, moment);
            effects->records.push_back(offset_commit_record(
                request.group_id, topic.name, partition.partition_index, offset_value(offset)));
            group->offsets.set(topic.name, partition.partition_index, std::move(offset));
        }
    }
    return response;
}

wire::OffsetFetchResponse::OffsetFetchResponseGroup Shard::fetch(
    const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request) const {
    using Response = wire::OffsetFetchResponse;
    Response::OffsetFetchResponseGroup response;
    response.group_id = request.group_id;
    const Group* group = find(request.group_id);
    if (request.member_id && request.member_epoch >= 0) {
        if (!group) response.error_code = ErrorCode::group_id_not_found;
        if (group && group->consumer)
            response.error_code =
                group->consumer->check_epoch(*request.member_id, request.member_epoch);
        if (response.error_code != ErrorCode::none) return response;
    }
    const auto answer = [](PartitionIndex index, const CommittedOffset* offset) {
        Response::OffsetFetchResponsePartitions answered;
        answered.partition_index = index;
        answered.committed_offset = offset ? offset->offset : Offset(-1);
        answered.committed_leader_epoch = offset ? offset->leader_epoch : no_leader_epoch;
        answered.metadata = offset ? offset->metadata : "";
        return answered;
    };
    if (!request.topics) {
        if (!group) return response;
        for (const auto& [name, partitions] : group->offsets.topics()) {
            auto& topic = response.topics.emplace_back();
            topic.name = name;
            for (const auto& [index, offset] : partitions)
                topic.partitions.push_back(answer(index, &offset));
        }
        return response;
    }
    for (const auto& asked : *request.topics) {
        auto& topic = response.topics.emplace_back();
        topic.name = asked.name;
        topic.topic_id = asked.topic_id;
        for (const PartitionIndex index : asked.partition_indexes) {
            topic.partitions.push_back(
                answer(index, group ? group->offsets.find(asked.name, index) : nullptr));
        }
    }
    return response;
}

wire::OffsetDeleteResponse Shard::delete_offsets(const wire::OffsetDeleteRequest& request, Moment,
                                                 Effects* effects) {
    wire::OffsetDeleteResponse response;
    Group* group = find(request.group_id);
    if (!group) {
        response.error_code = ErrorCode::group_id_not_found;
        return response;
    }
    if (!group->consumer && !group->classic.is_empty() && !group->classic.is_consumer_group()) {
        response.error_code = ErrorCode::non_empty_group;
        return response;
    }
    for (const auto& topic : request.topics) {
        auto& answered_topic = response.topics.emplace_back();
        answered_topic.name = topic.name;
        const bool subscribed = subscribes(*group, topic.name);
        for (const auto& partition : topic.partitions) {
            auto& answered = answered_topic.partitions.emplace_back();
            answered.partition_index = partition.partition_index;
            if (subscribed) {
                answered.error_code = ErrorCode::group_subscribed_to_topic;
            } else if (group->offsets.find(topic.name, partition.partition_index)) {
                remove_offset(request.group_id, group, topic.name, partition.partition_index,
                              effects);
            }
        }
    }
    return response;
}

void Shard::remove_offset(const std::string& id, Group* group, const std::string& topic,
                          PartitionIndex partition, Effects* effects) {
    effects->records.push_back(offset_tombstone(id, topic, partition));
    group->offsets.remove(topic, partition);
}

void Shard::topic_deleted(const std::string& topic, TopicId id, Effects* effects) {
    for (auto& [group_id, group] : groups_) {
        const auto found = group->offsets.topics().find(topic);
        if (found == group->offsets.topics().end()) continue;
        std::vector<PartitionIndex> gone;
        for (const auto& [index, offset] : found->second) {
            // A topic of the same name may have come since.
            if (offset.topic_id == id || offset.topic_id.value().is_zero()) gone.push_back(index);
        }
        for (const PartitionIndex index : gone)
            remove_offset(group_id, group.get(), topic, index, effects);
    }
}

// KIP-211: a group that somebody reads with keeps the offsets of what it reads; an empty one keeps
// them for the retention time since it became empty; a simple consumer since each commit.
void Shard::expire_offsets(Moment moment, Effects* effects) {
    const std::int64_t now = moment.wall.milliseconds;
    const std::int64_t retention = settings_->offsets_retention.to_milliseconds();
    std::vector<std::string> finished;
    for (auto& [id, group] : groups_) {
        const ClassicGroup& classic = group->classic;
        const bool simple = group->consumer || !classic.protocol_type().has_value();
        const bool reads = group->consumer
                               ? !group->consumer->is_empty()
                               : classic.state() == GroupState::stable &&
                                     classic.is_consumer_group() && classic.knows_subscriptions();
        if (!simple && !classic.is_empty() && !reads) continue;
        std::vector<std::pair<std::string, PartitionIndex>> expired;
        for (const auto& [topic, partitions] : group->offsets.topics()) {
            if (reads && subscribes(*group, topic)) continue;
            for (const auto& [index, offset] : partitions) {
                std::int64_t since = offset.commit_timestamp;
                if (!simple && classic.is_empty() && classic.state_timestamp() >= 0)
                    since = classic.state_timestamp();
                const bool due = offset.expire_timestamp >= 0 ? now >= offset.expire_timestamp
                                                              : now - since >= retention;
                if (due) expired.emplace_back(topic, index);
            }
        }
        for (const auto& [topic, index] : expired)
            remove_offset(id, group.get(), topic, index, effects);
        // An id that was given keeps the group: its member is about to come.
        if (group->offsets.empty() && is_empty(*group) && classic.deadline() == Instant::never())
            finished.push_back(id);
    }
    for (const std::string& id : finished) remove_group(id, effects);
}

}  // namespace pabal::group
