// OffsetCommit: stores how far a group has read.
//
// 2-4 a retention time of its own · 5 (KIP-211) · 6 leader epochs (KIP-320) · 7 static members
// (KIP-345) · 9 member epochs (KIP-848) · 10 topic ids (KIP-848)
//
// Topics and partitions that do not exist are refused one by one; the others go to the coordinator.
#include <utility>

#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "runtime/group_coordinator.h"
#include "wire/offset_commit.h"

namespace pabal::broker {
namespace {

constexpr int first_version_with_ids = 10;

}  // namespace

io::Task<wire::OffsetCommitResponse> handle_offset_commit(Context* context, RequestContext* request,
                                                          wire::OffsetCommitRequest message) {
    wire::OffsetCommitResponse response;
    const auto topics = std::exchange(message.topics, {});
    wire::OffsetCommitRequest known = std::move(message);
    // Where each partition's answer stands: with the coordinator's, or here already.
    auto image = context->image();
    const bool by_id = request->version >= first_version_with_ids;
    known.topics.reserve(topics.size());
    for (const auto& asked : topics) {
        auto topic = by_id ? image->topic(asked.topic_id) : image->topic(asked.name);
        auto& answered = response.topics.emplace_back();
        answered.name = asked.name;
        answered.topic_id = asked.topic_id;
        wire::OffsetCommitRequest::OffsetCommitRequestTopic found;
        for (const auto& partition : asked.partitions) {
            ErrorCode error = ErrorCode::none;
            if (!topic) {
                error = by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition;
            } else if (!topic->partition(partition.partition_index)) {
                error = ErrorCode::unknown_topic_or_partition;
            }
            answered.partitions.push_back({partition.partition_index, error});
            if (error == ErrorCode::none) found.partitions.push_back(partition);
        }
        if (found.partitions.empty()) continue;
        found.name = topic->name;
        found.topic_id = topic->id;
        known.topics.push_back(std::move(found));
    }
    image.reset();
    if (!known.topics.empty()) {
        wire::OffsetCommitResponse committed =
            co_await context->groups.commit(std::move(known), request->version);
        std::size_t next = 0;
        for (auto& topic : response.topics) {
            std::size_t place = 0;
            for (auto& partition : topic.partitions) {
                if (partition.error_code != ErrorCode::none) continue;
                partition.error_code = committed.topics[next].partitions[place++].error_code;
            }
            if (place > 0) ++next;
        }
    }
    for (const auto& topic : response.topics) {
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
