// DescribeProducers: who writes to partitions of this broker, and since when transactions are open
// there (KIP-664).
#include "broker/dispatch.h"
#include "runtime/partitions.h"
#include "wire/describe_producers.h"

namespace pabal::broker {

io::Task<wire::DescribeProducersResponse> handle_describe_producers(
    Context* context, RequestContext* request, wire::DescribeProducersRequest message) {
    wire::DescribeProducersResponse response;
    for (const auto& topic : message.topics) {
        auto& described_topic = response.topics.emplace_back();
        described_topic.name = topic.name;
        const auto* known = context->partitions.topic(topic.name);
        for (const PartitionIndex index : topic.partition_indexes) {
            auto& described = described_topic.partitions.emplace_back();
            described.partition_index = index;
            const auto* partition = known ? known->partition(index) : nullptr;
            if (partition) {
                described.error_code = partition->check_leads(no_leader_epoch);
            } else {
                const bool exists = known && known->image->partition(index);
                described.error_code = exists ? ErrorCode::not_leader_or_follower
                                              : ErrorCode::unknown_topic_or_partition;
            }
            request->failed(described.error_code);
            if (described.error_code != ErrorCode::none) continue;
            for (const auto& producer : partition->log()->active_producers()) {
                auto& each = described.active_producers.emplace_back();
                each.producer_id = producer.producer;
                each.producer_epoch = producer.epoch.value();
                each.last_sequence = producer.last_sequence;
                each.last_timestamp = producer.last_timestamp;
                each.coordinator_epoch = producer.coordinator_epoch;
                each.current_txn_start_offset = producer.transaction_start.value_or(Offset(-1));
            }
        }
    }
    co_return response;
}

}  // namespace pabal::broker
