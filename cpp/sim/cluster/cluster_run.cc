// A run of several brokers. Clients write whoever dies; a keeper brings each broker up again that
// is down. At last nothing fails any more: all replicas have to come in sync, all clients forward
// and to rest, all brokers to stop, and what each holds on its disk must be the same.
#include <algorithm>

#include "sim/client/stored_log.h"
#include "sim/cluster/broker.h"
#include "sim/cluster/run.h"
#include "sim/cluster/sabotage.h"

namespace pabal::sim {
namespace {

// Until everything is in sync again, before the power of one broker alone may go: what its page
// cache held must be elsewhere.
constexpr Duration in_sync_patience = Duration::seconds(20);

std::vector<std::string> hosts_of(const Scenario& scenario) {
    std::vector<std::string> hosts;
    for (std::uint32_t id = 0; id < scenario.brokers; ++id) {
        hosts.push_back("broker-" + std::to_string(id));
    }
    return hosts;
}

class ClusterRun final : public Run {
public:
    ClusterRun(const Scenario& scenario, const SimulationOptions& options, const MakeServer& make)
        : Run(scenario, options, hosts_of(scenario)),
          stage_{scheduler_,
                 network_,
                 director_,
                 {},
                 {},
                 load_,
                 random_,
                 [this] { return release(); },
                 [this] { return restart(); }} {
        for (std::uint32_t id = 0; id < scenario.brokers; ++id) {
            nodes_.push_back(std::make_unique<Node>(this, make, static_cast<std::int32_t>(id)));
            stage_.brokers.push_back(&nodes_.back()->broker);
            apply_sabotage(options.sabotage, nodes_.back()->machine, network_);
        }
    }

private:
    struct Node {
        Node(ClusterRun* run, const MakeServer& make, std::int32_t number)
            : id(number),
              machine(run->scheduler_, run->network_, run->load_.broker_hosts[number],
                      run->scenario_.disk_bytes,
                      broker_skew(run->scheduler_, "skew of broker " + std::to_string(number))),
              broker(
                  run->scheduler_, machine, run->director_,
                  [run, make, number](ServerSeat seat) {
                      seat.id = number;
                      seat.hosts = run->load_.broker_hosts;
                      return make(std::move(seat));
                  },
                  [run, this](Death death) { run->died(this, death); }) {}

        std::int32_t id;
        Machine machine;
        Broker broker;
        bool held = false;      // Down for as long as a fault lasts.
        bool stopping = false;  // By a clean shutdown.
        bool kept = false;      // Its keeper is at work.
    };

    std::uint64_t lives() const override {
        std::uint64_t all = 0;
        for (const auto& node : nodes_) all += node->broker.lives();
        return all;
    }

    std::string name_of(const Node& node) const { return "broker " + std::to_string(node.id); }

    void died(Node* node, Death death) {
        // One loss of power at a time is survived as a kill is: the others hold what was promised.
        const Death seen = loses_sets_ ? death : Death::killed;
        ledger_.each([&](Checker& checker) { checker.broker_died(seen); });
        tell(name_of(*node) + (death == Death::killed ? " is killed" : " loses power"));
    }

    // The life of one broker: it is brought up whenever it is down and nobody holds it there.
    static io::Task<void> keep(ClusterRun* run, Node* node) {
        node->kept = true;
        while (!run->over_) {
            if (node->held || node->stopping || node->broker.is_up()) {
                co_await wait(&run->director_, look_again);
            } else {
                auto going_on = co_await bring_up(run, node);
                if (!going_on) break;
            }
        }
        node->kept = false;
    }

    // One attempt. False once the run has failed.
    static io::Task<bool> bring_up(ClusterRun* run, Node* node) {
        auto& broker = node->broker;
        if (broker.has_died()) {
            if (!broker.gave_up().empty() && !run->may_give_up()) {
                run->fail_liveness(run->name_of(*node) +
                                   " gave up although its disk was whole: " + broker.gave_up());
            }
            auto buried = co_await broker.bury(run->scenario_.liveness);
            if (!buried.ok())
                run->fail_liveness(run->name_of(*node) + ": " + buried.error().message);
            if (run->failed()) co_return false;
        }
        if (run->is_safety_ && run->dies_in_recovery()) {
            broker.die_in_disk_operation(1 + run->random_.below(40), run->death_in_recovery_);
        }
        auto started = co_await broker.start(run->scenario_.liveness);
        node->machine.disk().blow_after(0, nullptr);
        if (broker.is_up()) {
            run->tell(run->name_of(*node) + " is up");
            run->ledger_.each([](Checker& checker) { checker.broker_started(); });
            co_return true;
        }
        if (broker.is_stuck()) {
            run->fail_liveness(run->name_of(*node) + ": " + started.error().message);
        } else if (!broker.has_died()) {
            const std::string why = run->name_of(*node) + ": " + started.error().message;
            run->tell("start failed: " + why);
            // Alone it may wait for the others in vain, and give up: somebody starts it again.
            if (!run->is_safety_ || started.error().code != ErrorCode::request_timed_out) {
                run->ledger_.each([&](Checker& checker) { checker.start_failed(why); });
            }
        }
        co_return !run->failed();
    }

