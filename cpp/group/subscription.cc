#include "group/subscription.h"

#include <algorithm>

#include "wire/reader.h"
#include "wire/records/consumer_protocol_subscription.h"

namespace pabal::group {

std::optional<std::vector<std::string>> subscribed_topics(const Bytes& metadata) {
    using Subscription = wire::ConsumerProtocolSubscription;
    wire::Reader reader(metadata);
    const int version = reader.int16("version");
    if (!reader.ok() || version < Subscription::min_version) return std::nullopt;
    Subscription subscription;
    // Later versions only add fields behind those that we know.
    const auto decoded =
        decode(reader, subscription, std::min<int>(version, Subscription::max_version));
    if (!decoded.ok()) return std::nullopt;
    return std::move(subscription.topics);
}

}  // namespace pabal::group
