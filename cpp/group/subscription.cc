#include "group/subscription.h"

#include <algorithm>

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/writer.h"

namespace pabal::group {
namespace {

template <class Message>
std::optional<Message> parse(const Bytes& bytes) {
    wire::Reader reader(bytes);
    const int version = reader.int16("version");
    if (!reader.ok() || version < Message::min_version) return std::nullopt;
    Message message;
    // Later versions only add fields behind those that we know.
    const auto decoded = decode(reader, message, std::min<int>(version, Message::max_version));
    if (!decoded.ok()) return std::nullopt;
    return message;
}

}  // namespace

std::optional<wire::ConsumerProtocolSubscription> parse_subscription(const Bytes& metadata) {
    return parse<wire::ConsumerProtocolSubscription>(metadata);
}

std::optional<std::vector<std::string>> subscribed_topics(const Bytes& metadata) {
    auto subscription = parse_subscription(metadata);
    if (!subscription) return std::nullopt;
    return std::move(subscription->topics);
}

std::optional<wire::ConsumerProtocolAssignment> parse_assignment(const Bytes& assignment) {
    if (assignment.empty()) return wire::ConsumerProtocolAssignment();
    return parse<wire::ConsumerProtocolAssignment>(assignment);
}

Bytes encode_assignment(const wire::ConsumerProtocolAssignment& assignment, const Bytes& metadata) {
    using Assignment = wire::ConsumerProtocolAssignment;
    wire::Reader reader(metadata);
    const int spoken = reader.int16("version");
    const int version = reader.ok() ? std::clamp<int>(spoken, 0, Assignment::max_version) : 0;
    wire::Writer writer;
    writer.int16(static_cast<std::int16_t>(version));
    encode(writer, assignment, version);
    auto bytes = writer.take().flatten();
    ASSERT(bytes, "an assignment holds no range of a file");
    return std::move(*bytes);
}

}  // namespace pabal::group
