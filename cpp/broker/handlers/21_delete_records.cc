// DeleteRecords (KIP-107): raises the log start offset; -1 stands for the high watermark. The new
// log start offset survives a loss of power before it is told, on every replica that lives.
#include "broker/dispatch.h"
#include "runtime/partitions.h"
#include "wire/delete_records.h"

namespace pabal::broker {

io::Task<wire::DeleteRecordsResponse> handle_delete_records(Context* context,
                                                            RequestContext* request,
                                                            wire::DeleteRecordsRequest message) {
    wire::DeleteRecordsResponse response;
    struct Awaited {
        std::shared_ptr<runtime::Partition> partition;
        Offset offset;
        std::size_t topic;
        std::size_t index;
    };
    std::vector<Awaited> awaited;
    response.topics.reserve(message.topics.size());
    for (const auto& asked : message.topics) {
        auto& answered = response.topics.emplace_back();
        answered.name = asked.name;
        const auto* topic = context->partitions.topic(asked.name);
        for (const auto& wish : asked.partitions) {
            auto& result = answered.partitions.emplace_back();
            result.partition_index = wish.partition_index;
            result.low_watermark = Offset(-1);
            auto* partition = topic ? topic->partition(wish.partition_index) : nullptr;
            if (!partition) {
                const bool exists = topic && topic->image->partition(wish.partition_index);
                result.error_code = exists ? ErrorCode::not_leader_or_follower
                                           : ErrorCode::unknown_topic_or_partition;
                continue;
            }
            const auto low_watermark = partition->delete_records(wish.offset);
            if (!low_watermark.ok()) {
                result.error_code = low_watermark.error().code;
                continue;
            }
            result.low_watermark = *low_watermark;
            awaited.push_back({partition->shared_from_this(), *low_watermark,
                               response.topics.size() - 1, answered.partitions.size() - 1});
        }
    }
    if (!awaited.empty()) {
        const auto synced = co_await context->partitions.checkpoints_synced();
        if (!synced.ok()) {
            for (auto& topic : response.topics) {
                for (auto& result : topic.partitions) {
                    if (result.error_code != ErrorCode::none) continue;
                    result.error_code = ErrorCode::kafka_storage_error;
                    result.low_watermark = Offset(-1);
                }
            }
        }
    }
    const auto deadline =
        context->clock.now() + Duration::milliseconds(std::max(message.timeout_ms, 0));
    for (const auto& each : awaited) {
        const auto error = co_await each.partition->deleted_everywhere(each.offset, deadline);
        auto& result = response.topics[each.topic].partitions[each.index];
        if (result.error_code != ErrorCode::none) continue;
        result.error_code = error;
        result.low_watermark =
            error == ErrorCode::none ? each.partition->low_watermark() : Offset(-1);
    }
    for (const auto& topic : response.topics) {
        for (const auto& result : topic.partitions) request->failed(result.error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
