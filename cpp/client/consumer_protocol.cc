#include "client/consumer_protocol.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/records/consumer_protocol_assignment.h"
#include "wire/records/consumer_protocol_subscription.h"
#include "wire/writer.h"

namespace pabal::client {
namespace {

using wire::ConsumerProtocolAssignment;
using wire::ConsumerProtocolSubscription;

constexpr std::array<std::string_view, 4> names = {"range", "roundrobin", "sticky",
                                                   "cooperative-sticky"};

Bytes taken(wire::Writer* writer) {
    auto bytes = writer->take().flatten();
    ASSERT(bytes, "what members tell each other holds no range of a file");
    return std::move(*bytes);
}

template <class Topic>
std::vector<Topic> by_topic(std::vector<NamedPartition> partitions) {
    std::sort(partitions.begin(), partitions.end());
    std::vector<Topic> topics;
    for (const auto& partition : partitions) {
        if (topics.empty() || topics.back().topic != partition.topic) {
            topics.emplace_back().topic = partition.topic;
        }
        topics.back().partitions.push_back(partition.partition);
    }
    return topics;
}

template <class Topic>
std::vector<NamedPartition> flat(const std::vector<Topic>& topics) {
    std::vector<NamedPartition> partitions;
    for (const auto& topic : topics) {
        for (const PartitionIndex partition : topic.partitions) {
            partitions.push_back({topic.topic, partition});
        }
    }
    std::sort(partitions.begin(), partitions.end());
    partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
    return partitions;
}

// A version, and what follows it; later versions only append.
template <class Message>
std::optional<Message> decoded(const Bytes& bytes) {
    wire::Reader reader(bytes);
    const int version = reader.int16("version");
    Message message;
    if (!reader.ok() || version < Message::min_version) return std::nullopt;
    const Status status = decode(reader, message, std::min<int>(version, Message::max_version));
    if (!status.ok()) return std::nullopt;
    return message;
}

// The user data of the sticky assignor: what the member was given, and in which generation.
Bytes sticky_data(const std::vector<NamedPartition>& before, std::int32_t generation) {
    const auto topics = by_topic<ConsumerProtocolAssignment::TopicPartition>(before);
    wire::Writer writer;
    writer.array_count(topics.size());
    for (const auto& topic : topics) {
        writer.string(topic.topic);
        writer.array(topic.partitions);
    }
    writer.int32(generation);
    return taken(&writer);
}

void take_sticky_data(const Bytes& bytes, MemberSubscription* member) {
    constexpr std::size_t least_bytes = 6;  // The lengths of a name and an array.
    wire::Reader reader(bytes);
    const std::int64_t count = reader.array_count(
        least_bytes, sizeof(ConsumerProtocolAssignment::TopicPartition), "topics", false);
    std::vector<ConsumerProtocolAssignment::TopicPartition> topics;
    for (std::int64_t index = 0; index < count && reader.ok(); ++index) {
        auto& topic = topics.emplace_back();
        reader.string(topic.topic, "topic");
        reader.array(topic.partitions, "partitions");
    }
    if (!reader.ok()) return;
    member->owned = flat(topics);
    // The first version of it had no generation.
    member->generation =
        reader.remaining() >= sizeof(std::int32_t) ? reader.int32("generation") : -1;
}

}  // namespace

std::string_view name_of(Assignor assignor) {
    return names[static_cast<std::size_t>(assignor)];
}

std::optional<Assignor> assignor_named(std::string_view name) {
    for (std::size_t index = 0; index < names.size(); ++index) {
        if (names[index] == name) return static_cast<Assignor>(index);
    }
    return std::nullopt;
}

Bytes encode_subscription(Assignor assignor, const std::vector<std::string>& topics,
                          const std::vector<NamedPartition>& owned,
                          const std::vector<NamedPartition>& before, std::int32_t generation,
                          const std::string& rack) {
    ConsumerProtocolSubscription subscription;
    subscription.topics = topics;
    std::sort(subscription.topics.begin(), subscription.topics.end());
    if (assignor == Assignor::sticky && !before.empty()) {
        subscription.user_data = sticky_data(before, generation);
    } else if (assignor == Assignor::cooperative_sticky && generation >= 0) {
        wire::Writer writer;
        writer.int32(generation);
        subscription.user_data = taken(&writer);
    }
    subscription.owned_partitions = by_topic<ConsumerProtocolSubscription::TopicPartition>(owned);
    subscription.generation_id = generation;
    if (!rack.empty()) subscription.rack_id = rack;
    constexpr int version = ConsumerProtocolSubscription::max_version;
    wire::Writer writer;
    writer.int16(version);
    encode(writer, subscription, version);
    return taken(&writer);
}

MemberSubscription decode_subscription(Assignor assignor, const Bytes& bytes) {
    MemberSubscription member;
    auto subscription = decoded<ConsumerProtocolSubscription>(bytes);
    if (!subscription) return member;
    member.topics = std::move(subscription->topics);
    member.owned = flat(subscription->owned_partitions);
    member.generation = subscription->generation_id;
    if (!subscription->user_data) return member;
    if (assignor == Assignor::sticky) {
        take_sticky_data(*subscription->user_data, &member);
    } else if (assignor == Assignor::cooperative_sticky && member.generation < 0) {
        wire::Reader reader(*subscription->user_data);
        const std::int32_t generation = reader.int32("generation");
        if (reader.ok()) member.generation = generation;
    }
    return member;
}

Bytes encode_assignment(std::vector<NamedPartition> partitions) {
    ConsumerProtocolAssignment assignment;
    assignment.assigned_partitions =
        by_topic<ConsumerProtocolAssignment::TopicPartition>(std::move(partitions));
    constexpr int version = ConsumerProtocolAssignment::max_version;
    wire::Writer writer;
    writer.int16(version);
    encode(writer, assignment, version);
    return taken(&writer);
}

std::vector<NamedPartition> decode_assignment(const Bytes& bytes) {
    const auto assignment = decoded<ConsumerProtocolAssignment>(bytes);
    return assignment ? flat(assignment->assigned_partitions) : std::vector<NamedPartition>();
}

}  // namespace pabal::client
