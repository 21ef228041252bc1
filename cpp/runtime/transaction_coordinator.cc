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

// How long records may take to be committed, and other nodes to answer.
constexpr Duration write_timeout = Duration::seconds(5);
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

PartitionIndex transaction_partition(std::string_view transactional_id,
                                     std::int32_t partition_count) {
    return group_partition(transactional_id, partition_count);
}

struct TransactionCoordinator::Active {
    Active(PartitionIndex partition, std::shared_ptr<CoordinatorLog> coordinator_log,
           const transaction::Settings* settings)
        : index(partition), log(std::move(coordinator_log)), machine(settings) {}

    PartitionIndex index;
    std::shared_ptr<CoordinatorLog> log;
    transaction::Shard machine;
    bool loaded = false;
    std::vector<io::Gate*> waiting;                      // For the end of the loading.
    std::multimap<std::string, io::Gate*> awaiting_end;  // Of the transaction under an id.
    io::TimerId timer = 0;
    Instant timer_due = Instant::never();
};

TransactionCoordinator::TransactionCoordinator(io::Ports* ports,
                                               const metadata::BrokerConfig* config,
                                               Partitions* partitions, GroupCoordinator* groups,
                                               Peers* peers, NextProducerId next_producer_id,
                                               const Logger* log)
    : ports_(ports),
      config_(config),
      partitions_(partitions),
      peers_(peers),
      next_producer_id_(std::move(next_producer_id)),
      log_(log),
      expiry_interval_(Duration::milliseconds(
          config->integer("transaction.remove.expired.transaction.cleanup.interval.ms"))),
      verifies_(config->boolean("transaction.partition.verification.enable")),
      markers_(ports, config, partitions, groups, peers, log) {
    settings_.max_timeout_ms =
        static_cast<std::int32_t>(config->integer("transaction.max.timeout.ms"));
    settings_.id_expiration =
        Duration::milliseconds(config->integer("transactional.id.expiration.ms"));
    schedule_expiry();
}

TransactionCoordinator::~TransactionCoordinator() {
    ASSERT(active_.empty() && loading_count_ == 0, "the coordinator is stopped before it goes");
}

// --- which partitions are ours

void TransactionCoordinator::apply(std::shared_ptr<const metadata::ClusterImage> image) {
    if (stopped_) return;
    image_ = std::move(image);
    markers_.learn(image_);
    const Topic* topic = partitions_->topic(transaction_topic);
    partition_count_ = topic ? static_cast<std::int32_t>(topic->image->partitions.size()) : 0;
    std::vector<ActivePointer> held;
    for (const auto& [index, active] : active_) held.push_back(active);
    for (const ActivePointer& active : held) {
        active->machine.learn(image_->feature("transaction.version"));
        if (!topic || !topic->partition(active->index)) unload(active, ErrorCode::not_coordinator);
    }
    for (std::int32_t i = 0; i < partition_count_; ++i) {
        const PartitionIndex index(i);
        if (topic->partition(index)) follow(index, topic->partition(index)->shared_from_this());
    }
}

void TransactionCoordinator::follow(PartitionIndex index,
                                    const std::shared_ptr<Partition>& partition) {
    const auto found = active_.find(index);
    const bool leads = partition->log() && partition->leads();
    if (found != active_.end()) {
        const ActivePointer active = found->second;
        if (leads && active->log->epoch() == partition->leader_epoch()) return;
        unload(active, ErrorCode::not_coordinator);
    }
    if (!leads) return;
    auto log = std::make_shared<CoordinatorLog>(ports_, partition, partition->leader_epoch());
    auto active = std::make_shared<Active>(index, std::move(log), &settings_);
    active->machine.learn(image_->feature("transaction.version"));
    active_[index] = active;
    ++loading_count_;
    io::detach(load(active));
}

void TransactionCoordinator::unload(const ActivePointer& active, ErrorCode error) {
    active_.erase(active->index);
    ports_->clock.cancel(active->timer);
    active->timer = 0;
    active->log->close(error);
    for (io::Gate* gate : active->waiting) gate->open();
    active->waiting.clear();
    for (const auto& [id, gate] : active->awaiting_end) gate->open();
    active->awaiting_end.clear();
}

