#include "runtime/transaction_coordinator.h"

#include <algorithm>
#include <utility>

#include "group/consumer/topic_pattern.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "runtime/group_coordinator.h"
#include "runtime/partitions.h"
#include "runtime/peers.h"

namespace pabal::runtime {
namespace {

// How long other nodes may take to answer.
constexpr Duration call_timeout = Duration::seconds(5);
// Whoever lets a broker add the partition ends transactions by epochs too (KIP-890).
constexpr std::int16_t version_with_epoch_bump = 2;

TransactionCoordinator::PartitionErrors for_all(const transaction::Partitions& partitions,
                                                ErrorCode error) {
    TransactionCoordinator::PartitionErrors errors;
    for (const auto& [topic, indexes] : partitions)
        for (const PartitionIndex index : indexes) errors[{topic, index}] = error;
    return errors;
}

bool any_is(const TransactionCoordinator::PartitionErrors& errors, ErrorCode error) {
    return std::any_of(errors.begin(), errors.end(),
                       [&](const auto& each) { return each.second == error; });
}

}  // namespace

// One partition of the topic: its transactional ids.
struct TransactionCoordinator::Active final : CoordinatedPartition {
    Active(TransactionCoordinator* coordinator, PartitionIndex index,
           std::shared_ptr<CoordinatorLog> log)
        : CoordinatedPartition(index, std::move(log)),
          owner(coordinator),
          machine(&owner->settings_),
          found_at(owner->moment()) {
        machine.learn(owner->image_->feature("transaction.version"));
    }

    Status replay(const record::KeyValue& record, Offset, ProducerId) override {
        return machine.replay(record, found_at);
    }
    void transaction_ended(ProducerId, bool) override {}
    void begin() override {
        transaction::Effects effects;
        machine.loaded(&effects);
        carry_out(std::move(effects));
    }
    void abandon(ErrorCode) override { end_waits(awaiting_end.begin(), awaiting_end.end()); }
    Instant deadline() const override { return machine.deadline(); }
    void elapsed() override {
        transaction::Effects effects;
        machine.elapsed(owner->moment(), &effects);
        for (const transaction::Markers& each : effects.markers) {
            owner->log_->info("a transaction is aborted, it took too long",
                              {{"transactional_id", each.producer.transactional_id}});
        }
        carry_out(std::move(effects));
    }
    void expire() override {
        transaction::Effects effects;
        machine.expire_ids(owner->moment(), &effects);
        carry_out(std::move(effects));
    }
    std::size_t id_count() const override { return machine.transactional_id_count(); }

    void carry_out(transaction::Effects effects) {
        owner->carry_out(std::static_pointer_cast<Active>(shared_from_this()), std::move(effects));
    }
    using Waits = std::multimap<std::string, io::Gate*>;
    void end_waits(Waits::iterator first, Waits::iterator last) {
        for (auto each = first; each != last; ++each) each->second->open();
        awaiting_end.erase(first, last);
    }

