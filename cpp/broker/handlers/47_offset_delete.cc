// OffsetDelete (KIP-496): forgets how far a group has read of partitions that it does not read now.
#include <algorithm>
#include <iterator>

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
    // Of topics and partitions that are gone the offsets are gone, too.
    wire::OffsetDeleteResponse refused;
    auto image = context->image();
    for (auto& asked : message.topics) {
        const auto known = image->topic(asked.name);
        auto& topic = refused.topics.emplace_back();
        topic.name = asked.name;
        std::erase_if(asked.partitions, [&](const auto& partition) {
            if (known && known->partition(partition.partition_index)) return false;
            topic.partitions.push_back(
                {partition.partition_index, ErrorCode::unknown_topic_or_partition});
            return true;
        });
    }
    std::erase_if(message.topics, [](const auto& asked) { return asked.partitions.empty(); });
    image.reset();
    response = co_await context->groups.delete_offsets(std::move(message));
    if (response.error_code == ErrorCode::none) {
        for (auto& topic : refused.topics) {
            if (topic.partitions.empty()) continue;
            auto answered = std::find_if(response.topics.begin(), response.topics.end(),
                                         [&](const auto& each) { return each.name == topic.name; });
            if (answered == response.topics.end()) {
                response.topics.push_back(std::move(topic));
            } else {
                std::move(topic.partitions.begin(), topic.partitions.end(),
                          std::back_inserter(answered->partitions));
            }
        }
    }
    for (const auto& topic : response.topics) {
        for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    }
    co_return response;
}

}  // namespace pabal::broker
