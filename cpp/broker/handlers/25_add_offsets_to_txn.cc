// AddOffsetsToTxn: the partition of a group's offsets takes part in a transaction from now on
// (KIP-98). From KIP-890 on that is found out with TxnOffsetCommit.
//
// 2     PRODUCER_FENCED (KIP-588) · 4 TRANSACTION_ABORTABLE (KIP-890)
#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "runtime/group_coordinator.h"
#include "runtime/transaction_coordinator.h"
#include "wire/add_offsets_to_txn.h"

namespace pabal::broker {
namespace {

constexpr int first_version_with_fenced = 2;

}  // namespace

io::Task<wire::AddOffsetsToTxnResponse> handle_add_offsets_to_txn(
    Context* context, RequestContext* request, wire::AddOffsetsToTxnRequest message) {
    wire::AddOffsetsToTxnResponse response;
    auto image = context->image();
    const auto topic = image->topic(runtime::group_topic);
    image.reset();
    if (!topic) {
        response.error_code = ErrorCode::coordinator_not_available;
        co_return response;
    }
    const std::string name(runtime::group_topic);
    const PartitionIndex index = runtime::coordinating_partition(
        message.group_id, static_cast<std::int32_t>(topic->partitions.size()));
    transaction::Partitions partitions;
    partitions[name].insert(index);
    transaction::Producer producer{std::move(message.transactional_id), message.producer_id,
                                   message.producer_epoch};
    auto errors = co_await context->transactions->add_partitions(
        std::move(producer), std::move(partitions), false, std::int16_t{0});
    response.error_code = errors.at({name, index});
    if (response.error_code == ErrorCode::producer_fenced &&
        request->version < first_version_with_fenced)
        response.error_code = ErrorCode::invalid_producer_epoch;
    co_return response;
}

}  // namespace pabal::broker