io::Task<void> TransactionCoordinator::load(ActivePointer active) {
    const transaction::Moment at = moment();
    CoordinatorLog::Replay replay = [this, active, at](const record::KeyValue& record,
                                                       Offset offset, ProducerId) {
        Status replayed = active->machine.replay(record, at);
        if (!replayed.ok()) {
            log_->error("passed over a record of __transaction_state that cannot be read",
                        {{"partition", active->index.value()},
                         {"offset", offset.value()},
                         {"reason", replayed.error().message}});
        }
    };
    CoordinatorLog::TransactionEnded ended = nullptr;
    Status status = co_await CoordinatorLog::load(active->log, replay, ended);
    if (!active->log->closed()) {
        if (status.ok()) {
            active->loaded = true;
            transaction::Effects effects;
            active->machine.loaded(&effects);
            carry_out(active, std::move(effects));
            log_->debug("loaded the transactions of a partition",
                        {{"partition", active->index.value()},
                         {"transactional_ids", active->machine.transactional_id_count()}});
            arm(active);
            for (io::Gate* gate : active->waiting) gate->open();
            active->waiting.clear();
        } else {
            log_->error("cannot load the transactions of a partition; they are not served here",
                        {{"partition", active->index.value()}, {"reason", status.error().message}});
            unload(active, ErrorCode::not_coordinator);
        }
    }
    --loading_count_;
    if (loading_count_ == 0 && idle_waiter_) idle_waiter_->open();
}

void TransactionCoordinator::reload(const ActivePointer& failed) {
    const auto found = active_.find(failed->index);
    if (found == active_.end() || found->second != failed) return;
    log_->warning("the transactions of a partition could not be written; loading them again",
                  {{"partition", failed->index.value()}});
    unload(failed, ErrorCode::not_coordinator);
    const Topic* topic = partitions_->topic(transaction_topic);
    Partition* partition = topic ? topic->partition(failed->index) : nullptr;
    if (partition) follow(failed->index, partition->shared_from_this());
}

void TransactionCoordinator::stop() {
    stopped_ = true;
    ports_->clock.cancel(expiry_timer_);
    markers_.stop();
    while (!active_.empty()) {
        const ActivePointer active = active_.begin()->second;
        unload(active, ErrorCode::not_coordinator);
    }
}

io::Task<void> TransactionCoordinator::ended() {
    co_await markers_.ended();
    if (loading_count_ == 0) co_return;
    io::Gate gate(ports_->clock);
    idle_waiter_ = &gate;
    co_await gate.opened(Instant::never());
    idle_waiter_ = nullptr;
}

TransactionCoordinator::ActivePointer TransactionCoordinator::find(
    std::string_view transactional_id) const {
    if (partition_count_ == 0) return nullptr;
    const auto found = active_.find(transaction_partition(transactional_id, partition_count_));
    return found == active_.end() ? nullptr : found->second;
}

io::Task<Result<TransactionCoordinator::ActivePointer>> TransactionCoordinator::serving(
    std::string transactional_id) {
    ActivePointer active = find(transactional_id);
    if (!active) {
        co_return Error{ErrorCode::not_coordinator,
                        "this broker does not coordinate the transactions of " + transactional_id};
    }
    if (active->loaded) co_return active;
    ErrorCode error = co_await loaded(active);
    if (error != ErrorCode::none)
        co_return Error{error, "the partition of the transactional id is being loaded"};
    co_return active;
}

io::Task<ErrorCode> TransactionCoordinator::loaded(ActivePointer active) {
    if (!active->loaded) {
        io::Gate gate(ports_->clock);
        active->waiting.push_back(&gate);
        Instant deadline = ports_->clock.now() + load_patience;
        bool opened = co_await gate.opened(deadline);
        if (!opened) std::erase(active->waiting, &gate);
    }
    if (active->log->closed()) co_return ErrorCode::not_coordinator;
    co_return active->loaded ? ErrorCode::none : ErrorCode::coordinator_load_in_progress;
}

// --- carrying out what the machine asks

transaction::Moment TransactionCoordinator::moment() const {
    return {ports_->clock.policy_now(), ports_->clock.wall_now()};
}

void TransactionCoordinator::carry_out(const ActivePointer& active, transaction::Effects effects) {
    if (effects.records.empty() && effects.markers.empty()) return;
    auto markers = std::make_shared<std::vector<transaction::Markers>>(std::move(effects.markers));
    CoordinatorLog::write(active->log, std::move(effects.records),
                          [this, active, markers](ErrorCode error) {
                              if (error == ErrorCode::none) {
                                  send(active, std::move(*markers));
                              } else {
                                  reload(active);
                              }
                          });
}

