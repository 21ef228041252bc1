// The committed offsets of a Shard's groups: who may change them, and how long they are kept.
#include <algorithm>
#include <optional>
#include <string>

#include "base/probe.h"
#include "group/group_record.h"
#include "group/shard.h"
#include "metadata/cluster_image.h"

namespace pabal::group {
namespace {

// Kafka's limit counts UTF-16 code units: two for what takes four bytes in UTF-8.
bool is_too_long(const std::optional<std::string>& metadata, std::size_t limit) {
    if (!metadata || metadata->size() <= limit) return false;
    std::size_t units = 0;
    for (const char each : *metadata) {
        const auto byte = static_cast<unsigned char>(each);
        if ((byte & 0xC0) != 0x80) units += byte >= 0xF0 ? 2 : 1;
    }
    return units > limit;
}

// A member with an epoch of before commits what it has had since, all of it or nothing (KIP-1251).
template <class Topics, class Id>
ErrorCode check_former(const ConsumerGroup& group, const std::string& member, std::int32_t epoch,
                       const Topics& topics, std::size_t longest_metadata, Id id_of) {
    for (const auto& topic : topics) {
        const TopicId id = id_of(topic);
        for (const auto& partition : topic.partitions) {
            if (is_too_long(partition.committed_metadata, longest_metadata)) continue;
            const ErrorCode error =
                group.check_commit_of(member, epoch, {id, partition.partition_index});
            if (error != ErrorCode::none) return error;
        }
    }
    return ErrorCode::none;
}

}  // namespace

wire::OffsetCommitResponse Shard::commit(const wire::OffsetCommitRequest& request, int version,
                                         Moment moment, Effects* effects) {
    wire::OffsetCommitResponse response;
    Group* group = find(request.group_id);
    ErrorCode refusal = ErrorCode::none;
    const std::int32_t epoch = request.generation_id_or_member_epoch;
    bool former = false;
    if (group && group->consumer) {
        refusal = group->consumer->check_commit(request.member_id, epoch, version, &former);
        if (former) {
            refusal = check_former(*group->consumer, request.member_id, epoch, request.topics,
                                   settings_->offset_metadata_max_bytes,
                                   [](const auto& topic) { return topic.topic_id; });
        }
    } else if (group) {
        refusal =
            group->classic.commit(request.member_id, request.group_instance_id, epoch, moment);
    } else if (epoch >= 0) {
        refusal = version >= 9 ? ErrorCode::group_id_not_found : ErrorCode::illegal_generation;
    }
    if (SABOTAGED("fenced-member-commits")) refusal = ErrorCode::none;
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
            if (refusal != ErrorCode::none) continue;
            if (is_too_long(partition.committed_metadata, settings_->offset_metadata_max_bytes)) {
                answered.error_code = ErrorCode::offset_metadata_too_large;
                continue;
            }
            CommittedOffset offset;
            offset.metadata = partition.committed_metadata.value_or("");
            offset.offset = partition.committed_offset;
            offset.leader_epoch = partition.committed_leader_epoch;
            offset.commit_timestamp = moment.wall.milliseconds;
            if (request.retention_time_ms >= 0)
                offset.expire_timestamp = moment.wall.milliseconds + request.retention_time_ms;
            offset.topic_id = topic.topic_id;
            offset.order = ++last_order_;
            // A group that nobody joined lives through its offsets.
            if (!group) group = find_or_create(request.group_id, moment);
            effects->records.push_back(offset_commit_record(
                request.group_id, topic.name, partition.partition_index, offset_value(offset)));
            group->offsets.set(topic.name, partition.partition_index, std::move(offset));
        }
    }
    return response;
}

ErrorCode Shard::check_commit_in_transaction(const wire::TxnOffsetCommitRequest& request,
                                             Group* group, Moment moment) {
    if (!group) return request.generation_id >= 0 ? ErrorCode::illegal_generation : ErrorCode::none;
    // Producers of before KIP-447 do not say which member they write for.
    const bool names_member = request.generation_id >= 0 || !request.member_id.empty() ||
                              request.group_instance_id.has_value();
    if (!names_member) return ErrorCode::none;
    if (!group->consumer) {
        return group->classic.commit(request.member_id, request.group_instance_id,
                                     request.generation_id, moment, true);
    }
    constexpr int with_epochs = 9;  // As the version of OffsetCommit that knows them.
    bool former = false;
    ErrorCode error = group->consumer->check_commit(request.member_id, request.generation_id,
                                                    with_epochs, &former);
    if (former) {
        error =
            check_former(*group->consumer, request.member_id, request.generation_id, request.topics,
                         settings_->offset_metadata_max_bytes, [&](const auto& topic) {
                             const auto known = image_->topic(topic.name);
                             return known ? known->id : TopicId();
                         });
    }
    return error == ErrorCode::stale_member_epoch ? ErrorCode::illegal_generation : error;
}

