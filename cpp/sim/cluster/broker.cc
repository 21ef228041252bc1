#include "sim/cluster/broker.h"

#include "base/assert.h"

namespace pabal::sim {
namespace {

// What a start that its process did not outlive is given to notice it.
constexpr Duration grace_of_start = Duration::milliseconds(200);

}  // namespace

struct Broker::Job {
    std::function<io::Task<void>()> work;
    io::Gate* ended = nullptr;  // None: nobody waits any more.
};

Broker::Broker(Scheduler& scheduler, Machine& machine, io::Clock& director, MakeServer make,
               std::function<void(Death)> died)
    : scheduler_(scheduler),
      machine_(machine),
      director_(director),
      make_(std::move(make)),
      died_(std::move(died)),
      log_sink_(scheduler, machine.name()) {}

void Broker::TraceSink::write(LogLevel, std::string_view line) {
    scheduler_.trace().remark(scheduler_.now(), name_, line);
}

Broker::~Broker() {
    if (!stuck_) return;
    // Its coroutines still wait for something: they and what they use can only be left behind.
    static_cast<void>(server_.release());
    static_cast<void>(process_.release());
}

io::Task<void> Broker::carry_out(std::shared_ptr<Job> job) {
    auto work = job->work();
    co_await work;
    if (job->ended) job->ended->open();
}

io::Task<bool> Broker::on_shard(std::function<io::Task<void>()> work, Duration limit) {
    auto job = std::make_shared<Job>();
    job->work = std::move(work);
    io::Gate gate(director_);
    job->ended = &gate;
    process_->clock().post([job] { io::detach(carry_out(job)); });
    const Instant deadline = director_.now() + limit;
    auto opened = gate.opened(deadline);
    const bool in_time = co_await opened;
    job->ended = nullptr;
    if (!in_time) stuck_ = true;
    co_return in_time;
}

io::Task<void> Broker::run_start() {
    auto status = co_await server_->start();
    start_status_ = std::move(status);
}

io::Task<void> Broker::run_stop() {
    co_await server_->stop();
}

io::Task<void> Broker::run_kill() {
    co_await server_->kill();
}

io::Task<Status> Broker::start(Duration limit) {
    ASSERT(!process_, "a broker is buried before it starts again");
    process_ = machine_.boot();
    ++lives_;
    gave_up_.clear();
    auto made = make_({process_->ports(), machine_.name(), Logger(log_sink_),
                       [this](const std::string& why) { give_up(why); }});
    if (!made.ok()) {
        process_.reset();
        co_return made.error();
    }
    server_ = std::move(made).value();
    std::function<io::Task<void>()> work = [this] { return run_start(); };
    starting_ = true;
    auto in_time = co_await on_shard(work, limit);
    starting_ = false;
    director_.cancel(start_grace_);
    if (!in_time) {
        co_return Error{ErrorCode::request_timed_out, "the broker does not come up"};
    }
    while (ending_start_) {
        const Instant later = director_.now() + Duration::milliseconds(1);
        io::Sleep sleep(director_, later);
        co_await sleep;
    }
    started_ = start_status_.ok();
    if (!started_) {
        // A failed start has released everything.
        const bool died = !process_->is_alive();
        server_.reset();
        if (!died) process_.reset();
    }
    co_return start_status_;
}

io::Task<Status> Broker::stop(Duration limit) {
    ASSERT(process_ && server_, "a broker that is up can be stopped");
    std::function<io::Task<void>()> work = [this] { return run_stop(); };
    started_ = false;
    auto in_time = co_await on_shard(work, limit);
    if (!in_time) {
        co_return Error{ErrorCode::request_timed_out, "the broker does not stop"};
    }
    server_.reset();
    if (process_->is_alive()) process_.reset();
    co_return Status();
}

io::Task<Status> Broker::bury(Duration limit) {
    ASSERT(process_ && !process_->is_alive(), "only the dead are buried");
    if (stuck_) co_return Error{ErrorCode::request_timed_out, "it waits for something still"};
    if (server_ && started_) {
        std::function<io::Task<void>()> work = [this] { return run_kill(); };
        auto in_time = co_await on_shard(work, limit);
        if (!in_time) {
            co_return Error{ErrorCode::request_timed_out,
                            "the waits of a killed broker do not end"};
        }
    }
    started_ = false;
    server_.reset();
    process_.reset();
    co_return Status();
}

void Broker::give_up(const std::string& why) {
    if (!is_alive()) return;
    gave_up_ = why;
    die(Death::killed);
}

void Broker::die(Death death) {
    if (!is_alive()) return;
    process_->die(death);
    died_(death);
    // A start fails by itself where the disk refuses; one that waits for other brokers has to be
    // told.
    if (starting_) {
        start_grace_ = director_.at(director_.now() + grace_of_start, [this] { end_start(); });
    }
}

void Broker::end_start() {
    if (!starting_) return;
    ending_start_ = true;
    process_->clock().post([this] { io::detach(run_end_of_start()); });
}

io::Task<void> Broker::run_end_of_start() {
    co_await server_->kill();
    ending_start_ = false;
}

void Broker::die_in_disk_operation(std::uint64_t operations, Death death) {
    machine_.disk().blow_after(operations, [this, death] { die(death); });
}

}  // namespace pabal::sim
