// What all kinds of clients have in common: so many of them, of which each pauses, does one thing,
// and begins again until the run comes to rest. A Seat is what one of them knows; it is made of its
// Client and names it `client`.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "io/gate.h"
#include "io/task.h"
#include "sim/workloads/load.h"

namespace pabal::sim {

// A seat of those who need to know nothing.
struct PlainSeat {
    explicit PlainSeat(Client& its) : client(its) {}

    Client& client;
};

template <class Seat>
class Crew : public Workload {
public:
    Crew(Load& load, WorkloadSpec spec) : load_(load), spec_(std::move(spec)) {}

    void start() override {
        for (int number = 0; number < spec_.clients; ++number) {
            seats_.push_back(std::make_unique<Seat>(load_.add_client()));
            ++busy_;
            Seat* seat = seats_.back().get();
            take_seat(number, seat);
            seat->client.run(work(this, seat));
        }
    }
    int busy() const override { return busy_; }
    std::uint64_t progress() const override { return progress_; }

protected:
    virtual void take_seat(int /*number*/, Seat*) {}
    // One thing, until it is done or has failed.
    virtual io::Task<void> step(Seat* seat) = 0;
    // What is still to be done when nothing new is begun.
    virtual io::Task<void> finish(Seat*) { co_return; }

    Load& load_;
    const WorkloadSpec spec_;
    std::uint64_t progress_ = 0;

private:
    static io::Task<void> work(Crew* self, Seat* seat) {
        while (!self->load_.stopping) {
            const Instant until = seat->client.after(seat->client.draw(self->spec_.pause));
            io::Sleep sleep(seat->client.clock(), until);
            co_await sleep;
            co_await self->step(seat);
        }
        co_await self->finish(seat);
        --self->busy_;
    }

    std::vector<std::unique_ptr<Seat>> seats_;
    int busy_ = 0;
};

}  // namespace pabal::sim
