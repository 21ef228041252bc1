// What every run has, however many brokers it is of: the world, the clients and what they do, the
// director who strikes and looks on, the verdict. LonelyRun and ClusterRun say what happens to
// their brokers, and in which order. One object per run.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/cluster/scenario.h"
#include "sim/cluster/simulation.h"
#include "sim/faults/fault.h"
#include "sim/workloads/load.h"

namespace pabal::sim {

class Run {
public:
    Run(const Scenario& scenario, const SimulationOptions& options,
        std::vector<std::string> broker_hosts);
    virtual ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    Outcome carry_out();

protected:
    static constexpr Duration look_again = Duration::milliseconds(20);

    // From empty disks to rest.
    virtual io::Task<void> direct() = 0;
    virtual std::uint64_t lives() const = 0;
    // Looks after the brokers between two faults; false once the run has failed.
    virtual io::Task<bool> tend() = 0;
    // Strikes whom `spec` lets it strike.
    virtual io::Task<bool> strike(Fault* fault, const FaultSpec* spec, Duration lasts) = 0;

    bool failed() const { return ledger_.violation().has_value() || !liveness_.empty(); }
    void fail_liveness(const std::string& what);
    void tell(const std::string& what);
    Duration draw(const DurationRange& range);
    // Only a disk that failed may make a broker give up.
    bool may_give_up() const;
    // Now and then, if this scenario kills in the midst of disk operations.
    bool dies_in_recovery();

    // Done by the reader, a client who has no other work.
    io::Task<Status> by_reader(std::function<io::Task<Status>()> work);
    // Shows every partition to the checkers.
    io::Task<bool> read_all();
    io::Task<bool> make_topics();
    void start_workloads();
    io::Task<void> safety();
    // Every workload has to come forward once more, and then to rest.
    io::Task<void> liveness();
    io::Task<bool> rest(Instant deadline);

    const Scenario& scenario_;
    Scheduler scheduler_;
    Network network_;
    sim::Clock director_;
    Ledger ledger_;
    Load load_;
    Prng random_;
    std::vector<std::unique_ptr<Workload>> workloads_;
    Client* reader_ = nullptr;

private:
    static io::Task<void> run_to_end(Run* run, bool* ended);
    static io::Task<void> work_into(std::function<io::Task<Status>()> work,
                                    std::shared_ptr<std::optional<Status>> ended);

    // Whether the run has ended, looked at after every action.
    bool look(bool ended);

    const SimulationOptions options_;
    std::string liveness_;
    std::map<std::string, std::uint64_t> fault_counts_;
    Instant next_progress_;
};

// How a broker's machine differs from the others; `salt` names it.
Skew broker_skew(const Scheduler& scheduler, const std::string& salt);

std::unique_ptr<Run> make_lonely_run(const Scenario& scenario, const SimulationOptions& options,
                                     const MakeServer& make);
std::unique_ptr<Run> make_cluster_run(const Scenario& scenario, const SimulationOptions& options,
                                      const MakeServer& make);

}  // namespace pabal::sim
