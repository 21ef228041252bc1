// DescribeTransactions: how far the transactions of some transactional ids are (KIP-664).
#include "broker/dispatch.h"
#include "runtime/transaction_coordinator.h"
#include "wire/describe_transactions.h"

namespace pabal::broker {

io::Task<wire::DescribeTransactionsResponse> handle_describe_transactions(
    Context* context, RequestContext* request, wire::DescribeTransactionsRequest message) {
    wire::DescribeTransactionsResponse response;
    for (std::string& id : message.transactional_ids) {
        auto described = co_await context->transactions->describe(std::move(id));
        request->failed(described.error_code);
        response.transaction_states.push_back(std::move(described));
    }
    co_return response;
}

}  // namespace pabal::broker
