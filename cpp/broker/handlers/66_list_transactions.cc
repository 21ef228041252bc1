// ListTransactions: the transactional ids that this broker coordinates (KIP-664).
//
// 1     a filter of how long they are open (KIP-994) · 2 a pattern of ids (KIP-1152)
#include "broker/dispatch.h"
#include "runtime/transaction_coordinator.h"
#include "wire/list_transactions.h"

namespace pabal::broker {

io::Task<wire::ListTransactionsResponse> handle_list_transactions(
    Context* context, RequestContext*, wire::ListTransactionsRequest message) {
    return context->transactions->list(std::move(message));
}

}  // namespace pabal::broker
