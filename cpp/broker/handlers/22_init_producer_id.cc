// InitProducerId: an id and epoch of its own for an idempotent producer (KIP-98). What a producer
// had before (version 3, KIP-360) matters only together with a transactional id.
//
// Transactions are not served yet: a transactional id is refused.
#include "broker/dispatch.h"
#include "broker/producer_ids.h"
#include "wire/init_producer_id.h"

namespace pabal::broker {

io::Task<wire::InitProducerIdResponse> handle_init_producer_id(
    Context* context, RequestContext* request, wire::InitProducerIdRequest message) {
    wire::InitProducerIdResponse response;
    bool has_id = message.producer_id != no_producer_id;
    bool has_epoch = message.producer_epoch != no_producer_epoch;
    if (message.transactional_id || has_id != has_epoch) {
        if (message.transactional_id && !message.transactional_id->empty()) {
            context->log.info("refused a transactional producer: not served yet",
                              {{"transactional_id", *message.transactional_id},
                               {"peer", request->peer->address}});
        }
        response.error_code = ErrorCode::invalid_request;
        response.producer_epoch = no_producer_epoch;
        co_return response;
    }
    Instant deadline = context->clock.now() + Duration::seconds(30);
    Result<ProducerId> id = co_await context->producer_ids.next(deadline);
    if (id.ok()) {
        response.producer_id = *id;
    } else {
        response.error_code = id.error().code;
        response.producer_epoch = no_producer_epoch;
    }
    co_return response;
}

}  // namespace pabal::broker
