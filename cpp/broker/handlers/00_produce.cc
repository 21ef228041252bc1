// Produce: appends one record batch to each of some partitions.
//
// 3     record batch v2, transactional id; 0 to 2 are refused (KIP-896), advertised for librdkafka
// 5     log start offset · 7 zstd (KIP-110) · 8 record errors (KIP-467)
// 10    current leader (KIP-951) · 11 TRANSACTION_ABORTABLE, 12 implicit AddPartitionsToTxn
//       (KIP-890) · 13 topic ids (KIP-516)
//
// Everything is appended before the handler first suspends; it suspends only if an acknowledgement
// has to wait. Deviations: transactions are not served, a request with a transactional id is
// refused with INVALID_TXN_STATE before anything is written. A partition that a request names twice
// gets both batches and two answers, where Kafka keeps the second only. A gap in a sequence is
// refused once what the log ends with is committed, which proves that nobody else leads meanwhile.
#include "broker/current_leader.h"
#include "broker/dispatch.h"
#include "runtime/partitions.h"
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

}  // namespace

io::Task<wire::ProduceResponse> handle_produce(Context* context, RequestContext* request,
                                               wire::ProduceRequest message) {
    wire::ProduceResponse response;
    response.responses.reserve(message.topic_data.size());
    const auto acks = static_cast<RequiredAcks>(message.acks);
    const bool by_id = request->version >= 13;
    const bool zstd_allowed = request->version >= 7;
    std::vector<Awaited> awaited;

    for (auto& topic_data : message.topic_data) {
        auto& topic_response = response.responses.emplace_back();
        const runtime::Topic* topic = nullptr;
        auto topic_error = ErrorCode::none;
        std::string topic_message;
        if (by_id) {
            topic = context->partitions.topic(topic_data.topic_id);
            if (!topic) topic_error = ErrorCode::unknown_topic_id;
        } else {
            topic = context->partitions.topic(topic_data.name);
            if (!topic) topic_error = ErrorCode::unknown_topic_or_partition;
        }
        if (!is_required_acks(message.acks)) {
            topic_error = ErrorCode::invalid_required_acks;
        } else if (message.transactional_id) {
            topic_error = ErrorCode::invalid_txn_state;
            topic_message = "this broker does not serve transactions";
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
            if (!partition) {
                const bool exists = topic->image->partition(data.index) != nullptr;
                refuse(&partition_response, exists ? ErrorCode::not_leader_or_follower
                                                   : ErrorCode::unknown_topic_or_partition);
            } else if (const auto records = one_piece(data.records)) {
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
