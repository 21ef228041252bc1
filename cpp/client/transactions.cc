#include "client/transactions.h"

#include <algorithm>
#include <map>

#include "client/retry_backoff.h"
#include "io/gate.h"
#include "wire/end_txn.h"
#include "wire/init_producer_id.h"
#include "wire/txn_offset_commit.h"

namespace pabal::client {
namespace {

// The first that give a producer its next epoch, and learn from partitions that they take part.
constexpr int first_version_of_end = 5;

bool may_succeed_later(ErrorCode code) {
    return is_retriable(code) || code == ErrorCode::broker_not_available ||
           code == ErrorCode::network_exception || code == ErrorCode::request_timed_out ||
           code == ErrorCode::concurrent_transactions;
}

ErrorCode code_of_offsets(const wire::TxnOffsetCommitResponse& response) {
    for (const auto& topic : response.topics)
        for (const auto& partition : topic.partitions)
            if (partition.error_code != ErrorCode::none) return partition.error_code;
    return ErrorCode::none;
}

}  // namespace

Transactions::Transactions(io::Clock* clock, Brokers* brokers, Prng random, Options options)
    : clock_(*clock),
      brokers_(*brokers),
      random_(random.fork("transactions")),
      options_(std::move(options)) {}

Error Transactions::refused(ErrorCode code, const char* what) const {
    // All of these say that another producer has the id now.
    if (code == ErrorCode::invalid_producer_epoch) code = ErrorCode::producer_fenced;
    return Error{code, std::string(what) + " of transactional id " + options_.transactional_id +
                           ": " + std::string(error_message(code))};
}

io::Task<bool> Transactions::again(Error error, int attempt, Instant deadline) {
    if (stopped_ || !may_succeed_later(error.code)) co_return false;
    const Duration pause =
        retry_backoff(options_.retry_backoff, options_.retry_backoff_max, attempt, &random_);
    const Instant next = clock_.now() + pause;
    if (next >= deadline) co_return false;
    io::Sleep sleep(clock_, next);
    co_await sleep;
    co_return !stopped_;
}

template <class Response, class Request, class CodeOf>
io::Task<Result<Response>> Transactions::ask(CoordinatorKind kind, std::string key, Request request,
                                             CodeOf code_of, Instant deadline) {
    for (int attempt = 1;; ++attempt) {
        std::string wanted = key;
        auto coordinator =
            co_await find_coordinator(&brokers_, kind, std::move(wanted), options_.request_timeout);
        Error error;
        if (coordinator.ok()) {
            Request copy = request;
            const BrokerId broker = *coordinator;
            auto response =
                co_await brokers_.call<Response>(broker, std::move(copy), options_.request_timeout);
            if (response.ok() && !may_succeed_later(code_of(*response))) co_return response;
            error = response.ok() ? Error{code_of(*response), ""} : response.error();
        } else {
            error = coordinator.error();
        }
        Error known = error;
        const bool once_more = co_await again(std::move(known), attempt, deadline);
        if (!once_more) co_return error;
    }
}

io::Task<Result<ProducerIdentity>> Transactions::init(Instant deadline) {
    auto channel = co_await brokers_.any_channel();
    if (!channel.ok()) co_return channel.error();
    const auto served = (*channel)->version_of(wire::EndTxnRequest::api_key);
    if (!served.ok() || *served < first_version_of_end) {
        co_return Error{ErrorCode::unsupported_version,
                        "transactions of this client need brokers of Kafka 4.0 or newer"};
    }
    wire::InitProducerIdRequest request;
    request.transactional_id = options_.transactional_id;
    request.transaction_timeout_ms = static_cast<std::int32_t>(
        std::min<std::int64_t>(options_.transaction_timeout.to_milliseconds(), INT32_MAX));
    const auto code_of = [](const wire::InitProducerIdResponse& told) { return told.error_code; };
    std::string key = options_.transactional_id;
    auto response = co_await ask<wire::InitProducerIdResponse>(
        CoordinatorKind::transaction, std::move(key), std::move(request), code_of, deadline);
    if (!response.ok()) co_return response.error();
    if (response->error_code != ErrorCode::none)
        co_return refused(response->error_code, "the producer");
    co_return ProducerIdentity{response->producer_id, response->producer_epoch};
}

io::Task<Status> Transactions::send_positions(ProducerIdentity self, GroupPositions positions,
                                              Instant deadline) {
    wire::TxnOffsetCommitRequest request;
    request.transactional_id = options_.transactional_id;
    request.group_id = positions.group;
    request.producer_id = self.id;
    request.producer_epoch = self.epoch;
    request.generation_id = positions.generation;
    request.member_id = std::move(positions.member_id);
    std::map<std::string, std::size_t> places;
    for (auto& position : positions.positions) {
        const auto [place, fresh] = places.try_emplace(position.topic, request.topics.size());
        if (fresh) request.topics.emplace_back().name = position.topic;
        auto& partition = request.topics[place->second].partitions.emplace_back();
        partition.partition_index = position.partition;
        partition.committed_offset = position.offset;
        partition.committed_leader_epoch = position.leader_epoch;
        partition.committed_metadata = std::move(position.metadata);
    }
    std::string key = positions.group;
    auto response = co_await ask<wire::TxnOffsetCommitResponse>(
        CoordinatorKind::group, std::move(key), std::move(request), code_of_offsets, deadline);
    if (!response.ok()) co_return response.error();
    const ErrorCode code = code_of_offsets(*response);
    if (code != ErrorCode::none) co_return refused(code, "the positions");
    co_return Status();
}

io::Task<Result<ProducerIdentity>> Transactions::end(ProducerIdentity self, bool commit,
                                                     Instant deadline) {
    wire::EndTxnRequest request;
    request.transactional_id = options_.transactional_id;
    request.producer_id = self.id;
    request.producer_epoch = self.epoch;
    request.committed = commit;
    const auto code_of = [](const wire::EndTxnResponse& told) { return told.error_code; };
    std::string key = options_.transactional_id;
    auto response = co_await ask<wire::EndTxnResponse>(CoordinatorKind::transaction, std::move(key),
                                                       std::move(request), code_of, deadline);
    if (!response.ok()) co_return response.error();
    if (response->error_code != ErrorCode::none)
        co_return refused(response->error_code, "the transaction");
    co_return ProducerIdentity{response->producer_id, response->producer_epoch};
}

}  // namespace pabal::client
