// Produce: appends one record batch to each of some partitions.
//
// 3     record batch v2, transactional id; 0 to 2 are refused (KIP-896), advertised for librdkafka
// 5     log start offset · 7 zstd (KIP-110) · 8 record errors (KIP-467)
// 10    current leader (KIP-951) · 11 TRANSACTION_ABORTABLE, 12 implicit AddPartitionsToTxn
//       (KIP-890) · 13 topic ids (KIP-516)
//
// Everything is appended before the handler first suspends; it suspends only if an acknowledgement
// has to wait, or if the first batch of a transaction comes to a partition: then the transaction's
// coordinator is asked whether the partition takes part, or, from version 12 on, to let it, and the
// connection's next request waits for the end of this one. A transaction that ends in this
// partition meanwhile makes the question void. Deviations: a partition that a request names twice
// gets both batches and two answers, where Kafka keeps the second only. A gap in a sequence is
// refused once what the log ends with is committed, which proves that nobody else leads meanwhile.
#include <map>
#include <utility>

#include "base/probe.h"
#include "broker/current_leader.h"
#include "broker/dispatch.h"
#include "record/record_batch.h"
#include "runtime/partitions.h"
#include "runtime/transaction_coordinator.h"
#include "wire/produce.h"

namespace pabal::broker {
namespace {

using TopicResponse = wire::ProduceResponse::TopicProduceResponse;
using PartitionResponse = wire::ProduceResponse::PartitionProduceResponse;
using replication::RequiredAcks;

// The client id of brokers and tools that may write to internal topics, as in Kafka.
constexpr std::string_view admin_client_id = "__admin_client";

struct Awaited {
    std::shared_ptr<runtime::Partition> partition;
    Offset end;
    bool awaits_flush;
    std::uint32_t reign;
    std::uint32_t topic;
    std::uint32_t index;
    bool refused = false;  // What is awaited is proof that this broker may refuse.
};

constexpr int first_version_that_adds = 12;
constexpr int first_version_with_abortable = 11;

// The header of a transactional batch; nothing for another one, and for what is none.
std::optional<record::RecordBatchView> transactional(const std::optional<Bytes>& records) {
    if (!records) return std::nullopt;
    auto batch = record::RecordBatchView::parse(records->view());
    if (!batch.ok() || !batch->is_transactional()) return std::nullopt;
    return std::move(*batch);
}

// The partitions of a request about which the coordinator of its transaction has to be asked, and
// what it said.
struct Participation {
    // Of a partition before it was asked: what the answer holds for.
    struct Before {
        std::uint64_t markers = 0;
        std::uint32_t reign = 0;
    };
    using Key = std::pair<std::string, PartitionIndex>;

    bool adds = false;
    bool asks = false;  // Else whoever has the right id is believed.
    transaction::Producer producer;
    transaction::Partitions partitions;
    std::map<Key, Before> before;
    runtime::TransactionCoordinator::PartitionErrors answers;

