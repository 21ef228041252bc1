// What a transaction machine asks of whoever drives it: records to append, and, once all records
// that were asked for so far are committed, markers to write into the logs of partitions.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "record/key_value.h"

namespace pabal::transaction {

// By topic; ordered, so that what is written comes in one order.
using Partitions = std::map<std::string, std::set<PartitionIndex>>;

// The time of a request: the machine never looks at a clock.
struct Moment {
    Instant now;    // Policy time.
    WallTime wall;  // What is written into records.
};

// Whose word it is: the producer that names a transactional id, by the id and epoch it was given.
struct Producer {
    std::string transactional_id;
    ProducerId id = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
};

// The end of a transaction, to be told to every partition that takes part in it. When all of them
// have it, the machine hears `marked`.
struct Markers {
    Producer producer;  // With the epoch that the markers carry.
    bool commit = false;
    std::int16_t transaction_version = 0;
    Partitions partitions;
};

struct Effects {
    std::vector<record::KeyValue> records;
    std::vector<Markers> markers;
};

}  // namespace pabal::transaction