io::Task<ErrorCode> TransactionCoordinator::written(ActivePointer active,
                                                    transaction::Effects effects) {
    struct Outcome {
        explicit Outcome(io::Clock& clock) : gate(clock) {}
        io::Gate gate;
        std::vector<transaction::Markers> markers;
        ErrorCode error = ErrorCode::none;
        bool known = false;
    };
    auto outcome = std::make_shared<Outcome>(ports_->clock);
    outcome->markers = std::move(effects.markers);
    CoordinatorLog::Done done = [this, active, outcome](ErrorCode error) {
        outcome->error = error;
        outcome->known = true;
        outcome->gate.open();
        if (error == ErrorCode::none) {
            send(active, std::move(outcome->markers));
        } else {
            reload(active);
        }
    };
    CoordinatorLog::write(active->log, std::move(effects.records), std::move(done));
    if (!outcome->known) {
        Instant deadline = ports_->clock.now() + write_timeout;
        co_await outcome->gate.opened(deadline);
    }
    co_return outcome->known ? outcome->error : ErrorCode::coordinator_not_available;
}

void TransactionCoordinator::send(const ActivePointer& active,
                                  std::vector<transaction::Markers> markers) {
    for (transaction::Markers& each : markers) {
        const transaction::Markers told = each;
        markers_.send(std::move(each), active->log, [this, active, told] { marked(active, told); });
    }
}

void TransactionCoordinator::marked(const ActivePointer& active,
                                    const transaction::Markers& markers) {
    if (active->log->closed()) return;
    transaction::Effects effects;
    active->machine.marked(markers, moment(), &effects);
    carry_out(active, std::move(effects));
    const auto range = active->awaiting_end.equal_range(markers.producer.transactional_id);
    for (auto each = range.first; each != range.second; ++each) each->second->open();
    active->awaiting_end.erase(range.first, range.second);
    if (!active->log->closed()) arm(active);
}

void TransactionCoordinator::arm(const ActivePointer& active) {
    const Instant due = active->machine.deadline();
    if (due == active->timer_due && active->timer != 0) return;
    // A timer that comes too early finds nothing to do and is set anew.
    if (active->timer != 0 && active->timer_due < due) return;
    ports_->clock.cancel(active->timer);
    active->timer = 0;
    active->timer_due = due;
    if (due == Instant::never()) return;
    active->timer = ports_->clock.at_policy(due, [this, active] { elapsed(active); });
}

void TransactionCoordinator::elapsed(const ActivePointer& active) {
    active->timer = 0;
    active->timer_due = Instant::never();
    transaction::Effects effects;
    active->machine.elapsed(moment(), &effects);
    for (const transaction::Markers& each : effects.markers) {
        log_->info("a transaction is aborted, it took too long",
                   {{"transactional_id", each.producer.transactional_id}});
    }
    carry_out(active, std::move(effects));
    if (!active->log->closed()) arm(active);
}

void TransactionCoordinator::schedule_expiry() {
    const Instant due = ports_->clock.policy_now() + expiry_interval_;
    expiry_timer_ = ports_->clock.at_policy(due, [this] { expire(); });
}

void TransactionCoordinator::expire() {
    std::vector<ActivePointer> held;
    for (const auto& [index, active] : active_) held.push_back(active);
    for (const ActivePointer& active : held) {
        if (!active->loaded) continue;
        transaction::Effects effects;
        active->machine.expire_ids(moment(), &effects);
        carry_out(active, std::move(effects));
    }
    schedule_expiry();
}

std::size_t TransactionCoordinator::transactional_id_count() const {
    std::size_t count = 0;
    for (const auto& [index, active] : active_) count += active->machine.transactional_id_count();
    return count;
}

// --- requests

io::Task<Result<std::optional<ProducerId>>> TransactionCoordinator::fresh_id(
    ActivePointer active, std::string transactional_id) {
    if (!active->machine.needs_producer_id(transactional_id)) co_return std::optional<ProducerId>();
    const Instant deadline = ports_->clock.now() + call_timeout;
    Result<ProducerId> next = co_await next_producer_id_(deadline);
    // Whoever asked for the id is told by a code that makes it try again.
    if (!next.ok()) co_return Error{ErrorCode::coordinator_not_available, next.error().message};
    if (active->log->closed())
        co_return Error{ErrorCode::not_coordinator, "the transactional id has moved"};
    co_return std::optional<ProducerId>(*next);
}

io::Task<bool> TransactionCoordinator::ended_by(ActivePointer active, std::string transactional_id,
                                                Instant deadline) {
    while (!active->log->closed() && active->machine.is_ending(transactional_id)) {
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
        arm(*active);
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
            arm(*active);
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
        arm(*active);
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
    std::vector<ActivePointer> held;
    for (const auto& [index, active] : active_) held.push_back(active);
    for (ActivePointer active : held) {
        ErrorCode error = co_await loaded(active);
        if (error == ErrorCode::none) {
            active->machine.list(filter, moment(), &response.transaction_states);
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
    const PartitionIndex index = transaction_partition(
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
