// EndTxn: commits or aborts a transaction (KIP-98). The answer leaves when the decision is
// committed; the partitions hear of it afterwards.
//
// 2     PRODUCER_FENCED (KIP-588) · 4 TRANSACTION_ABORTABLE (KIP-890)
// 5     the epoch, perhaps the id too, with which the producer goes on (KIP-890)
#include "broker/dispatch.h"
#include "runtime/transaction_coordinator.h"
#include "wire/end_txn.h"

namespace pabal::broker {
namespace {

constexpr int first_version_with_fenced = 2;

}  // namespace

io::Task<wire::EndTxnResponse> handle_end_txn(Context* context, RequestContext* request,
                                              wire::EndTxnRequest message) {
    wire::EndTxnResponse response =
        co_await context->transactions->end(std::move(message), request->version);
    if (response.error_code == ErrorCode::producer_fenced &&
        request->version < first_version_with_fenced)
        response.error_code = ErrorCode::invalid_producer_epoch;
    co_return response;
}

}  // namespace pabal::broker
