// The broker of a simulation, through its lives: boots a process on its machine, starts a server in
// it, kills it, brings it up again. Owned by the Simulation; every call is awaited on the
// director's shard, one after the other.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "io/gate.h"
#include "sim/clock.h"
#include "sim/cluster/server.h"
#include "sim/machine.h"

namespace pabal::sim {

class Broker {
public:
    // `died` is told at the instant of each death.
    Broker(Scheduler& scheduler, Machine& machine, io::Clock& director, MakeServer make,
           std::function<void(Death)> died);
    // Down, unless it never unwound: then its last life is left in memory.
    ~Broker();

    // A new process with a server in it. It may die while it starts: then `is_alive` is false, and
    // the status says nothing.
    io::Task<Status> start(Duration limit);
    // A clean shutdown, or a death in the midst of one.
    io::Task<Status> stop(Duration limit);
    // What is left of a dead process ends. An error if it does not within `limit`.
    io::Task<Status> bury(Duration limit);

    // At once.
    void die(Death death);
    // In the midst of the n-th disk operation from now that changes something; 0 takes it back.
    void die_in_disk_operation(std::uint64_t operations, Death death);

    // Does nothing for a while, as under SIGSTOP; a later life is never paused.
    void set_paused(bool paused) {
        if (process_) process_->set_paused(paused);
    }

    // Why this life ended by itself; empty if it did not.
    const std::string& gave_up() const { return gave_up_; }

    bool is_alive() const { return process_ && process_->is_alive(); }
    // There is a dead process to bury.
    bool has_died() const { return process_ && !process_->is_alive(); }
    // It could not be ended, and never will.
    bool is_stuck() const { return stuck_; }
    // Started and not told to stop.
    bool is_up() const { return is_alive() && started_; }
    Process& process() { return *process_; }
    Machine& machine() { return machine_; }
    std::uint64_t lives() const { return lives_; }

private:
    // Log lines of the broker, among the events of the trace that is told.
    class TraceSink final : public LogSink {
    public:
        TraceSink(Scheduler& scheduler, std::string name)
            : LogSink(LogLevel::info), scheduler_(scheduler), name_(std::move(name)) {}
        void write(LogLevel level, std::string_view line) override;

    private:
        Scheduler& scheduler_;
        std::string name_;
    };
    void give_up(const std::string& why);

    struct Job;
    static io::Task<void> carry_out(std::shared_ptr<Job> job);
    // Runs `work` on the broker's shard; false if it has not ended within `limit`.
    io::Task<bool> on_shard(std::function<io::Task<void>()> work, Duration limit);
    io::Task<void> run_start();
    io::Task<void> run_stop();
    io::Task<void> run_kill();
    void end_start();
    io::Task<void> run_end_of_start();

    Scheduler& scheduler_;
    Machine& machine_;
    io::Clock& director_;
    MakeServer make_;
    std::function<void(Death)> died_;
    std::unique_ptr<Process> process_;
    std::unique_ptr<Server> server_;
    TraceSink log_sink_;
    Status start_status_;
    std::string gave_up_;
    bool starting_ = false;
    bool ending_start_ = false;
    io::TimerId start_grace_ = 0;
    bool started_ = false;
    bool stuck_ = false;
    std::uint64_t lives_ = 0;
};

}  // namespace pabal::sim
