// How the active controller notices that a broker is dead: by its silence, or at once when its
// connection ends and nobody listens at its address any more.
#include <cerrno>

#include "base/log.h"
#include "controller/brokers.h"
#include "controller/leadership.h"
#include "io/network.h"
#include "runtime/controller_state.h"

namespace pabal::runtime {
namespace {

using metadata::BrokerImage;
using metadata::Record;

// The sockets of a process end one after the other, so that the first look may come too early.
constexpr Duration pauses[] = {Duration(), Duration::milliseconds(5), Duration::milliseconds(20),
                               Duration::milliseconds(75), Duration::milliseconds(200)};
// A host that does not answer proves nothing; its session has to end.
constexpr Duration probe_timeout = Duration::milliseconds(250);

// How many leaders are given back at once, as in Kafka.
constexpr std::size_t max_balanced = 1000;

}  // namespace

void Controller::connection_lost(BrokerId broker, BrokerEpoch epoch) {
    state_->sessions.connection_lost(broker, epoch);
    const BrokerImage* known = active_ ? state_->head.broker(broker) : nullptr;
    if (known && known->epoch == epoch && !known->fenced) suspect(broker);
}

void Controller::suspect(BrokerId broker) {
    const BrokerImage* known = state_->head.broker(broker);
    if (!known || state_->stopping || state_->probing.contains(broker)) return;
    io::detach(probe(broker, known->epoch));
}

io::Task<void> Controller::probe(BrokerId broker, BrokerEpoch epoch) {
    io::Gate ended(ports_.clock);
    state_->probing[broker] = &ended;
    for (const Duration pause : pauses) {
        if (pause > Duration()) {
            const Instant until = ports_.clock.now() + pause;
            auto opened = co_await ended.opened(until);
            if (opened) break;
        }
        const BrokerImage* known =
            active_ && !state_->stopping ? state_->head.broker(broker) : nullptr;
        if (!known || known->fenced || known->epoch != epoch || known->endpoints.empty()) break;
        if (state_->sessions.is_connected(broker)) break;
        const metadata::Endpoint* endpoint = known->endpoint(config_.inter_broker_listener());
        if (!endpoint) endpoint = &known->endpoints.front();
        io::Address address{endpoint->host, endpoint->port};
        const Instant deadline = ports_.clock.now() + probe_timeout;
        auto stream = co_await ports_.network.connect(std::move(address), deadline);
        if (stream.ok()) {
            (*stream)->close();
            continue;
        }
        known = active_ && !state_->stopping ? state_->head.broker(broker) : nullptr;
        const bool same = known && !known->fenced && known->epoch == epoch &&
                          !state_->sessions.is_connected(broker);
        if (same && stream.error().errno_value == ECONNREFUSED) {
            fence(broker, "its connection ended and nobody listens at its address");
            break;
        }
    }
    state_->probing.erase(broker);
    if (state_->idle_gate) state_->idle_gate->open();
}

void Controller::fence(BrokerId broker, std::string_view why) {
    auto records = controller::fence_broker(broker, config_, state_->head);
    state_->sessions.fenced(broker);
    if (records.empty()) return;
    const std::size_t changes = records.size() - 1;
    auto submitted = submit_in_parts(records);
    if (!options_.log) return;
    if (submitted.ok())
        options_.log->warning(
            "fenced a broker",
            {{"broker", broker.value()}, {"reason", why}, {"partitions", changes}});
    else
        options_.log->error("could not fence a broker",
                            {{"broker", broker.value()}, {"reason", submitted.error().message}});
}

// A node alone needs no ticks.
void Controller::arm_tick() {
    if (state_->tick_timer != 0 || !active_ || state_->stopping) return;
    if (state_->head.brokers().size() < 2) return;
    state_->tick_timer = ports_.clock.at(ports_.clock.now() + controller::Sessions::tick, [this] {
        state_->tick_timer = 0;
        tick();
        arm_tick();
    });
}

void Controller::tick() {
    const Instant now = ports_.clock.now();
    // This process runs.
    if (const BrokerImage* self = state_->head.broker(config_.node_id()); self && !self->fenced)
        state_->sessions.spoke(self->id, self->epoch, image()->offset(), now);
    for (BrokerId broker : state_->sessions.elapsed(state_->head, now))
        fence(broker, "it was silent for broker.session.timeout.ms");
    if (now >= state_->next_unclean_election) {
        state_->next_unclean_election =
            now + Duration::milliseconds(config_.integer("unclean.leader.election.interval.ms"));
        elect_uncleanly();
    }
    if (now < state_->next_balance) return;
    state_->next_balance =
        now + Duration::seconds(config_.integer("leader.imbalance.check.interval.seconds"));
    if (!metadata::ConfigView(config_, state_->head).broker_boolean("auto.leader.rebalance.enable"))
        return;
    std::vector<Record> records;
    controller::balance_leaders(state_->head, config_, max_balanced, records);
    auto submitted = submit(records);
    if (options_.log && submitted.ok() && !records.empty())
        options_.log->info("gave leaderships back to preferred replicas",
                           {{"partitions", records.size()}});
}

}  // namespace pabal::runtime
