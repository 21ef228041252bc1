// What becomes of the records of one batch. Shared by the producer that sends it and by whoever
// waits for its records, on other threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace pabal::client {

class RecordAccumulator;

struct Delivery {
    Delivery(std::shared_ptr<RecordAccumulator> of, std::shared_ptr<const std::string> topic_name,
             PartitionIndex index)
        : accumulator(std::move(of)), topic(std::move(topic_name)), partition(index) {}

    const std::shared_ptr<RecordAccumulator> accumulator;  // Where to wait for the end.

    const std::shared_ptr<const std::string> topic;
    const PartitionIndex partition;

    // Once true, nothing of what follows changes any more.
    std::atomic<bool> done{false};
    ErrorCode code = ErrorCode::none;
    std::string message;            // Of an error.
    std::int64_t base_offset = -1;  // -1: not known (acks=0, or appended by an earlier attempt).
    WallTime append_time;           // -1 unless the topic stamps records itself.

    // Somebody wants to be told of the end; guarded by the accumulator's lock.
    bool watched = false;
};

}  // namespace pabal::client
