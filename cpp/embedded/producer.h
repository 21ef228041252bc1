// client::Producer on a thread of its own, for callers on other threads: they append to its
// accumulator and wait there.
#pragma once

#include <memory>

#include "base/time.h"
#include "client/producer.h"
#include "client/record_accumulator.h"
#include "embedded/notice.h"

namespace pabal::embedded {

class Producer {
public:
    Producer(client::Producer::Options options, client::RecordAccumulator::Options collecting);
    // Stops, if that was not said before.
    ~Producer();
    Producer(const Producer&) = delete;
    Producer& operator=(const Producer&) = delete;

    const std::shared_ptr<client::RecordAccumulator>& records() const { return records_; }
    // Rings when a delivery that is watched has ended.
    Notice& notice();
    // Ends everything; records that did not arrive fail. Twice is fine. Waits for the thread.
    void stop();

    static Instant now();
    static WallTime wall_now();

private:
    struct Parts;
    std::shared_ptr<Notice> notice_;
    std::shared_ptr<client::RecordAccumulator> records_;
    std::unique_ptr<Parts> parts_;
};

}  // namespace pabal::embedded
