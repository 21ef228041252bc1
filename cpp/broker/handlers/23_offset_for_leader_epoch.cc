// OffsetForLeaderEpoch (KIP-101, KIP-279, KIP-320): where the log of a leader epoch ends, for
// readers that look for the place where their past and ours part. 3 replica id, 4 flexible.
#include "broker/dispatch.h"
#include "runtime/partitions.h"
#include "wire/offset_for_leader_epoch.h"

namespace pabal::broker {

io::Task<wire::OffsetForLeaderEpochResponse> handle_offset_for_leader_epoch(
    Context* context, RequestContext* request, wire::OffsetForLeaderEpochRequest message) {
    wire::OffsetForLeaderEpochResponse response;
    response.topics.reserve(message.topics.size());
    for (const auto& asked : message.topics) {
        auto& answered = response.topics.emplace_back();
        answered.topic = asked.topic;
        const auto* topic = context->partitions.topic(asked.topic);
        for (const auto& wish : asked.partitions) {
            auto& result = answered.partitions.emplace_back();
            result.partition = wish.partition;
            const auto* partition = topic ? topic->partition(wish.partition) : nullptr;
            if (!partition) {
                const bool exists = topic && topic->image->partition(wish.partition);
                result.error_code = exists ? ErrorCode::not_leader_or_follower
                                           : ErrorCode::unknown_topic_or_partition;
            } else {
                result.error_code = partition->check_leads(wish.current_leader_epoch);
            }
            if (result.error_code == ErrorCode::none) {
                if (const auto end = partition->end_of_epoch(wish.leader_epoch)) {
                    result.leader_epoch = end->epoch;
                    result.end_offset = end->end_offset;
                }
            }
            request->failed(result.error_code);
        }
    }
    co_return response;
}

}  // namespace pabal::broker
