#include "sim/cluster/run.h"

#include "base/probe.h"

namespace pabal::sim {
namespace {

// Far beyond what any phase may take: only a fault of the simulator itself gets there.
constexpr Duration run_limit = Duration::seconds(24 * 3600);
constexpr Duration progress_interval = Duration::seconds(1);

std::vector<std::unique_ptr<Checker>> checkers_of(const Scenario& scenario) {
    FlushPolicy policy;
    policy.is_replicated = scenario.brokers > 1;
    const auto* topics = &scenario.topics;
    policy.is_synced = [topics](const std::string& topic) {
        for (const auto& spec : *topics) {
            if (spec.name == topic) return spec.is_synced();
        }
        return false;
    };
    return all_checkers(policy);
}

}  // namespace

Skew broker_skew(const Scheduler& scheduler, const std::string& salt) {
    Prng random = scheduler.random(salt);
    Skew skew;
    skew.offset = Duration::milliseconds(random.between(0, 100'000));
    skew.drift_per_million = random.between(-100, 100);
    skew.wall_offset = Duration::milliseconds(random.between(-2000, 2000));
    return skew;
}

Run::Run(const Scenario& scenario, const SimulationOptions& options,
         std::vector<std::string> broker_hosts)
    : scenario_(scenario),
      scheduler_(options.seed),
      network_(scheduler_),
      director_(scheduler_, "director", Skew()),
      ledger_(checkers_of(scenario)),
      load_(scheduler_, network_, ledger_, std::move(broker_hosts)),
      random_(scheduler_.random("director")),
      options_(options) {
    scheduler_.trace().set_sink(options.sink);
    network_.profile = scenario.network;
    probe::begin(options.sabotage);
    reader_ = &load_.add_client();
}

Run::~Run() {
    probe::end();
}

Outcome Run::carry_out() {
    bool ended = false;
    director_.post([this, &ended] { io::detach(run_to_end(this, &ended)); });
    const bool in_time =
        scheduler_.run_until([this, &ended] { return look(ended); }, scheduler_.now() + run_limit);
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
    outcome.broker_lives = lives();
    for (const auto& workload : workloads_) {
        outcome.progress += workload->progress();
        outcome.answers[workload->name()] += workload->progress();
    }
    outcome.faults = fault_counts_;
    outcome.probes = probe::counts();
    return outcome;
}

bool Run::look(bool ended) {
    if (options_.progress && scheduler_.now() >= next_progress_) {
        next_progress_ = scheduler_.now() + progress_interval;
        options_.progress(scheduler_.now(), scheduler_.trace().event_count());
    }
    return ended;
}

io::Task<void> Run::run_to_end(Run* run, bool* ended) {
    co_await run->direct();
    *ended = true;
}

void Run::fail_liveness(const std::string& what) {
    if (liveness_.empty()) liveness_ = what;
}

void Run::tell(const std::string& what) {
    if (options_.history) options_.history(scheduler_.now(), what);
    scheduler_.trace().remark(scheduler_.now(), "director", what);
}

Duration Run::draw(const DurationRange& range) {
    return Duration::nanoseconds(
        random_.between(range.least.to_nanoseconds(), range.most.to_nanoseconds()));
}

bool Run::may_give_up() const {
    for (const auto& fault : scenario_.faults) {
        if (fault.kind == "disk-full" || fault.kind == "disk-errors") return true;
    }
    return false;
}

bool Run::dies_in_recovery() {
    for (const auto& fault : scenario_.faults) {
        if (fault.kind.ends_with("-in-disk-operation")) return random_.chance(1, 3);
    }
    return false;
}

io::Task<void> Run::work_into(std::function<io::Task<Status>()> work,
                              std::shared_ptr<std::optional<Status>> ended) {
    auto task = work();
    auto status = co_await task;
    *ended = std::move(status);
}

io::Task<Status> Run::by_reader(std::function<io::Task<Status>()> work) {
    auto ended = std::make_shared<std::optional<Status>>();
    reader_->run(work_into(work, ended));
    while (!ended->has_value()) co_await wait(&director_, look_again);
    co_return **ended;
}

io::Task<bool> Run::read_all() {
    std::function<io::Task<Status>()> work = [this] {
        return read_everything(&load_, reader_, scenario_.liveness);
    };
    auto status = co_await by_reader(work);
    if (!status.ok()) fail_liveness("with nothing going wrong, " + status.error().message);
    co_return !failed();
}

io::Task<bool> Run::make_topics() {
    std::function<io::Task<Status>()> work = [this] {
        return create_topics(&load_, reader_, scenario_.topics, scenario_.liveness);
    };
    auto status = co_await by_reader(work);
    if (status.ok() && !scenario_.features.empty()) {
        work = [this] { return set_features(reader_, scenario_.features, scenario_.liveness); };
        status = co_await by_reader(work);
    }
    if (!status.ok()) fail_liveness(status.error().message);
    co_return !failed();
}

void Run::start_workloads() {
    for (const auto& spec : scenario_.workloads) {
        if (spec.kind == "produce")
            workloads_.push_back(make_produce(load_, spec));
        else if (spec.kind == "consume")
            workloads_.push_back(make_consume(load_, spec));
        else if (spec.kind == "commit-offsets")
            workloads_.push_back(make_commit_offsets(load_, spec));
        else if (spec.kind == "join-groups")
            workloads_.push_back(make_join_groups(load_, spec));
        else if (spec.kind == "delete-records")
            workloads_.push_back(make_delete_records(load_, spec));
        else if (spec.kind == "change-topics")
            workloads_.push_back(make_change_topics(load_, spec));
        else if (spec.kind == "change-voters")
            workloads_.push_back(make_change_voters(load_, spec));
        else if (spec.kind == "transact")
            workloads_.push_back(make_transact(load_, spec));
        else if (spec.kind == "watch")
            workloads_.push_back(make_watch(load_, spec));
        else
            fail_liveness("there is no workload " + spec.kind);
    }
    for (auto& workload : workloads_) workload->start();
}

io::Task<void> Run::safety() {
    const Instant end = director_.now() + scenario_.safety;
    const auto& specs = scenario_.faults;
    std::vector<std::unique_ptr<Fault>> faults;
    std::vector<Instant> next;
    for (const auto& spec : specs) {
        faults.push_back(make_fault(spec.kind));
        if (!faults.back()) {
            fail_liveness("there is no fault " + spec.kind);
            co_return;
        }
        next.push_back(director_.now() + draw(spec.every));
    }
    while (!failed() && director_.now() < end) {
        std::size_t due = specs.size();
        for (std::size_t i = 0; i < specs.size(); ++i) {
            if (due == specs.size() || next[i] < next[due]) due = i;
        }
        auto tended = co_await tend();
        if (!tended) co_return;
        if (due == specs.size() || next[due] > director_.now()) {
            co_await wait(&director_, look_again);
            continue;
        }
        const Duration lasts = draw(specs[due].lasts);
        ++fault_counts_[specs[due].kind];
        tell("fault: " + specs[due].kind);
        Fault* fault = faults[due].get();
        const FaultSpec* spec = &specs[due];
        auto going_on = co_await strike(fault, spec, lasts);
        if (!going_on) co_return;
        next[due] = director_.now() + draw(specs[due].every);
    }
}

io::Task<void> Run::liveness() {
    tell("nothing fails any more");
    const Instant deadline = director_.now() + scenario_.liveness;
    std::vector<std::uint64_t> before;
    for (const auto& workload : workloads_) before.push_back(workload->progress());
    for (std::size_t i = 0; i < workloads_.size(); ++i) {
        while (!failed() && workloads_[i]->progress() == before[i]) {
            auto tended = co_await tend();
            if (!tended) co_return;
            if (director_.now() > deadline) {
                fail_liveness("the " + workloads_[i]->name() +
                              " come no further although nothing fails any more");
                co_return;
            }
            co_await wait(&director_, look_again);
        }
    }
    load_.stopping = true;
    auto rested = co_await rest(deadline);
    if (!rested) fail_liveness("not every request is answered for good");
    if (failed() || !load_.has_transactions) co_return;
    // Invariant: no-transaction-hangs.
    std::function<io::Task<Status>()> work = [this] {
        return await_stable(&load_, reader_, scenario_.liveness);
    };
    auto stable = co_await by_reader(work);
    if (!stable.ok()) fail_liveness("nothing fails any more, but " + stable.error().message);
}

io::Task<bool> Run::rest(Instant deadline) {
    for (const auto& workload : workloads_) {
        while (workload->busy() > 0) {
            if (director_.now() > deadline) co_return false;
            co_await wait(&director_, look_again);
        }
    }
    co_return true;
}

Outcome simulate(const Scenario& scenario, const SimulationOptions& options,
                 const MakeServer& make) {
    const auto run = scenario.brokers == 1 ? make_lonely_run(scenario, options, make)
                                           : make_cluster_run(scenario, options, make);
    return run->carry_out();
}

}  // namespace pabal::sim
