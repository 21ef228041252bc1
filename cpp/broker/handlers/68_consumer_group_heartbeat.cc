// ConsumerGroupHeartbeat (KIP-848): joins a group, stays in it, acknowledges assignments, leaves.
//
// 0 the coordinator may make up the member's id · 1 the client does (KIP-1082); subscriptions by
// regular expression
//
// Like a classic heartbeat, one that has no news is answered before the interval ends, when there
// is news, or when the client sends something else.
#include <algorithm>

#include "broker/dispatch.h"
#include "group/member_id.h"
#include "runtime/group_coordinator.h"
#include "wire/consumer_group_heartbeat.h"

namespace pabal::broker {
namespace {

using group::ConsumerGroup;

Error refusal(const wire::ConsumerGroupHeartbeatRequest& message, int version,
              const group::Settings& settings) {
    const auto invalid = [](std::string why) {
        return Error{ErrorCode::invalid_request, std::move(why)};
    };
    if (message.group_id.empty()) return invalid("GroupId can't be empty.");
    const bool joins = message.member_epoch == ConsumerGroup::join_epoch;
    if (message.member_id.empty() && (version > 0 || !joins))
        return invalid("MemberId can't be empty.");
    if (message.instance_id && message.instance_id->empty())
        return invalid("InstanceId can't be empty.");
    if (message.rack_id && message.rack_id->empty()) return invalid("RackId can't be empty.");
    if (joins) {
        if (message.rebalance_timeout_ms == -1)
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        if (!message.topic_partitions || !message.topic_partitions->empty())
            return invalid("TopicPartitions must be empty when (re-)joining.");
        if (!message.subscribed_topic_names && !message.subscribed_topic_regex)
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
                "(re-)joining.");
    }
    if (message.member_epoch == ConsumerGroup::leave_static_epoch && !message.instance_id)
        return invalid("InstanceId can't be null.");
    if (message.member_epoch < ConsumerGroup::leave_static_epoch)
        return invalid("MemberEpoch is invalid.");
    const auto& assignors = settings.consumer_assignors;
    if (message.server_assignor && std::find(assignors.begin(), assignors.end(),
                                             *message.server_assignor) == assignors.end()) {
        return Error{ErrorCode::unsupported_assignor,
                     "ServerAssignor " + *message.server_assignor + " is not supported."};
    }
    return Error{ErrorCode::none, ""};
}

}  // namespace

io::Task<wire::ConsumerGroupHeartbeatResponse> handle_consumer_group_heartbeat(
    Context* context, RequestContext* request, wire::ConsumerGroupHeartbeatRequest message) {
    wire::ConsumerGroupHeartbeatResponse response;
    Error refused = refusal(message, request->version, context->groups.settings());
    if (refused.code != ErrorCode::none) {
        response.error_code = refused.code;
        response.error_message = std::move(refused.message);
        co_return response;
    }
    if (message.member_id.empty())
        message.member_id = group::make_member_id(request->client_id, &context->random);
    group::Caller caller;
    caller.client_id = request->client_id;
    caller.client_host = "/" + request->peer->host;
    response = co_await context->groups.consumer_heartbeat(std::move(message), std::move(caller),
                                                           &request->parked);
    co_return response;
}

}  // namespace pabal::broker