    TransactionCoordinator* owner;
    transaction::Shard machine;
    transaction::Moment found_at;  // The time of what the log says.
    Waits awaiting_end;            // Of the transaction under an id.
};

TransactionCoordinator::TransactionCoordinator(io::Ports* ports,
                                               const metadata::BrokerConfig* config,
                                               Partitions* partitions, GroupCoordinator* groups,
                                               Peers* peers, NextProducerId next_producer_id,
                                               const Logger* log)
    : ports_(ports),
      config_(config),
      peers_(peers),
      next_producer_id_(std::move(next_producer_id)),
      log_(log),
      verifies_(config->boolean("transaction.partition.verification.enable")),
      markers_(ports, config, partitions, groups, peers, log),
      topic_(
          ports, partitions,
          {.topic = transaction_topic,
           .expiry_interval = Duration::milliseconds(
               config->integer("transaction.remove.expired.transaction.cleanup.interval.ms"))},
          [this](PartitionIndex index, std::shared_ptr<CoordinatorLog> coordinator_log) {
              return std::make_shared<Active>(this, index, std::move(coordinator_log));
          },
          log) {
    settings_.max_timeout_ms =
        static_cast<std::int32_t>(config->integer("transaction.max.timeout.ms"));
    settings_.id_expiration =
        Duration::milliseconds(config->integer("transactional.id.expiration.ms"));
}

void TransactionCoordinator::apply(std::shared_ptr<const metadata::ClusterImage> image) {
    if (topic_.is_stopped()) return;
    image_ = std::move(image);
    markers_.learn(image_);
    for (const CoordinatedTopic::Pointer& each : topic_.held())
        static_cast<Active&>(*each).machine.learn(image_->feature("transaction.version"));
    topic_.follow();
}

void TransactionCoordinator::stop() {
    markers_.stop();
    topic_.stop();
}

io::Task<void> TransactionCoordinator::ended() {
    co_await markers_.ended();
    co_await topic_.ended();
}

io::Task<Result<TransactionCoordinator::ActivePointer>> TransactionCoordinator::serving(
    std::string transactional_id) {
    Result<CoordinatedTopic::Pointer> served = co_await topic_.serving(std::move(transactional_id));
    if (!served.ok()) co_return served.error();
    co_return std::static_pointer_cast<Active>(*served);
}

// --- carrying out what the machine asks

transaction::Moment TransactionCoordinator::moment() const {
    return {ports_->clock.policy_now(), ports_->clock.wall_now()};
}

void TransactionCoordinator::carry_out(const ActivePointer& active, transaction::Effects effects) {
    if (effects.records.empty() && effects.markers.empty()) return;
    topic_.write(active, std::move(effects.records), sending(active, std::move(effects.markers)));
}

io::Task<ErrorCode> TransactionCoordinator::written(ActivePointer active,
                                                    transaction::Effects effects) {
    return topic_.written(active, std::move(effects.records),
                          sending(active, std::move(effects.markers)));
}

CoordinatorLog::Done TransactionCoordinator::sending(const ActivePointer& active,
                                                     std::vector<transaction::Markers> markers) {
    if (markers.empty()) return nullptr;
    return [this, active, markers = std::move(markers)](ErrorCode error) {
        if (error != ErrorCode::none) return;
        for (const transaction::Markers& each : markers)
            markers_.send(each, active->log(), [this, active, each] { marked(active, each); });
    };
}

void TransactionCoordinator::marked(const ActivePointer& active,
                                    const transaction::Markers& markers) {
    if (active->log()->closed()) return;
    transaction::Effects effects;
    active->machine.marked(markers, moment(), &effects);
    active->carry_out(std::move(effects));
    const auto range = active->awaiting_end.equal_range(markers.producer.transactional_id);
    active->end_waits(range.first, range.second);
    topic_.arm(active);
}

// --- requests

io::Task<Result<std::optional<ProducerId>>> TransactionCoordinator::fresh_id(
    ActivePointer active, std::string transactional_id) {
    if (!active->machine.needs_producer_id(transactional_id)) co_return std::optional<ProducerId>();
    const Instant deadline = ports_->clock.now() + call_timeout;
    Result<ProducerId> next = co_await next_producer_id_(deadline);
    // Whoever asked for the id is told by a code that makes it try again.
    if (!next.ok()) co_return Error{ErrorCode::coordinator_not_available, next.error().message};
    if (active->log()->closed())
        co_return Error{ErrorCode::not_coordinator, "the transactional id has moved"};
    co_return std::optional<ProducerId>(*next);
}

io::Task<bool> TransactionCoordinator::ended_by(ActivePointer active, std::string transactional_id,
                                                Instant deadline) {
    while (!active->log()->closed() && active->machine.is_ending(transactional_id)) {
        io::Gate gate(ports_->clock);
        const auto place = active->awaiting_end.emplace(transactional_id, &gate);
        const bool opened = co_await gate.opened(deadline);
        if (opened) continue;
        active->awaiting_end.erase(place);
        co_return false;
    }
    co_return true;
}

io::Task<wire::InitProducerIdResponse> TransactionCoordinator::init_producer_id(
    wire::InitProducerIdRequest request) {
    wire::InitProducerIdResponse response;
    const Instant patience = ports_->clock.now() + end_patience;
    while (true) {
        response = {};
        response.producer_epoch = no_producer_epoch;
        std::string id = *request.transactional_id;
        Result<ActivePointer> active = co_await serving(std::move(id));
        if (!active.ok()) {
            response.error_code = active.error().code;
            co_return response;
        }
        id = *request.transactional_id;
        Result<std::optional<ProducerId>> fresh = co_await fresh_id(*active, std::move(id));
        if (!fresh.ok()) {
            response.error_code = fresh.error().code;
            co_return response;
        }
        transaction::Effects effects;
        response = (*active)->machine.init_producer_id(request, *fresh, moment(), &effects);
        topic_.arm(*active);
        ErrorCode error = co_await written(*active, std::move(effects));
        if (error != ErrorCode::none) {
            response = {};
            response.producer_epoch = no_producer_epoch;
            response.error_code = error;
        }
        if (response.error_code != ErrorCode::concurrent_transactions) co_return response;
        id = *request.transactional_id;
        const bool over = co_await ended_by(*active, std::move(id), patience);
        if (!over) co_return response;
    }
}

io::Task<TransactionCoordinator::PartitionErrors> TransactionCoordinator::add_partitions(
    transaction::Producer producer, transaction::Partitions partitions, bool verify_only,
    std::int16_t client_transaction_version) {
    const Instant patience = ports_->clock.now() + end_patience;
    while (true) {
        std::string id = producer.transactional_id;
        Result<ActivePointer> active = co_await serving(std::move(id));
        if (!active.ok()) co_return for_all(partitions, active.error().code);
        transaction::Shard& machine = (*active)->machine;
        transaction::Effects effects;
        PartitionErrors errors;
        if (verify_only) {
            for (const auto& [topic, indexes] : partitions)
                for (const PartitionIndex index : indexes)
                    errors[{topic, index}] = machine.verify(producer, topic, index);
        } else {
            errors = for_all(
                partitions, machine.add_partitions(producer, partitions, client_transaction_version,
                                                   moment(), &effects));
            topic_.arm(*active);
        }
        ErrorCode error = co_await written(*active, std::move(effects));
        if (error != ErrorCode::none) co_return for_all(partitions, error);
        if (!any_is(errors, ErrorCode::concurrent_transactions)) co_return errors;
        id = producer.transactional_id;
        const bool over = co_await ended_by(*active, std::move(id), patience);
        if (!over) co_return errors;
    }
}

io::Task<wire::EndTxnResponse> TransactionCoordinator::end(wire::EndTxnRequest request,
                                                           int version) {
    wire::EndTxnResponse response;
    const Instant patience = ports_->clock.now() + end_patience;
    while (true) {
        response = {};
        std::string id = request.transactional_id;
        Result<ActivePointer> active = co_await serving(std::move(id));
        if (!active.ok()) {
            response.error_code = active.error().code;
            co_return response;
        }
        id = request.transactional_id;
        Result<std::optional<ProducerId>> fresh(std::optional<ProducerId>{});
        const bool may_need_id = (*active)->machine.knows(id);
        if (may_need_id) fresh = co_await fresh_id(*active, std::move(id));
        if (!fresh.ok()) {
            response.error_code = fresh.error().code;
            co_return response;
        }
        transaction::Effects effects;
        response = (*active)->machine.end(request, version, *fresh, moment(), &effects);
        topic_.arm(*active);
        ErrorCode error = co_await written(*active, std::move(effects));
        if (error != ErrorCode::none) {
            response = {};
            response.error_code = error;
        }
        if (response.error_code != ErrorCode::concurrent_transactions) co_return response;
        id = request.transactional_id;
        const bool over = co_await ended_by(*active, std::move(id), patience);
        if (!over) co_return response;
    }
}

io::Task<wire::DescribeTransactionsResponse::TransactionState> TransactionCoordinator::describe(
    std::string transactional_id) {
    wire::DescribeTransactionsResponse::TransactionState described;
    described.transactional_id = transactional_id;
    std::string id = transactional_id;
    Result<ActivePointer> active = co_await serving(std::move(id));
    if (!active.ok()) {
        described.error_code = active.error().code;
        co_return described;
    }
    wire::DescribeTransactionsResponse::TransactionState known =
        (*active)->machine.describe(transactional_id);
    transaction::Effects nothing;
    ErrorCode error = co_await written(*active, std::move(nothing));
    if (error == ErrorCode::none) co_return known;
    described.error_code = error;
    co_return described;
}

io::Task<wire::ListTransactionsResponse> TransactionCoordinator::list(
    wire::ListTransactionsRequest request) {
    wire::ListTransactionsResponse response;
    transaction::Shard::Filter filter;
    for (const std::string& name : request.state_filters) {
        if (const auto state = transaction::state_of(name)) {
            filter.states.insert(*state);
        } else {
            response.unknown_state_filters.push_back(name);
        }
    }
    const bool none_can_match = !request.state_filters.empty() && filter.states.empty();
    filter.producer_ids.insert(request.producer_id_filters.begin(),
                               request.producer_id_filters.end());
    filter.longer_than_ms = request.duration_filter;
    std::optional<group::TopicPattern> pattern;
    if (request.transactional_id_pattern && !request.transactional_id_pattern->empty()) {
        auto parsed = group::TopicPattern::parse(*request.transactional_id_pattern);
        if (!parsed.ok()) {
            response.error_code = parsed.error().code;
            co_return response;
        }
        pattern.emplace(std::move(*parsed));
    }
    if (none_can_match) co_return response;
    const std::vector<CoordinatedTopic::Pointer> held = topic_.held();
    for (CoordinatedTopic::Pointer each : held) {
        ErrorCode error = co_await topic_.loaded(each);
        if (error == ErrorCode::none) {
            static_cast<Active&>(*each).machine.list(filter, moment(),
                                                     &response.transaction_states);
        } else if (error == ErrorCode::coordinator_load_in_progress) {
            response.error_code = error;
            response.transaction_states.clear();
            co_return response;
        }
    }
    if (pattern) {
        std::erase_if(response.transaction_states,
                      [&](const auto& each) { return !pattern->matches(each.transactional_id); });
    }
    co_return response;
}

// --- for partitions of this broker

io::Task<TransactionCoordinator::PartitionErrors> TransactionCoordinator::take_part(
    transaction::Producer producer, transaction::Partitions partitions, bool verify_only) {
    const auto topic = image_ ? image_->topic(transaction_topic) : nullptr;
    if (!topic) co_return for_all(partitions, ErrorCode::coordinator_not_available);
    const PartitionIndex index = coordinating_partition(
        producer.transactional_id, static_cast<std::int32_t>(topic->partitions.size()));
    const BrokerId leader = topic->partition(index)->leader;
    PartitionErrors errors;
    if (leader == config_->node_id()) {
        errors =
            co_await add_partitions(producer, partitions, verify_only, version_with_epoch_bump);
    } else {
        const auto* broker = image_->broker(leader);
        const auto* endpoint =
            broker ? broker->endpoint(config_->inter_broker_listener()) : nullptr;
        if (!endpoint) co_return for_all(partitions, ErrorCode::coordinator_not_available);
        wire::AddPartitionsToTxnRequest request;
        auto& asked = request.transactions.emplace_back();
        asked.transactional_id = producer.transactional_id;
        asked.producer_id = producer.id;
        asked.producer_epoch = producer.epoch;
        asked.verify_only = verify_only;
        for (const auto& [name, indexes] : partitions) {
            auto& named = asked.topics.emplace_back();
            named.name = name;
            named.partitions.assign(indexes.begin(), indexes.end());
        }
        io::Address address{endpoint->host, endpoint->port};
        const Instant deadline = ports_->clock.now() + call_timeout;
        auto response = co_await peers_->call<wire::AddPartitionsToTxnResponse>(
            std::move(address), Purpose::participation, std::move(request), deadline);
        if (!response.ok()) co_return for_all(partitions, ErrorCode::network_exception);
        errors = for_all(partitions, response->error_code == ErrorCode::none
                                         ? ErrorCode::unknown_server_error
                                         : response->error_code);
        for (const auto& transaction : response->results_by_transaction)
            for (const auto& result : transaction.topic_results)
                for (const auto& each : result.results_by_partition)
                    errors[{result.name, each.partition_index}] = each.partition_error_code;
    }
    for (auto& [partition, error] : errors)
        if (error == ErrorCode::producer_fenced) error = ErrorCode::invalid_producer_epoch;
    co_return errors;
}

}  // namespace pabal::runtime
