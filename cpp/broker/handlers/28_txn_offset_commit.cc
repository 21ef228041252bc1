// TxnOffsetCommit: how far a group has read, as a part of a transaction: it counts when that is
// committed (KIP-98).
//
// 2     leader epochs (KIP-320) · 3 the member for which is written (KIP-447)
// 4     TRANSACTION_ABORTABLE · 5 the group's partition is added to the transaction by this
// (KIP-890)
//
// Topics and partitions that do not exist are refused one by one; the others go to the coordinator,
// once it is known that its partition takes part in the transaction.
#include <utility>

#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "runtime/group_coordinator.h"
#include "runtime/transaction_coordinator.h"
#include "wire/txn_offset_commit.h"

namespace pabal::broker {
namespace {

using Request = wire::TxnOffsetCommitRequest;
using Response = wire::TxnOffsetCommitResponse;

constexpr int first_version_that_adds = 5;
constexpr int first_version_with_abortable = 4;
constexpr int first_version_with_loading = 2;

// Leaves in `message` what exists; answers everything, what is refused with its error.
Response refuse_missing(Request* message, const metadata::ClusterImage& image) {
    Response response;
    for (auto& asked : message->topics) {
        const auto topic = image.topic(asked.name);
        auto& answered = response.topics.emplace_back();
        answered.name = asked.name;
        for (const auto& partition : asked.partitions) {
            const bool exists = topic && topic->partition(partition.partition_index);
            answered.partitions.push_back(
                {partition.partition_index,
                 exists ? ErrorCode::none : ErrorCode::unknown_topic_or_partition});
        }
        std::erase_if(asked.partitions, [&](const auto& partition) {
            return !topic || !topic->partition(partition.partition_index);
        });
    }
    std::erase_if(message->topics, [](const auto& asked) { return asked.partitions.empty(); });
    return response;
}

// What clients of this version know to deal with.
ErrorCode told(ErrorCode error, int version) {
    if (error == ErrorCode::transaction_abortable && version < first_version_with_abortable)
        return ErrorCode::invalid_txn_state;
    // Who cannot be asked is told a code that lets older clients try again.
    if (error == ErrorCode::network_exception) error = ErrorCode::coordinator_load_in_progress;
    if (error == ErrorCode::coordinator_load_in_progress && version < first_version_with_loading)
        return ErrorCode::coordinator_not_available;
    return error;
}

}  // namespace

io::Task<Response> handle_txn_offset_commit(Context* context, RequestContext* request,
                                            Request message) {
    const int version = request->version;
    auto image = context->image();
    Response response = refuse_missing(&message, *image);
    image.reset();
    if (message.topics.empty()) co_return response;

    Response committed;
    const runtime::CoordinatorLog::Producer producer{message.producer_id, message.producer_epoch};
    std::string group = message.group_id;
    auto place = co_await context->groups.participant(std::move(group), producer);
    ErrorCode error = message.group_id.empty() ? ErrorCode::invalid_group_id : place.error;
    const bool adds = version >= first_version_that_adds;
    if (error == ErrorCode::none && !place.open && (adds || context->transactions->verifies())) {
        const std::string topic(runtime::group_topic);
        transaction::Partitions partitions;
        partitions[topic].insert(place.partition);
        transaction::Producer asked{message.transactional_id, message.producer_id,
                                    message.producer_epoch};
        auto errors = co_await context->transactions->take_part(std::move(asked),
                                                                std::move(partitions), !adds);
        error = errors.at({topic, place.partition});
    }
    if (error == ErrorCode::none) {
        committed =
            co_await context->groups.commit_in_transaction(std::move(message), place.markers);
    }
    std::size_t next = 0;
    for (auto& topic : response.topics) {
        std::size_t at = 0;
        for (auto& partition : topic.partitions) {
            if (partition.error_code == ErrorCode::none) {
                const ErrorCode found = error != ErrorCode::none
                                            ? error
                                            : committed.topics[next].partitions[at++].error_code;
                partition.error_code = told(found, version);
            }
            request->failed(partition.error_code);
        }
        if (at > 0) ++next;
    }
    co_return response;
}

}  // namespace pabal::broker
