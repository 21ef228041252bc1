// AllocateProducerIds: a block of producer ids that no other broker has (KIP-730).
#include "broker/control_calls.h"
#include "broker/dispatch.h"
#include "wire/allocate_producer_ids.h"

namespace pabal::broker {

io::Task<wire::AllocateProducerIdsResponse> handle_allocate_producer_ids(
    Context* context, RequestContext* request, wire::AllocateProducerIdsRequest message) {
    const std::int32_t timeout_ms = 0;
    auto response = co_await ask_controller<wire::AllocateProducerIdsResponse>(
        context, request, std::move(message), timeout_ms);
    co_return response;
}

}  // namespace pabal::broker
