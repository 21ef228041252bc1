#include "sim/workloads/load.h"

#include "base/assert.h"

namespace pabal::sim {
namespace {

Skew skew_of(const Prng& random, std::int32_t client) {
    Prng draw = random.fork("skew of client " + std::to_string(client));
    Skew skew;
    skew.offset = Duration::milliseconds(draw.between(0, 100'000));
    skew.drift_per_million = draw.between(-100, 100);
    skew.wall_offset = Duration::milliseconds(draw.between(-2000, 2000));
    return skew;
}

}  // namespace

Client::Client(Load& load, std::int32_t id)
    : id_(id),
      machine_(load.scheduler, load.network, "client-" + std::to_string(id), 1 << 20,
               skew_of(load.scheduler.random("clients"), id)),
      process_(machine_.boot()),
      route_(process_->clock(), process_->ports().network, load.broker_hosts, machine_.name(),
             load.scheduler.random("route of client " + std::to_string(id)),
             [&load](const Partition& partition, Leader leader) {
                 load.ledger.each([&](Checker& checker) {
                     checker.told_leader(partition, leader.broker, leader.epoch);
                 });
             }),
      random_(load.scheduler.random("client " + std::to_string(id))) {}

void Client::run(io::Task<void> body) {
    auto task = std::make_shared<io::Task<void>>(std::move(body));
    clock().post([task] { io::detach(std::move(*task)); });
}

Duration Client::draw(const DurationRange& range) {
    return Duration::nanoseconds(
        random_.between(range.least.to_nanoseconds(), range.most.to_nanoseconds()));
}

Load::Load(Scheduler& all, Network& wires, Ledger& book, std::vector<std::string> hosts)
    : scheduler(all), network(wires), ledger(book), broker_hosts(std::move(hosts)) {}

Client& Load::add_client() {
    clients_.push_back(std::make_unique<Client>(*this, static_cast<std::int32_t>(clients_.size())));
    return *clients_.back();
}

Partition Load::any_partition(Prng& random) const {
    const auto& topic = topics[random.below(topics.size())];
    const auto index = random.below(static_cast<std::uint64_t>(topic.spec.partitions));
    return {topic.spec.name, static_cast<std::int32_t>(index)};
}

const Topic& Load::topic(const std::string& name) const {
    for (const auto& topic : topics) {
        if (topic.spec.name == name) return topic;
    }
    ASSERT(false, "a partition of a topic of the scenario");
    return topics.front();
}

}  // namespace pabal::sim
