// A run of one broker. Whenever it died, nobody writes until its logs were read: what it holds then
// can be compared with what had been promised, kill by kill.
#include "sim/cluster/broker.h"
#include "sim/cluster/run.h"
#include "sim/cluster/sabotage.h"

namespace pabal::sim {
namespace {

constexpr char broker_host[] = "broker-0";
constexpr int deaths_in_recovery_max = 10;

class LonelyRun final : public Run {
public:
    LonelyRun(const Scenario& scenario, const SimulationOptions& options, const MakeServer& make)
        : Run(scenario, options, {broker_host}),
          machine_(scheduler_, network_, broker_host, scenario.disk_bytes,
                   broker_skew(scheduler_, "skew of the broker")),
          broker_(scheduler_, machine_, director_, make, [this](Death death) { died(death); }),
          stage_{scheduler_,
                 network_,
                 director_,
                 {&broker_},
                 {&broker_},
                 load_,
                 random_,
                 [this] { return revive(); },
                 [this] { return restart(); }} {
        apply_sabotage(options.sabotage, machine_, network_);
    }

private:
    std::uint64_t lives() const override { return broker_.lives(); }

    void died(Death death) {
        load_.may_write = false;
        power_was_lost_ = power_was_lost_ || death == Death::power_lost;
        ledger_.each([&](Checker& checker) { checker.broker_died(death); });
        tell(death == Death::killed ? "the broker is killed" : "the broker loses power");
    }

    io::Task<bool> tend() override {
        if (!broker_.has_died()) co_return true;
        auto up_again = co_await revive();
        co_return up_again;
    }

    io::Task<bool> strike(Fault* fault, const FaultSpec*, Duration lasts) override {
        return fault->strike(&stage_, lasts);
    }

    // From down to serving, with its logs read if need be; false once the run has failed.
    io::Task<bool> bring_up(bool may_die) {
        // What was meant for its last life must not reach the next one before that was read.
        while (load_.writes_under_way > 0) co_await wait(&director_, look_again);
        for (int deaths = 0;; ++deaths) {
            if (may_die && deaths < deaths_in_recovery_max && dies_in_recovery()) {
                // Where a broker ends transactions as soon as it is up, nobody can learn before
                // that what a loss of power has left.
                const bool loses_power = !random_.chance(1, 2) && !load_.has_transactions;
                const auto death = loses_power ? Death::power_lost : Death::killed;
                broker_.die_in_disk_operation(1 + random_.below(40), death);
            }
            auto started = co_await broker_.start(scenario_.liveness);
            machine_.disk().blow_after(0, nullptr);
            if (broker_.is_up()) break;
            if (!started.ok() && started.error().code == ErrorCode::request_timed_out) {
                fail_liveness(started.error().message);
                co_return false;
            }
            if (broker_.has_died()) {
                auto buried = co_await broker_.bury(scenario_.liveness);
                if (buried.ok()) continue;
                fail_liveness(buried.error().message);
                co_return false;
            }
            const std::string why = started.error().message;
            if (broker_.lives() == 1) {
                fail_liveness("the broker does not start: " + why);
            } else {
                ledger_.each([&](Checker& checker) { checker.start_failed(why); });
            }
            co_return false;
        }
        tell("the broker is up");
        ledger_.each([](Checker& checker) { checker.broker_started(); });
        // After a loss of power the checkers must learn what is left before anybody writes.
        const bool read = power_was_lost_ || random_.chance(1, 2);
        if (read && !load_.topics.empty()) {
            auto all_read = co_await read_again();
            if (!all_read) co_return false;
        }
        load_.may_write = true;
        co_return true;
    }

    io::Task<bool> read_again() {
        auto all_read = co_await read_all();
        power_was_lost_ = false;
        co_return all_read;
    }

    io::Task<bool> revive() {
        if (!broker_.gave_up().empty() && !may_give_up()) {
            fail_liveness("the broker gave up although its disk was whole: " + broker_.gave_up());
        }
        if (failed()) co_return false;
        auto buried = co_await broker_.bury(scenario_.liveness);
        if (!buried.ok()) {
            fail_liveness(buried.error().message);
            co_return false;
        }
        auto up = co_await bring_up(true);
        co_return up;
    }

    io::Task<bool> restart() {
        if (failed()) co_return false;
        load_.may_write = false;
        auto stopped = co_await stop();
        if (!stopped) co_return false;
        auto up = co_await bring_up(true);
        co_return up;
    }

    io::Task<bool> stop() {
        tell("the broker is told to stop");
        auto stopped = co_await broker_.stop(scenario_.liveness);
        if (!stopped.ok()) {
            fail_liveness(stopped.error().message);
            co_return false;
        }
        ledger_.each([](Checker& checker) { checker.broker_stopped_cleanly(); });
        co_return true;
    }

    // Everything is read at rest, and once more after a clean shutdown and a loss of power.
    io::Task<void> conclude() {
        load_.may_write = false;
        auto all_read = co_await read_again();
        if (!all_read) co_return;
        auto stopped = co_await stop();
        if (!stopped) co_return;
        machine_.lose_power();
        auto up = co_await bring_up(false);
        if (!up) co_return;
        load_.may_write = false;
        auto read_last = co_await read_again();
        if (!read_last) co_return;
        co_await stop();
    }

    // After a failure: what still runs is ended, so that nothing is left in memory.
    io::Task<void> clean_up() {
        load_.stopping = true;
        load_.abandoned = true;
        network_.heal_all();
        if (broker_.is_alive()) {
            broker_.process().set_paused(false);
            broker_.process().die(Death::killed);
        }
        const Instant deadline = director_.now() + Duration::seconds(60);
        co_await rest(deadline);
        if (broker_.has_died()) co_await broker_.bury(Duration::seconds(60));
    }

    io::Task<void> direct() override {
        auto up = co_await bring_up(false);
        if (up) {
            auto made = co_await make_topics();
            if (made) {
                start_workloads();
                co_await safety();
            }
        }
        if (!failed()) co_await liveness();
        if (!failed()) co_await conclude();
        if (failed()) co_await clean_up();
    }

    Machine machine_;
    Broker broker_;
    Stage stage_;
    bool power_was_lost_ = false;
};

}  // namespace

std::unique_ptr<Run> make_lonely_run(const Scenario& scenario, const SimulationOptions& options,
                                     const MakeServer& make) {
    return std::make_unique<LonelyRun>(scenario, options, make);
}

}  // namespace pabal::sim
