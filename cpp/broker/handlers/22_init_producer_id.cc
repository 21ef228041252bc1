// InitProducerId: an id and epoch of its own for an idempotent producer, and for a transactional
// one the next epoch of its transactional id, which fences whoever had the one before (KIP-98).
//
// 3     what the producer had before, to go on after an error (KIP-360)
// 4     PRODUCER_FENCED (KIP-588); older clients know INVALID_PRODUCER_EPOCH for it · 5 (KIP-890)
//
// What the one before has left open is aborted first; the answer waits a second for that, where
// Kafka's client is told to come again.
#include "broker/dispatch.h"
#include "broker/producer_ids.h"
#include "runtime/transaction_coordinator.h"
#include "wire/init_producer_id.h"

namespace pabal::broker {
namespace {

constexpr int first_version_with_fenced = 4;

}  // namespace

io::Task<wire::InitProducerIdResponse> handle_init_producer_id(
    Context* context, RequestContext* request, wire::InitProducerIdRequest message) {
    wire::InitProducerIdResponse response;
    response.producer_epoch = no_producer_epoch;
    bool has_id = message.producer_id != no_producer_id;
    bool has_epoch = message.producer_epoch != no_producer_epoch;
    if (has_id != has_epoch) {
        response.error_code = ErrorCode::invalid_request;
        co_return response;
    }
    if (message.transactional_id) {
        if (message.transactional_id->empty()) {
            response.error_code = ErrorCode::invalid_request;
            co_return response;
        }
        response = co_await context->transactions->init_producer_id(std::move(message));
        if (response.error_code == ErrorCode::producer_fenced &&
            request->version < first_version_with_fenced)
            response.error_code = ErrorCode::invalid_producer_epoch;
        co_return response;
    }
    Instant deadline = context->clock.now() + Duration::seconds(30);
    Result<ProducerId> id = co_await context->producer_ids.next(deadline);
    if (id.ok()) {
        response.producer_id = *id;
        response.producer_epoch = ProducerEpoch(0);
    } else {
        response.error_code = id.error().code;
    }
    co_return response;
}

}  // namespace pabal::broker
