// client::Producer on a thread of its own, for callers on other threads: they append to its
// accumulator and wait there.
#pragma once

#include <functional>
#include <future>
#include <memory>

#include "base/exported.h"
#include "base/time.h"
#include "client/producer.h"
#include "client/record_accumulator.h"
#include "embedded/notice.h"

namespace pabal::embedded {

class PABAL_EXPORTED Producer {
public:
    Producer(client::Producer::Options options, client::RecordAccumulator::Options collecting);
    // Stops, if that was not said before.
    ~Producer();
    Producer(const Producer&) = delete;
    Producer& operator=(const Producer&) = delete;

    const std::shared_ptr<client::RecordAccumulator>& records() const { return records_; }
    // Rings when a delivery that is watched has ended.
    Notice& notice();
    // client::Producer's calls for transactions; before `stop`.
    std::future<Status> init_transactions(Duration timeout);
    std::future<Status> send_positions(client::GroupPositions positions, Duration timeout);
    std::future<Status> end_transaction(bool commit, Duration timeout);
    void give_transaction_up();
    // Ends everything; records that did not arrive fail. Twice is fine. Waits for the thread.
    void stop();

    static Instant now();
    static WallTime wall_now();

private:
    struct Parts;
    std::future<Status> carry_out(std::function<io::Task<Status>(client::Producer*)> call);
    std::shared_ptr<Notice> notice_;
    std::shared_ptr<client::RecordAccumulator> records_;
    std::unique_ptr<Parts> parts_;
};

}  // namespace pabal::embedded