wire::TxnOffsetCommitResponse Shard::commit_in_transaction(
    const wire::TxnOffsetCommitRequest& request, Moment moment, Effects* effects) {
    wire::TxnOffsetCommitResponse response;
    Group* group = find(request.group_id);
    const ErrorCode refusal = check_commit_in_transaction(request, group, moment);
    for (const auto& topic : request.topics) {
        auto& answered_topic = response.topics.emplace_back();
        answered_topic.name = topic.name;
        const auto known = image_ ? image_->topic(topic.name) : nullptr;
        for (const auto& partition : topic.partitions) {
            auto& answered = answered_topic.partitions.emplace_back();
            answered.partition_index = partition.partition_index;
            answered.error_code = refusal;
            if (refusal != ErrorCode::none) continue;
            if (is_too_long(partition.committed_metadata, settings_->offset_metadata_max_bytes)) {
                answered.error_code = ErrorCode::offset_metadata_too_large;
                continue;
            }
            CommittedOffset offset;
            offset.metadata = partition.committed_metadata.value_or("");
            offset.offset = partition.committed_offset;
            offset.leader_epoch = partition.committed_leader_epoch;
            offset.commit_timestamp = moment.wall.milliseconds;
            if (known) offset.topic_id = known->id;
            offset.order = ++last_order_;
            if (!group) group = find_or_create(request.group_id, moment);
            effects->records.push_back(offset_commit_record(
                request.group_id, topic.name, partition.partition_index, offset_value(offset)));
            if (SABOTAGED("positions-count-at-once"))
                group->offsets.set(topic.name, partition.partition_index, offset);
            group->pending[request.producer_id].set(topic.name, partition.partition_index,
                                                    std::move(offset));
            transactions_[request.producer_id].insert(request.group_id);
        }
    }
    return response;
}

void Shard::end_transaction(ProducerId producer, bool commit) {
    auto ended = transactions_.extract(producer);
    if (!ended) return;
    for (const std::string& id : ended.mapped()) {
        Group* group = find(id);
        if (!group) continue;
        auto pending = group->pending.extract(producer);
        if (pending && commit) {
            for (const auto& [topic, partitions] : pending.mapped().topics()) {
                for (const auto& [index, offset] : partitions) {
                    // What was committed outside of the transaction since then is newer.
                    const CommittedOffset* known = group->offsets.find(topic, index);
                    if (!known || known->order < offset.order)
                        group->offsets.set(topic, index, offset);
                }
            }
        }
        const bool had_nothing_else = group->offsets.empty() && group->pending.empty() &&
                                      !group->has_record && !group->consumer;
        if (had_nothing_else && group->classic.is_empty() &&
            group->classic.deadline() == Instant::never())
            remove(id);
    }
}

void Shard::remove_pending(Group* group, const std::string& topic, PartitionIndex partition) {
    for (auto& [producer, pending] : group->pending) pending.remove(topic, partition);
    std::erase_if(group->pending, [](const auto& each) { return each.second.empty(); });
}

bool Shard::has_pending(const Group& group, const std::string& topic, PartitionIndex partition) {
    return std::any_of(group.pending.begin(), group.pending.end(), [&](const auto& each) {
        return each.second.find(topic, partition) != nullptr;
    });
}

wire::OffsetFetchResponse::OffsetFetchResponseGroup Shard::fetch(
    const wire::OffsetFetchRequest::OffsetFetchRequestGroup& request, bool require_stable) const {
    using Response = wire::OffsetFetchResponse;
    Response::OffsetFetchResponseGroup response;
    response.group_id = request.group_id;
    // A group that does not exist has committed nothing, whoever asks.
    const Group* group = find(request.group_id);
    if (group && group->consumer)
        response.error_code = group->consumer->check_fetch(request.member_id, request.member_epoch);
    if (response.error_code != ErrorCode::none) return response;
    const auto answer = [&](const std::string& topic, PartitionIndex index,
                            const CommittedOffset* offset) {
        Response::OffsetFetchResponsePartitions answered;
        answered.partition_index = index;
        if (require_stable && group && has_pending(*group, topic, index)) {
            answered.error_code = ErrorCode::unstable_offset_commit;
            offset = nullptr;
        }
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
                topic.partitions.push_back(answer(name, index, &offset));
        }
        return response;
    }
    for (const auto& asked : *request.topics) {
        auto& topic = response.topics.emplace_back();
        topic.name = asked.name;
        topic.topic_id = asked.topic_id;
        for (const PartitionIndex index : asked.partition_indexes) {
            const auto* offset = group ? group->offsets.find(asked.name, index) : nullptr;
            // It was committed for a topic of before that had this name.
            const bool of_another = offset && !asked.topic_id.value().is_zero() &&
                                    !offset->topic_id.value().is_zero() &&
                                    offset->topic_id != asked.topic_id;
            topic.partitions.push_back(answer(asked.name, index, of_another ? nullptr : offset));
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
            } else if (group->offsets.find(topic.name, partition.partition_index) ||
                       has_pending(*group, topic.name, partition.partition_index)) {
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
    remove_pending(group, topic, partition);
}

void Shard::topic_deleted(const std::string& topic, TopicId id, Effects* effects) {
    for (auto& [group_id, group] : groups_) {
        std::set<PartitionIndex> gone;
        const auto look = [&](const Offsets& offsets) {
            const auto found = offsets.topics().find(topic);
            if (found == offsets.topics().end()) return;
            for (const auto& [index, offset] : found->second) {
                // A topic of the same name may have come since.
                if (offset.topic_id == id || offset.topic_id.value().is_zero()) gone.insert(index);
            }
        };
        look(group->offsets);
        for (const auto& [producer, pending] : group->pending) look(pending);
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
                if (due && !has_pending(*group, topic, index)) expired.emplace_back(topic, index);
            }
        }
        for (const auto& [topic, index] : expired)
            remove_offset(id, group.get(), topic, index, effects);
        // An id that was given keeps the group: its member is about to come.
        if (group->offsets.empty() && group->pending.empty() && is_empty(*group) &&
            classic.deadline() == Instant::never())
            finished.push_back(id);
    }
    for (const std::string& id : finished) remove_group(id, effects);
}

}  // namespace pabal::group
