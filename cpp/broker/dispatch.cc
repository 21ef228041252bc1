#include "broker/dispatch.h"

#include <fmt/format.h>

#include <map>

#include "wire/add_offsets_to_txn.h"
#include "wire/add_partitions_to_txn.h"
#include "wire/add_raft_voter.h"
#include "wire/allocate_producer_ids.h"
#include "wire/alter_configs.h"
#include "wire/alter_partition.h"
#include "wire/alter_partition_reassignments.h"
#include "wire/api_table.h"
#include "wire/api_versions.h"
#include "wire/assign_replicas_to_dirs.h"
#include "wire/begin_quorum_epoch.h"
#include "wire/broker_heartbeat.h"
#include "wire/broker_registration.h"
#include "wire/consumer_group_describe.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/controller_registration.h"
#include "wire/create_partitions.h"
#include "wire/create_topics.h"
#include "wire/delete_groups.h"
#include "wire/delete_records.h"
#include "wire/delete_topics.h"
#include "wire/describe_cluster.h"
#include "wire/describe_configs.h"
#include "wire/describe_groups.h"
#include "wire/describe_log_dirs.h"
#include "wire/describe_producers.h"
#include "wire/describe_quorum.h"
#include "wire/describe_topic_partitions.h"
#include "wire/describe_transactions.h"
#include "wire/elect_leaders.h"
#include "wire/end_quorum_epoch.h"
#include "wire/end_txn.h"
#include "wire/envelope.h"
#include "wire/fetch.h"
#include "wire/fetch_snapshot.h"
#include "wire/find_coordinator.h"
#include "wire/header.h"
#include "wire/heartbeat.h"
#include "wire/incremental_alter_configs.h"
#include "wire/init_producer_id.h"
#include "wire/join_group.h"
#include "wire/leave_group.h"
#include "wire/list_config_resources.h"
#include "wire/list_groups.h"
#include "wire/list_offsets.h"
#include "wire/list_partition_reassignments.h"
#include "wire/list_transactions.h"
#include "wire/metadata.h"
#include "wire/offset_commit.h"
#include "wire/offset_delete.h"
#include "wire/offset_fetch.h"
#include "wire/offset_for_leader_epoch.h"
#include "wire/produce.h"
#include "wire/reader.h"
#include "wire/remove_raft_voter.h"
#include "wire/sync_group.h"
#include "wire/txn_offset_commit.h"
#include "wire/unregister_broker.h"
#include "wire/update_features.h"
#include "wire/update_raft_voter.h"
#include "wire/vote.h"
#include "wire/write_txn_markers.h"
#include "wire/writer.h"

