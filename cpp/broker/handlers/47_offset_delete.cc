// OffsetDelete (KIP-496): forgets how far a group has read of partitions that it does not read now.
#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "runtime/group_coordinator.h"
#include "wire/offset_delete.h"

namespace pabal::broker {

io::Task<wire::OffsetDeleteResponse> handle_offset_delete(Context* context, RequestContext* request,
                                                          wire::OffsetDeleteRequest message) {
    wire::OffsetDeleteResponse response;
    if (message.group_id.empty()) {
        response.error_code = ErrorCode::invalid_group_id;
        co_return response;
    }
    // Of topics that are gone the offsets are gone, too.
    wire::OffsetDeleteResponse refused;
    auto image = context->image();
    std::erase_if(message.topics, [&](const auto& asked) {
        if (image->topic(asked.name)) return false;
        auto& topic = refused.topics.emplace_back();
        topic.name = asked.name;
        for (const auto& partition : asked.partitions) {
            topic.partitions.push_back(
                {partition.partition_index, ErrorCode::unknown_topic_or_partition});
        }
        return true;
    });
    image.reset();
    response = co_await context->groups.delete_offsets(std::move(message));
    if (response.error_code == ErrorCode::none) {
        for (auto& topic : refused.topics) response.topics.push_back(std::move(topic));
    }
    for (const auto& topic : response.topics) {
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