    bool concerns(const runtime::Partition& partition, const record::RecordBatchView& batch) const {
        if (SABOTAGED("participation-is-not-asked")) return false;
        if (SABOTAGED("producer-epoch-is-not-checked")) {
            const auto known = partition.log()->active_producer(batch.producer_id());
            if (known && known->epoch > batch.producer_epoch()) return false;
        }
        return asks && !partition.has_open_transaction(batch.producer_id(), batch.producer_epoch());
    }
    // Whether a batch that opens a transaction in the partition may be appended now.
    ErrorCode verdict(const runtime::Partition& partition,
                      const record::RecordBatchView& batch) const {
        if (batch.producer_id() != producer.id || batch.producer_epoch() != producer.epoch)
            return ErrorCode::invalid_producer_id_mapping;
        const auto known = partition.log()->active_producer(producer.id);
        if (known && known->epoch > producer.epoch) return ErrorCode::invalid_producer_epoch;
        // Each of these transactions begins to count anew; its first batch is still to come.
        if (adds && batch.base_sequence() != 0) return ErrorCode::out_of_order_sequence_number;
        const Key key{partition.topic_name(), partition.id().partition};
        const auto answer = answers.find(key);
        if (answer == answers.end()) return ErrorCode::concurrent_transactions;
        if (answer->second != ErrorCode::none) return answer->second;
        const Before& then = before.at(key);
        const bool holds =
            then.markers == partition.marker_count() && then.reign == partition.reign();
        return holds ? ErrorCode::none : ErrorCode::concurrent_transactions;
    }
};

bool is_required_acks(std::int16_t acks) {
    return acks >= -1 && acks <= 1;
}

void refuse(PartitionResponse* response, ErrorCode error, std::string message = {}) {
    response->error_code = error;
    response->base_offset = Offset(-1);
    if (!message.empty()) response->error_message = std::move(message);
}

// The batch of one partition as one piece; a frame arrives in one.
std::optional<Bytes> one_piece(const std::optional<Rope>& records) {
    if (!records || records->empty()) return std::nullopt;
    return records->flatten();
}

// As clients know to deal with it: what passes is told as a code that only makes them try again.
void refuse_participation(PartitionResponse* response, ErrorCode error, int version) {
    switch (error) {
        case ErrorCode::concurrent_transactions:
        case ErrorCode::network_exception:
        case ErrorCode::coordinator_load_in_progress:
        case ErrorCode::coordinator_not_available:
        case ErrorCode::not_coordinator:
            refuse(response, ErrorCode::not_enough_replicas,
                   "the transaction's coordinator could not be asked for the partition: " +
                       std::string(error_name(error)));
            return;
        case ErrorCode::transaction_abortable:
            if (version < first_version_with_abortable) error = ErrorCode::invalid_txn_state;
            refuse(response, error, "the partition takes no part in the transaction");
            return;
        default: refuse(response, error);
    }
}

void tell(const runtime::AppendOutcome& outcome, PartitionResponse* response) {
    response->error_code = outcome.error;
    response->base_offset = outcome.base_offset;
    response->log_append_time_ms = outcome.append_time.milliseconds;
    response->log_start_offset = outcome.log_start_offset;
    if (outcome.error == ErrorCode::none) return;
    if (!outcome.message.empty()) response->error_message = outcome.message;
    response->record_errors.reserve(outcome.record_errors.size());
    for (const auto& record : outcome.record_errors)
        response->record_errors.push_back({record.batch_index, record.message});
}

const runtime::Topic* topic_of(const Context& context, bool by_id,
                               const wire::ProduceRequest::TopicProduceData& data) {
    return by_id ? context.partitions.topic(data.topic_id) : context.partitions.topic(data.name);
}

Participation participation_of(const Context& context, const wire::ProduceRequest& message,
                               int version) {
    Participation asked;
    asked.adds = version >= first_version_that_adds;
    asked.asks = context.transactions && (asked.adds || context.transactions->verifies());
    if (!asked.asks || !message.transactional_id) return asked;
    asked.producer.transactional_id = *message.transactional_id;
    for (const auto& data : message.topic_data) {
        const auto* topic = topic_of(context, version >= 13, data);
        if (!topic) continue;
        for (const auto& each : data.partition_data) {
            const auto* partition = topic->partition(each.index);
            const auto batch = transactional(one_piece(each.records));
            if (!partition || !partition->leads() || !batch) continue;
            if (asked.producer.id == no_producer_id) {
                asked.producer.id = batch->producer_id();
                asked.producer.epoch = batch->producer_epoch();
            }
            if (!asked.concerns(*partition, *batch)) continue;
            if (asked.adds && batch->base_sequence() != 0) continue;
            asked.partitions[topic->name()].insert(each.index);
            asked.before[{topic->name(), each.index}] = {partition->marker_count(),
                                                         partition->reign()};
        }
    }
    return asked;
}

}  // namespace

io::Task<wire::ProduceResponse> handle_produce(Context* context, RequestContext* request,
                                               wire::ProduceRequest message) {
    wire::ProduceResponse response;
    response.responses.reserve(message.topic_data.size());
    const auto acks = static_cast<RequiredAcks>(message.acks);
    const bool by_id = request->version >= 13;
    const bool zstd_allowed = request->version >= 7;
    std::vector<Awaited> awaited;
    Participation transaction = participation_of(*context, message, request->version);
    if (!transaction.partitions.empty()) {
        request->comes_alone = true;
        transaction::Producer producer = transaction.producer;
        transaction::Partitions partitions = transaction.partitions;
        transaction.answers = co_await context->transactions->take_part(
            std::move(producer), std::move(partitions), !transaction.adds);
    }

    for (auto& topic_data : message.topic_data) {
        auto& topic_response = response.responses.emplace_back();
        const runtime::Topic* topic = topic_of(*context, by_id, topic_data);
        auto topic_error = ErrorCode::none;
        std::string topic_message;
        if (!topic)
            topic_error =
                by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition;
        if (!is_required_acks(message.acks)) {
            topic_error = ErrorCode::invalid_required_acks;
        } else if (topic && is_internal_topic(topic->name()) &&
                   request->client_id != admin_client_id) {
            topic_error = ErrorCode::invalid_topic_exception;
            topic_message = "clients may not write to the internal topic " + topic->name();
        }

        topic_response.partition_responses.reserve(topic_data.partition_data.size());
        for (auto& data : topic_data.partition_data) {
            auto& partition_response = topic_response.partition_responses.emplace_back();
            partition_response.index = data.index;
            if (topic_error != ErrorCode::none) {
                refuse(&partition_response, topic_error, topic_message);
                request->failed(topic_error);
                continue;
            }
            auto* partition = topic->partition(data.index);
            const auto records = partition ? one_piece(data.records) : std::nullopt;
            const auto batch = transactional(records);
            const bool opens =
                batch && partition->leads() && transaction.concerns(*partition, *batch);
            const auto verdict = opens ? transaction.verdict(*partition, *batch) : ErrorCode::none;
            if (!partition) {
                const bool exists = topic->image->partition(data.index) != nullptr;
                refuse(&partition_response, exists ? ErrorCode::not_leader_or_follower
                                                   : ErrorCode::unknown_topic_or_partition);
            } else if (batch && !message.transactional_id) {
                refuse(&partition_response, ErrorCode::transactional_id_authorization_failed,
                       "a transactional batch in a request without a transactional id");
            } else if (verdict == ErrorCode::out_of_order_sequence_number) {
                refuse(&partition_response, verdict,
                       "the first batch of a transaction has the sequence number 0");
            } else if (verdict != ErrorCode::none) {
                refuse_participation(&partition_response, verdict, request->version);
            } else if (records) {
                const auto outcome = partition->append(*records, acks, zstd_allowed);
                tell(outcome, &partition_response);
                if (partition->must_wait(outcome, acks)) {
                    awaited.push_back({partition->shared_from_this(), outcome.end_offset,
                                       outcome.awaits_flush, outcome.reign,
                                       static_cast<std::uint32_t>(response.responses.size() - 1),
                                       static_cast<std::uint32_t>(
                                           topic_response.partition_responses.size() - 1)});
                }
            } else {
                refuse(&partition_response, ErrorCode::invalid_record,
                       "a partition without a record batch");
            }
            const auto error = partition_response.error_code;
            if (error == ErrorCode::none) continue;
            if (error == ErrorCode::out_of_order_sequence_number &&
                partition->high_watermark() < partition->log()->log_end_offset()) {
                awaited.push_back(
                    {partition->shared_from_this(), partition->log()->log_end_offset(), false,
                     partition->reign(), static_cast<std::uint32_t>(response.responses.size() - 1),
                     static_cast<std::uint32_t>(topic_response.partition_responses.size() - 1),
                     true});
                if (message.acks != 0) continue;
            }
            request->failed(error);
            if (error == ErrorCode::not_leader_or_follower && request->version >= 10) {
                const auto image = context->image();
                tell_current_leader(&response, &partition_response,
                                    topic->image->partition(data.index), *image,
                                    request->peer->listener_name);
            }
        }
        topic_response.name = std::move(topic_data.name);
        topic_response.topic_id = topic_data.topic_id;
    }
    if (message.acks == 0) {
        // The only way to tell such a client that it should look again for the leader.
        if (request->first_error != ErrorCode::none) request->close_connection = true;
        request->suppress_reply = true;
        co_return response;
    }

    if (!awaited.empty()) {
        const auto deadline =
            context->clock.now() + Duration::milliseconds(std::max(message.timeout_ms, 0));
        for (const auto& each : awaited) {
            const auto needed = each.refused ? RequiredAcks::all : acks;
            const auto error = co_await each.partition->acknowledged(each.end, each.awaits_flush,
                                                                     each.reign, needed, deadline);
            auto& told = response.responses[each.topic].partition_responses[each.index];
            // A gap in the sequence is the producer's fault only if nobody else leads: a leader
            // that was deposed and has not heard of it misses what its successor took.
            const bool proven =
                error == ErrorCode::none || error == ErrorCode::not_enough_replicas_after_append;
            if (each.refused && !proven) {
                told.error_message.reset();
                refuse(&told, error);
            } else if (!each.refused && error != ErrorCode::none) {
                told.error_code = error;
                told.base_offset = Offset(-1);
            }
            request->failed(told.error_code);
        }
    }
    co_return response;
}

}  // namespace pabal::broker
