// WriteTxnMarkers: the coordinator of transactions, or an operator, tells partitions of this broker
// how transactions ended (KIP-98, KIP-664).
//
// 1     · 2 the version of the transaction, which tells a late marker from a new one (KIP-890)
#include "broker/dispatch.h"
#include "runtime/transaction_coordinator.h"
#include "wire/write_txn_markers.h"

namespace pabal::broker {

io::Task<wire::WriteTxnMarkersResponse> handle_write_txn_markers(
    Context* context, RequestContext* request, wire::WriteTxnMarkersRequest message) {
    wire::WriteTxnMarkersResponse response =
        co_await context->transactions->markers().write(std::move(message));
    for (const auto& marker : response.markers)
        for (const auto& topic : marker.topics)
            for (const auto& partition : topic.partitions) request->failed(partition.error_code);
    co_return response;
}

}  // namespace pabal::broker
