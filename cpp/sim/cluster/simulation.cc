#include "sim/cluster/simulation.h"

#include <memory>
#include <optional>
#include <vector>

#include "base/assert.h"
#include "base/probe.h"
#include "io/gate.h"
#include "sim/checkers/ledger.h"
#include "sim/cluster/broker.h"
#include "sim/cluster/sabotage.h"
#include "sim/faults/fault.h"
#include "sim/workloads/load.h"

namespace pabal::sim {
namespace {

constexpr char broker_host[] = "broker-0";
constexpr int deaths_in_recovery_max = 10;
constexpr Duration look_again = Duration::milliseconds(20);
// Far beyond what any phase may take: only a fault of the simulator itself gets there.
constexpr Duration run_limit = Duration::seconds(24 * 3600);

Skew broker_skew(const Scheduler& scheduler) {
    Prng random = scheduler.random("skew of the broker");
    Skew skew;
    skew.offset = Duration::milliseconds(random.between(0, 100'000));
    skew.drift_per_million = random.between(-100, 100);
    skew.wall_offset = Duration::milliseconds(random.between(-2000, 2000));
    return skew;
}

std::vector<std::unique_ptr<Checker>> checkers_of(const Scenario& scenario) {
    FlushPolicy policy;
    const auto* topics = &scenario.topics;
    policy.is_synced = [topics](const std::string& topic) {
        for (const auto& spec : *topics) {
            if (spec.name == topic) return spec.is_synced();
        }
        return false;
    };
    return all_checkers(policy);
}

class Run {
public:
    Run(const Scenario& scenario, const SimulationOptions& options, const MakeServer& make)
        : scenario_(scenario),
          scheduler_(options.seed),
          network_(scheduler_),
          director_(scheduler_, "director", Skew()),
          ledger_(checkers_of(scenario)),
          machine_(scheduler_, network_, broker_host, scenario.disk_bytes, broker_skew(scheduler_)),
          broker_(scheduler_, machine_, director_, make, [this](Death death) { died(death); }),
          load_(scheduler_, network_, ledger_, broker_host),
          random_(scheduler_.random("director")),
          stage_{scheduler_,
                 network_,
                 director_,
                 broker_,
                 load_,
                 random_,
                 [this] { return revive(this); },
                 [this] { return restart(this); }} {
        scheduler_.trace().set_sink(options.sink);
        network_.profile = scenario.network;
        apply_sabotage(options.sabotage, machine_, network_);
        probe::begin(options.sabotage);
        reader_ = &load_.add_client();
    }

    Outcome carry_out() {
        bool ended = false;
        director_.post([this, &ended] { io::detach(direct(this, &ended)); });
        const bool in_time =
            scheduler_.run_until([&ended] { return ended; }, scheduler_.now() + run_limit);
        if (!in_time && !failed()) liveness_ = "the run does not end";
        Outcome outcome;
        if (ledger_.violation()) {
            outcome.verdict = Verdict::safety_violated;
            outcome.invariant = ledger_.violation()->invariant;
            outcome.what = ledger_.violation()->what;
        } else if (!liveness_.empty()) {
            outcome.verdict = Verdict::liveness_violated;
            outcome.invariant = "liveness";
            outcome.what = liveness_;
        }
        outcome.trace_hash = scheduler_.trace().hash();
        outcome.event_count = scheduler_.trace().event_count();
        outcome.virtual_time = scheduler_.now() - Instant();
        outcome.broker_lives = broker_.lives();
        for (const auto& workload : workloads_) outcome.progress += workload->progress();
        outcome.faults = fault_counts_;
        outcome.probes = probe::counts();
        probe::end();
        return outcome;
    }

private:
    bool failed() const { return ledger_.violation().has_value() || !liveness_.empty(); }
    void fail_liveness(const std::string& what) {
        if (liveness_.empty()) liveness_ = what;
    }
    void tell(const std::string& what) {
        scheduler_.trace().remark(scheduler_.now(), "director", what);
    }

    void died(Death death) {
        load_.may_write = false;
        power_was_lost_ = power_was_lost_ || death == Death::power_lost;
        ledger_.each([&](Checker& checker) { checker.broker_died(death); });
        tell(death == Death::killed ? "the broker is killed" : "the broker loses power");
    }

    bool dies_in_recovery() {
        for (const auto& fault : scenario_.faults) {
            if (fault.kind.ends_with("-in-disk-operation")) return random_.chance(1, 3);
        }
        return false;
    }

    // From down to serving, with its logs read if need be; false once the run has failed.
    static io::Task<bool> bring_up(Run* run, bool may_die) {
        auto& broker = run->broker_;
        // What was meant for its last life must not reach the next one before that was read.
        while (run->load_.writes_under_way > 0) co_await wait(&run->director_, look_again);
        for (int deaths = 0;; ++deaths) {
            if (may_die && deaths < deaths_in_recovery_max && run->dies_in_recovery()) {
                const auto death = run->random_.chance(1, 2) ? Death::killed : Death::power_lost;
                broker.die_in_disk_operation(1 + run->random_.below(40), death);
            }
            auto started = co_await broker.start(run->scenario_.liveness);
            run->machine_.disk().blow_after(0, nullptr);
            if (broker.is_up()) break;
            if (!started.ok() && started.error().code == ErrorCode::request_timed_out) {
                run->fail_liveness(started.error().message);
                co_return false;
            }
            if (broker.has_died()) {
                auto buried = co_await broker.bury(run->scenario_.liveness);
                if (buried.ok()) continue;
                run->fail_liveness(buried.error().message);
                co_return false;
            }
            const std::string why = started.error().message;
            if (broker.lives() == 1) {
                run->fail_liveness("the broker does not start: " + why);
            } else {
                run->ledger_.each([&](Checker& checker) { checker.start_failed(why); });
            }
            co_return false;
        }
        run->tell("the broker is up");
        run->ledger_.each([](Checker& checker) { checker.broker_started(); });
        // After a loss of power the checkers must learn what is left before anybody writes.
        const bool read = run->power_was_lost_ || run->random_.chance(1, 2);
        if (read && !run->load_.topics.empty()) {
            auto all_read = co_await read_all(run);
            if (!all_read) co_return false;
        }
        run->load_.may_write = true;
        co_return true;
    }

    // Only a disk that failed may make the broker give up.
    bool may_give_up() const {
        for (const auto& fault : scenario_.faults) {
            if (fault.kind == "disk-full" || fault.kind == "disk-errors") return true;
        }
        return false;
    }

    static io::Task<bool> revive(Run* run) {
        if (!run->broker_.gave_up().empty() && !run->may_give_up()) {
            run->fail_liveness("the broker gave up although its disk was whole: " +
                               run->broker_.gave_up());
        }
        if (run->failed()) co_return false;
        auto buried = co_await run->broker_.bury(run->scenario_.liveness);
        if (!buried.ok()) {
            run->fail_liveness(buried.error().message);
            co_return false;
        }
        auto up = co_await bring_up(run, true);
        co_return up;
    }

    static io::Task<bool> restart(Run* run) {
        if (run->failed()) co_return false;
        run->load_.may_write = false;
        auto stopped = co_await stop(run);
        if (!stopped) co_return false;
        auto up = co_await bring_up(run, true);
        co_return up;
    }

    static io::Task<bool> stop(Run* run) {
        run->tell("the broker is told to stop");
        auto stopped = co_await run->broker_.stop(run->scenario_.liveness);
        if (!stopped.ok()) {
            run->fail_liveness(stopped.error().message);
            co_return false;
        }
        run->ledger_.each([](Checker& checker) { checker.broker_stopped_cleanly(); });
        co_return true;
    }

    // Shows every partition to the checkers.
    static io::Task<bool> read_all(Run* run) {
        auto ended = std::make_shared<std::optional<Status>>();
        run->reader_->run(read_into(run, ended));
        while (!ended->has_value()) co_await wait(&run->director_, look_again);
        run->power_was_lost_ = false;
        if (!(*ended)->ok()) {
            run->fail_liveness("with nothing going wrong, " + (*ended)->error().message);
        }
        co_return !run->failed();
    }
    static io::Task<void> read_into(Run* run, std::shared_ptr<std::optional<Status>> ended) {
        auto status = co_await read_everything(&run->load_, run->reader_, run->scenario_.liveness);
        *ended = std::move(status);
    }

    static io::Task<bool> make_topics(Run* run) {
        auto ended = std::make_shared<std::optional<Status>>();
        run->reader_->run(make_topics_into(run, ended));
        while (!ended->has_value()) co_await wait(&run->director_, look_again);
        if (!(*ended)->ok()) run->fail_liveness((*ended)->error().message);
        co_return !run->failed();
    }
    static io::Task<void> make_topics_into(Run* run, std::shared_ptr<std::optional<Status>> ended) {
        auto status = co_await create_topics(&run->load_, run->reader_, run->scenario_.topics,
                                             run->scenario_.liveness);
        *ended = std::move(status);
    }

    void start_workloads() {
        for (const auto& spec : scenario_.workloads) {
            if (spec.kind == "produce")
                workloads_.push_back(make_produce(load_, spec));
            else if (spec.kind == "consume")
                workloads_.push_back(make_consume(load_, spec));
            else if (spec.kind == "commit-offsets")
                workloads_.push_back(make_commit_offsets(load_, spec));
            else if (spec.kind == "delete-records")
                workloads_.push_back(make_delete_records(load_, spec));
            else if (spec.kind == "change-topics")
                workloads_.push_back(make_change_topics(load_, spec));
            else
                fail_liveness("there is no workload " + spec.kind);
        }
        for (auto& workload : workloads_) workload->start();
    }

    Duration draw(const DurationRange& range) {
        return Duration::nanoseconds(
            random_.between(range.least.to_nanoseconds(), range.most.to_nanoseconds()));
    }

    static io::Task<void> safety(Run* run) {
        const Instant end = run->director_.now() + run->scenario_.safety;
        const auto& specs = run->scenario_.faults;
        std::vector<std::unique_ptr<Fault>> faults;
        std::vector<Instant> next;
        for (const auto& spec : specs) {
            faults.push_back(make_fault(spec.kind));
            if (!faults.back()) {
                run->fail_liveness("there is no fault " + spec.kind);
                co_return;
            }
            next.push_back(run->director_.now() + run->draw(spec.every));
        }
        while (!run->failed() && run->director_.now() < end) {
            std::size_t due = specs.size();
            for (std::size_t i = 0; i < specs.size(); ++i) {
                if (due == specs.size() || next[i] < next[due]) due = i;
            }
            if (run->broker_.has_died()) {
                auto up_again = co_await revive(run);
                if (!up_again) co_return;
            }
            if (due == specs.size() || next[due] > run->director_.now()) {
                co_await wait(&run->director_, look_again);
                continue;
            }
            const Duration lasts = run->draw(specs[due].lasts);
            ++run->fault_counts_[specs[due].kind];
            run->tell("fault: " + specs[due].kind);
            auto going_on = co_await faults[due]->strike(&run->stage_, lasts);
            if (!going_on) co_return;
            next[due] = run->director_.now() + run->draw(specs[due].every);
        }
    }

    // Every workload has to come forward once more, and then to rest.
    static io::Task<void> liveness(Run* run) {
        run->tell("nothing fails any more");
        const Instant deadline = run->director_.now() + run->scenario_.liveness;
        std::vector<std::uint64_t> before;
        for (const auto& workload : run->workloads_) before.push_back(workload->progress());
        for (std::size_t i = 0; i < run->workloads_.size(); ++i) {
            while (!run->failed() && run->workloads_[i]->progress() == before[i]) {
                if (run->broker_.has_died()) co_await revive(run);
                if (run->director_.now() > deadline) {
                    run->fail_liveness("the " + run->workloads_[i]->name() +
                                       " come no further although nothing fails any more");
                    co_return;
                }
                co_await wait(&run->director_, look_again);
            }
        }
        run->load_.stopping = true;
        auto rested = co_await rest(run, deadline);
        if (!rested) run->fail_liveness("not every request is answered for good");
    }

    static io::Task<bool> rest(Run* run, Instant deadline) {
        for (const auto& workload : run->workloads_) {
            while (workload->busy() > 0) {
                if (run->director_.now() > deadline) co_return false;
                co_await wait(&run->director_, look_again);
            }
        }
        co_return true;
    }

    // Everything is read at rest, and once more after a clean shutdown and a loss of power.
    static io::Task<void> conclude(Run* run) {
        run->load_.may_write = false;
        auto all_read = co_await read_all(run);
        if (!all_read) co_return;
        auto stopped = co_await stop(run);
        if (!stopped) co_return;
        run->machine_.lose_power();
        auto up = co_await bring_up(run, false);
        if (!up) co_return;
        run->load_.may_write = false;
        auto read_again = co_await read_all(run);
        if (!read_again) co_return;
        co_await stop(run);
    }

    // After a failure: what still runs is ended, so that nothing is left in memory.
    static io::Task<void> clean_up(Run* run) {
        run->load_.stopping = true;
        run->load_.abandoned = true;
        run->network_.heal_all();
        if (run->broker_.is_alive()) {
            run->broker_.process().set_paused(false);
            run->broker_.process().die(Death::killed);
        }
        const Instant deadline = run->director_.now() + Duration::seconds(60);
        co_await rest(run, deadline);
        if (run->broker_.has_died()) co_await run->broker_.bury(Duration::seconds(60));
    }

    static io::Task<void> direct(Run* run, bool* ended) {
        auto up = co_await bring_up(run, false);
        if (up) {
            auto made = co_await make_topics(run);
            if (made) {
                run->start_workloads();
                co_await safety(run);
            }
        }
        if (!run->failed()) co_await liveness(run);
        if (!run->failed()) co_await conclude(run);
        if (run->failed()) co_await clean_up(run);
        *ended = true;
    }

    const Scenario& scenario_;
    Scheduler scheduler_;
    Network network_;
    sim::Clock director_;
    Ledger ledger_;
    Machine machine_;
    Broker broker_;
    Load load_;
    Prng random_;
    Stage stage_;
    std::vector<std::unique_ptr<Workload>> workloads_;
    Client* reader_ = nullptr;
    bool power_was_lost_ = false;
    std::string liveness_;
    std::map<std::string, std::uint64_t> fault_counts_;
};

}  // namespace

Outcome simulate(const Scenario& scenario, const SimulationOptions& options,
                 const MakeServer& make) {
    Run run(scenario, options, make);
    return run.carry_out();
}

}  // namespace pabal::sim