    io::Task<bool> tend() override { co_return !failed(); }

    // The struck may come back.
    io::Task<bool> release() {
        for (auto& node : nodes_) node->held = false;
        co_return !failed();
    }

    io::Task<bool> restart() {
        for (auto& node : nodes_) {
            if (node->held) io::detach(stop(this, node.get()));
        }
        auto stopped = co_await all_stopped();
        if (!stopped) co_return false;
        auto released = co_await release();
        co_return released;
    }

    // A clean shutdown, if it is up.
    static io::Task<void> stop(ClusterRun* run, Node* node) {
        if (!node->broker.is_up()) co_return;
        node->stopping = true;
        run->tell(run->name_of(*node) + " is told to stop");
        auto stopped = co_await node->broker.stop(run->scenario_.liveness);
        if (!stopped.ok()) {
            run->fail_liveness(run->name_of(*node) + ": " + stopped.error().message);
        }
        node->stopping = false;
    }

    io::Task<bool> all_stopped() {
        for (auto& node : nodes_) {
            while (node->stopping) co_await wait(&director_, look_again);
        }
        co_return !failed();
    }

    io::Task<bool> strike(Fault* fault, const FaultSpec* spec, Duration lasts) override {
        loses_sets_ = spec->most > 1;
        death_in_recovery_ =
            spec->kind.starts_with("power-loss") ? Death::power_lost : Death::killed;
        if (spec->kind.starts_with("power-loss") && spec->most == 1) {
            auto in_sync = co_await come_in_sync(in_sync_patience);
            if (!in_sync.ok()) co_return !failed();
        }
        stage_.struck.clear();
        const auto count = 1 + random_.below(std::min<std::uint64_t>(spec->most, nodes_.size()));
        while (stage_.struck.size() < count) {
            auto& node = *nodes_[random_.below(nodes_.size())];
            if (node.held) continue;
            node.held = true;
            stage_.struck.push_back(&node.broker);
            tell("it strikes " + name_of(node));
        }
        auto going_on = co_await fault->strike(&stage_, lasts);
        auto released = co_await release();
        co_return going_on&& released;
    }

    io::Task<Status> come_in_sync(Duration patience) {
        std::function<io::Task<Status>()> work = [this, patience] {
            return await_in_sync(reader_, patience);
        };
        auto status = co_await by_reader(work);
        co_return status;
    }

    io::Task<bool> start_all() {
        over_ = false;
        for (auto& node : nodes_) io::detach(keep(this, node.get()));
        const Instant deadline = director_.now() + scenario_.liveness;
        auto up = co_await all_up(deadline);
        co_return up;
    }

    io::Task<bool> all_up(Instant deadline) {
        for (auto& node : nodes_) {
            while (!failed() && !node->broker.is_up()) {
                if (director_.now() > deadline) {
                    fail_liveness(name_of(*node) + " does not come up");
                }
                co_await wait(&director_, look_again);
            }
        }
        co_return !failed();
    }

    // Clean shutdowns, in an order that nobody chose.
    io::Task<bool> stop_all() {
        over_ = true;
        for (auto& node : nodes_) {
            while (node->kept) co_await wait(&director_, look_again);
        }
        std::vector<Node*> order;
        for (auto& node : nodes_) order.push_back(node.get());
        for (std::size_t i = order.size(); i > 1; --i) {
            std::swap(order[i - 1], order[random_.below(i)]);
        }
        const bool together = random_.chance(1, 2);
        for (auto* node : order) {
            io::detach(stop(this, node));
            if (together) continue;
            auto stopped = co_await all_stopped();
            if (!stopped) co_return false;
        }
        auto stopped = co_await all_stopped();
        if (stopped) ledger_.each([](Checker& checker) { checker.broker_stopped_cleanly(); });
        co_return stopped;
    }

    // While all are down: what stands on their disks, told to the checkers.
    void show_replicas() {
        for (auto& node : nodes_) {
            const auto process = node->machine.boot();
            auto& disk = process->ports().disk;
            for (const auto& topic : load_.topics) {
                for (std::int32_t index = 0; index < topic.spec.partitions; ++index) {
                    show_replica(*node, disk, {topic.spec.name, index}, std::nullopt);
                }
            }
            show_replica(*node, disk, {"__cluster_metadata", 0}, committed_metadata_);
        }
    }

