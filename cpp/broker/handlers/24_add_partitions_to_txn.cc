// AddPartitionsToTxn: partitions take part in a transaction from now on (KIP-98).
//
// 0-3   one transaction, of a client · 2 PRODUCER_FENCED (KIP-588) · 4 several, of brokers, which
//       may ask instead whether partitions take part (KIP-890) · 5 TRANSACTION_ABORTABLE
//
// While the transaction before is still ending the answer waits a second for that.
#include "broker/dispatch.h"
#include "metadata/cluster_image.h"
#include "runtime/transaction_coordinator.h"
#include "wire/add_partitions_to_txn.h"

namespace pabal::broker {
namespace {

using Request = wire::AddPartitionsToTxnRequest;
using Response = wire::AddPartitionsToTxnResponse;
using Errors = runtime::TransactionCoordinator::PartitionErrors;

constexpr int first_version_of_brokers = 4;
constexpr int first_version_with_fenced = 2;
// What a client adds itself belongs to a transaction of the older kind.
constexpr std::int16_t version_of_clients = 0;
constexpr std::int16_t version_of_brokers = 2;

transaction::Partitions partitions_of(const Request::AddPartitionsToTxnTransaction& asked) {
    transaction::Partitions partitions;
    for (const auto& topic : asked.topics)
        partitions[topic.name].insert(topic.partitions.begin(), topic.partitions.end());
    return partitions;
}

// None of them is added if one does not exist.
Errors missing(const transaction::Partitions& partitions, const metadata::ClusterImage& image) {
    Errors errors;
    bool any = false;
    for (const auto& [name, indexes] : partitions) {
        const auto topic = image.topic(name);
        for (const PartitionIndex index : indexes) {
            const bool exists = topic && topic->partition(index);
            any = any || !exists;
            errors[{name, index}] =
                exists ? ErrorCode::operation_not_attempted : ErrorCode::unknown_topic_or_partition;
        }
    }
    return any ? errors : Errors();
}

std::vector<Response::AddPartitionsToTxnTopicResult> results(const Errors& errors) {
    std::vector<Response::AddPartitionsToTxnTopicResult> topics;
    for (const auto& [partition, error] : errors) {
        if (topics.empty() || topics.back().name != partition.first)
            topics.emplace_back().name = partition.first;
        topics.back().results_by_partition.push_back({partition.second, error});
    }
    return topics;
}

}  // namespace

io::Task<Response> handle_add_partitions_to_txn(Context* context, RequestContext* request,
                                                Request message) {
    const bool of_client = request->version < first_version_of_brokers;
    if (of_client) {
        auto& only = message.transactions.emplace_back();
        only.transactional_id = std::move(message.v3_and_below_transactional_id);
        only.producer_id = message.v3_and_below_producer_id;
        only.producer_epoch = message.v3_and_below_producer_epoch;
        only.topics = std::move(message.v3_and_below_topics);
    }
    Response response;
    for (const auto& asked : message.transactions) {
        transaction::Partitions partitions = partitions_of(asked);
        const auto image = context->image();
        Errors errors = missing(partitions, *image);
        if (errors.empty()) {
            transaction::Producer producer{asked.transactional_id, asked.producer_id,
                                           asked.producer_epoch};
            const std::int16_t version = of_client ? version_of_clients : version_of_brokers;
            errors = co_await context->transactions->add_partitions(
                std::move(producer), std::move(partitions), asked.verify_only, version);
        }
        for (auto& [partition, error] : errors) {
            if (error == ErrorCode::producer_fenced && request->version < first_version_with_fenced)
                error = ErrorCode::invalid_producer_epoch;
            request->failed(error);
        }
        if (of_client) {
            response.results_by_topic_v3_and_below = results(errors);
        } else {
            auto& result = response.results_by_transaction.emplace_back();
            result.transactional_id = asked.transactional_id;
            result.topic_results = results(errors);
        }
    }
    co_return response;
}

}  // namespace pabal::broker
