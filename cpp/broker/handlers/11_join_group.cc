// JoinGroup: enters a classic group; answered when the group's next generation is complete.
//
// 1 a rebalance time-out of its own (KIP-62) · 4 new members are told their id first (KIP-394) ·
// 5 static members (KIP-345) · 7 protocol type and name in the answer (KIP-559) · 8 a reason
// (KIP-800) · 9 the leader may be told to keep the assignment (KIP-814)
#include "broker/dispatch.h"
#include "runtime/group_coordinator.h"
#include "wire/join_group.h"

namespace pabal::broker {
namespace {

ErrorCode refusal(const wire::JoinGroupRequest& message, const group::Settings& settings) {
    if (message.group_id.empty()) return ErrorCode::invalid_group_id;
    if (message.session_timeout_ms < settings.min_session_timeout_ms ||
        message.session_timeout_ms > settings.max_session_timeout_ms)
        return ErrorCode::invalid_session_timeout;
    return ErrorCode::none;
}

}  // namespace

io::Task<wire::JoinGroupResponse> handle_join_group(Context* context, RequestContext* request,
                                                    wire::JoinGroupRequest message) {
    const int version = request->version;
    wire::JoinGroupResponse response;
    response.error_code = refusal(message, context->groups.settings());
    if (response.error_code != ErrorCode::none) {
        response.member_id = std::move(message.member_id);
    } else {
        group::Joiner joiner;
        joiner.client_id = request->client_id;
        joiner.client_host = "/" + request->peer->host;
        joiner.member_id_required = version >= 4;
        joiner.may_skip_assignment = version >= 9;
        response = co_await context->groups.join(std::move(message), std::move(joiner));
    }
    if (version < 7 && !response.protocol_name) response.protocol_name = "";
    co_return response;
}

}  // namespace pabal::broker