namespace pabal::broker {

struct Dispatch::Row {
    const wire::ApiRow* api = nullptr;
    io::Task<Answer> (*run)(Context* context, Call* call) = nullptr;
    Counter* requests = nullptr;
    Counter* bytes_in = nullptr;
    Counter* bytes_out = nullptr;
    LatencyHistogram* latency = nullptr;
    std::map<ErrorCode, Counter*> errors;
};

namespace {

template <class Request, class Response,
          io::Task<Response> (*handle)(Context*, RequestContext*, Request)>
io::Task<Dispatch::Answer> run_row(Context* context, Dispatch::Call* call) {
    Dispatch::Answer answer;
    Request message;
    wire::Reader reader(call->frame.slice(call->body_position));
    Status decoded = decode(reader, message, call->request.version);
    // What the message does not hold a slice of is given back while it is being worked on.
    call->frame = Bytes();
    if (!decoded.ok()) {
        answer.close_because =
            fmt::format("malformed {} request, version {}: {}", call->row->api->name,
                        call->request.version, decoded.error().message);
        co_return answer;
    }
    Response response = co_await handle(context, &call->request, std::move(message));
    if (call->request.close_connection) {
        answer.close_because =
            fmt::format("{} failed and its client wants no reply: {}", call->row->api->name,
                        error_name(call->request.first_error));
        co_return answer;
    }
    if (call->request.suppress_reply) co_return answer;
    if constexpr (requires { response.error_code; }) call->request.failed(response.error_code);
    wire::Writer writer;
    begin_response(writer, *call->row->api, call->request.version, call->request.correlation_id);
    encode(writer, response, call->request.version);
    answer.reply = writer.take();
    co_return answer;
}

}  // namespace

Dispatch::Dispatch(Context* context) : context_(context) {
    auto add = [&](wire::ApiKey key, io::Task<Answer> (*answer)(Context*, Call*)) {
        const wire::ApiRow* api = wire::find_api(key);
        ASSERT(api, "a served API is in the table");
        auto index = static_cast<std::size_t>(key);
        if (rows_.size() <= index) rows_.resize(index + 1);
        auto row = std::make_unique<Row>();
        row->api = api;
        row->run = answer;
        Metrics& metrics = context->metrics;
        row->requests = &metrics.counter("pabal_requests_total", "Requests that were answered.",
                                         {{"api", api->name}});
        row->bytes_in = &metrics.counter("pabal_request_bytes_total", "Bytes of requests.",
                                         {{"api", api->name}});
        row->bytes_out = &metrics.counter("pabal_response_bytes_total", "Bytes of responses.",
                                          {{"api", api->name}});
        row->latency = &metrics.latency("pabal_request_seconds",
                                        "From the whole frame to the reply, waits included.",
                                        {{"api", api->name}});
        rows_[index] = std::move(row);
    };
#define PABAL_SERVED_API(Name, name)  \
    add(wire::Name##Request::api_key, \
        &run_row<wire::Name##Request, wire::Name##Response, &handle_##name>);
#include "wire/served_apis.inc"
#undef PABAL_SERVED_API
}

Dispatch::~Dispatch() = default;

bool Dispatch::Call::pipelined() const {
    return row && row->api->key == wire::ApiKey::produce && !request.comes_alone;
}

bool Dispatch::open(Bytes frame, Peer* peer, Instant received, Call* call,
                    std::string* close_because) {
    wire::RequestHeader header;
    wire::Reader reader(frame);
    Status status = wire::decode_request_header(reader, header);
    if (!status.ok()) {
        *close_because = status.error().message;
        return false;
    }
    call->request.peer = peer;
    call->request.api_key = header.request_api_key;
    call->request.version = header.request_api_version;
    call->request.correlation_id = header.correlation_id;
    if (header.client_id) call->request.client_id = std::move(*header.client_id);
    call->request.received = received;
    call->request.size_bytes = frame.size();
    call->body_position = reader.position();
    call->frame = std::move(frame);

    auto index = static_cast<std::size_t>(header.request_api_key);
    Row* row = index < rows_.size() ? rows_[index].get() : nullptr;
    const wire::ApiRow* api = wire::find_api(wire::ApiKey{header.request_api_key});
    bool offered = row && (peer->role == ListenerRole::broker
                               ? api->on_broker_listener && api->served_by_broker()
                               : api->on_controller_listener && api->served_by_controller());
    if (!offered) {
        *close_because =
            fmt::format("{} is not served on the listener {}", api->name, peer->listener_name);
        return false;
    }
    if (!api->accepted.contains(call->request.version)) {
        // KIP-35: a client that knows later versions than we do learns ours from the answer.
        if (api->key == wire::ApiKey::api_versions) return true;
        *close_because = fmt::format("{} is served in the versions {} to {}, not {}", api->name,
                                     api->accepted.min, api->accepted.max, call->request.version);
        return false;
    }
    call->row = row;
    return true;
}

io::Task<Dispatch::Answer> Dispatch::run(Call* call) {
    if (!call->row) co_return unknown_api_versions(*call);
    Answer answer = co_await call->row->run(context_, call);
    account(*call->row, call->request, answer);
    co_return answer;
}

Dispatch::Answer Dispatch::unknown_api_versions(const Call& call) const {
    const wire::ApiRow* api = wire::find_api(wire::ApiKey::api_versions);
    wire::ApiVersionsResponse response;
    response.error_code = ErrorCode::unsupported_version;
    response.api_keys.push_back({static_cast<std::int16_t>(api->key),
                                 static_cast<std::int16_t>(api->advertised.min),
                                 static_cast<std::int16_t>(api->advertised.max)});
    Answer answer;
    wire::Writer writer;
    begin_response(writer, *api, 0, call.request.correlation_id);
    encode(writer, response, 0);
    answer.reply = writer.take();
    return answer;
}

void Dispatch::account(Row& row, const RequestContext& request, const Answer& answer) {
    Duration taken = context_->clock.now() - request.received;
    row.requests->add();
    row.bytes_in->add(request.size_bytes);
    row.bytes_out->add(answer.reply.size());
    row.latency->record(taken);
    if (request.first_error != ErrorCode::none) {
        Counter*& counter = row.errors[request.first_error];
        if (!counter) {
            counter = &context_->metrics.counter(
                "pabal_request_errors_total",
                "Requests whose response carries an error, by the first one.",
                {{"api", row.api->name}, {"error", error_name(request.first_error)}});
        }
        counter->add();
    }
    if (context_->log.writes(LogLevel::debug)) {
        context_->log.debug("request", {{"api", row.api->name},
                                        {"version", request.version},
                                        {"client", request.client_id},
                                        {"peer", request.peer->address},
                                        {"correlation", request.correlation_id},
                                        {"bytes_in", request.size_bytes},
                                        {"bytes_out", answer.reply.size()},
                                        {"microseconds", taken.to_nanoseconds() / 1000},
                                        {"error", error_name(request.first_error)}});
    }
}

}  // namespace pabal::broker
