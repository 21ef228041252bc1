// What the messages of the quorum have in common on the wire: they could speak of many topics, and
// all speak of partition 0 of one.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "base/uuid.h"

namespace pabal::runtime {

inline constexpr std::string_view metadata_topic = "__cluster_metadata";
// The topic id under which Kafka knows the metadata log.
inline constexpr std::string_view metadata_topic_id = "AAAAAAAAAAAAAAAAAAAAAQ";

// The one partition that a message of the quorum may name; null if it names anything else.
template <class Message>
auto only_partition(const Message& message) -> decltype(&message.topics[0].partitions[0]) {
    if (message.topics.size() != 1 || message.topics[0].partitions.size() != 1) return nullptr;
    const auto& topic = message.topics[0];
    if constexpr (requires { topic.topic_name; }) {
        if (topic.topic_name != metadata_topic) return nullptr;
    } else {
        if (topic.name != metadata_topic) return nullptr;
    }
    return &topic.partitions[0];
}

}  // namespace pabal::runtime