    void show_replica(const Node& node, io::Disk& disk, const Partition& partition,
                      std::optional<Offset> committed) {
        Replica replica{partition, BrokerId(node.id), {}, committed};
        std::string directory;
        for (const char* root : {first_log_directory, second_log_directory}) {
            const std::string place = std::string(root) + "/" + text(partition);
            const auto exists = disk.exists(place);
            if (exists.ok() && *exists) directory = place;
        }
        if (directory.empty()) return;
        auto batches = read_stored_log(disk, directory);
        if (!batches.ok()) {
            ledger_.each([&](Checker& checker) {
                checker.response_garbled(name_of(node) + ": " + directory + ": " +
                                         batches.error().message);
            });
            return;
        }
        replica.batches = std::move(*batches);
        ledger_.each([&](Checker& checker) { checker.replica_read(replica); });
    }

    // How far the metadata log is committed, as its leader says, once all have that much.
    io::Task<Status> ask_for_quorum() {
        const Duration patience = Duration::seconds(2);
        const Instant deadline = reader_->after(patience);
        auto* broker = &reader_->wire();
        io::Clock* clock = &reader_->clock();
        do {
            auto view = co_await describe_quorum(broker, patience);
            if (view.ok() && view->holders >= nodes_.size()) {
                committed_metadata_ = view->high_watermark;
                co_return Status();
            }
            co_await wait(clock, look_again);
        } while (clock->now() < deadline);
        co_return Status();
    }

    io::Task<void> heal() {
        is_safety_ = false;
        network_.heal_all();
        network_.profile = scenario_.network;
        for (auto& node : nodes_) {
            node->machine.disk().faults = Disk::Faults();
            node->broker.set_paused(false);
        }
        co_await release();
        const Instant deadline = director_.now() + scenario_.liveness;
        auto up = co_await all_up(deadline);
        if (!up) co_return;
        auto in_sync = co_await come_in_sync(scenario_.liveness);
        if (!in_sync.ok()) {
            fail_liveness("nothing fails any more, but " + in_sync.error().message);
        }
    }

    // Everything is read at rest and compared on the disks, and read once more after a loss of all
    // power.
    io::Task<void> conclude() {
        load_.may_write = false;
        auto in_sync = co_await come_in_sync(scenario_.liveness);
        if (!in_sync.ok()) fail_liveness("at rest, " + in_sync.error().message);
        auto all_read = co_await read_all();
        if (!all_read) co_return;
        committed_metadata_ = Offset(0);
        std::function<io::Task<Status>()> ask = [this] { return ask_for_quorum(); };
        co_await by_reader(ask);
        auto stopped = co_await stop_all();
        if (!stopped) co_return;
        show_replicas();
        for (auto& node : nodes_) node->machine.lose_power();
        auto up = co_await start_all();
        if (!up) co_return;
        auto read_again = co_await read_all();
        if (!read_again) co_return;
        co_await stop_all();
    }

    // After a failure: what still runs is ended, so that nothing is left in memory.
    io::Task<void> clean_up() {
        over_ = true;
        load_.stopping = true;
        load_.abandoned = true;
        network_.heal_all();
        for (auto& node : nodes_) {
            node->broker.set_paused(false);
            if (node->broker.is_alive()) node->broker.die(Death::killed);
        }
        const Instant deadline = director_.now() + Duration::seconds(60);
        co_await rest(deadline);
        for (auto& node : nodes_) {
            while ((node->kept || node->stopping) && director_.now() < deadline) {
                co_await wait(&director_, look_again);
            }
            if (!node->kept && node->broker.has_died()) {
                co_await node->broker.bury(Duration::seconds(60));
            }
        }
    }

    io::Task<void> direct() override {
        auto up = co_await start_all();
        if (up) {
            auto made = co_await make_topics();
            if (made) {
                load_.may_write = true;
                start_workloads();
                is_safety_ = true;
                co_await safety();
                is_safety_ = false;
            }
        }
        if (!failed()) co_await heal();
        if (!failed()) co_await liveness();
        if (!failed()) co_await conclude();
        if (failed()) co_await clean_up();
    }

    std::vector<std::unique_ptr<Node>> nodes_;
    Stage stage_;
    Offset committed_metadata_;
    bool over_ = false;
    bool is_safety_ = false;
    bool loses_sets_ = false;  // The fault at work may take the power of several.
    Death death_in_recovery_ = Death::killed;
};

}  // namespace

std::unique_ptr<Run> make_cluster_run(const Scenario& scenario, const SimulationOptions& options,
                                      const MakeServer& make) {
    return std::make_unique<ClusterRun>(scenario, options, make);
}

}  // namespace pabal::sim
