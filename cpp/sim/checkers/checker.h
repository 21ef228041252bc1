// What the clients of a simulation know for certain, told to the checkers as it happens. One
// checker is one invariant of docs/INVARIANTS.md, in a file of its own that bears its id. Checkers
// only look: they draw no chance and change nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "sim/machine.h"

namespace pabal::sim {

// A record as its sender numbered it; every record of a run is unique.
struct RecordId {
    std::int32_t client = -1;
    std::int64_t number = -1;
    // The content was not what that client had written under that number.
    bool damaged = false;

    bool operator==(const RecordId&) const = default;
};

std::string text(const RecordId& record);

struct Partition {
    std::string topic;
    std::int32_t index = 0;

    auto operator<=>(const Partition&) const = default;
};

std::string text(const Partition& partition);

// Records that were sent as one batch.
struct SentBatch {
    Partition partition;
    std::int32_t client = -1;
    std::vector<std::int64_t> numbers;
    bool idempotent = false;
    std::int16_t acks = -1;
};

struct ReadRecord {
    Offset offset;
    RecordId record;
};

// What one client saw of a partition in one answer.
struct Sight {
    Partition partition;
    std::int32_t client = -1;
    Offset asked_from;
    Offset high_watermark;
    Offset log_start_offset;
    std::vector<ReadRecord> records;
};

// The whole of a partition, read while nobody wrote.
struct Content {
    Partition partition;
    Offset log_start_offset;
    Offset log_end_offset;
    std::vector<ReadRecord> records;
};

class Checker {
public:
    virtual ~Checker() = default;
    virtual const char* invariant() const = 0;

    // Before the first attempt; attempts may be repeated.
    virtual void sent(const SentBatch&) {}
    virtual void acknowledged(const SentBatch&, Offset /*base_offset*/) {}
    // Refused for good; no attempt of it is under way any more.
    virtual void refused(const SentBatch&, const std::string& /*why*/) {}
    // `client` is about to ask: what it sees will not be older than this moment.
    virtual void asked(std::int32_t /*client*/, const Partition&) {}
    virtual void saw(const Sight&) {}
    virtual void read_all(const Content&) {}
    // Records below `offset` were asked to go; then the answer.
    virtual void delete_asked(const Partition&, Offset /*offset*/) {}
    virtual void deleted(const Partition&, Offset /*low_watermark*/) {}
    // A group asked to be placed at `offset`; it was; it found itself at `offset` (-1: nowhere).
    virtual void commit_asked(const std::string& /*group*/, const Partition&, Offset /*offset*/) {}
    virtual void committed(const std::string& /*group*/, const Partition&, Offset /*offset*/) {}
    virtual void position_read(const std::string& /*group*/, const Partition&, Offset /*offset*/) {}
    virtual void topic_created(const std::string& /*topic*/) {}
    // A created topic could not be found in an answer of a broker that was up.
    virtual void topic_missing(const std::string& /*topic*/) {}
    virtual void broker_died(Death) {}
    virtual void broker_stopped_cleanly() {}
    virtual void broker_started() {}
    virtual void start_failed(const std::string& /*why*/) {}
    virtual void response_garbled(const std::string& /*what*/) {}

    // Where violations go; set by the Ledger.
    std::function<void(std::string what)> violated;
};

// Which topics promise more than others.
struct FlushPolicy {
    // Every acknowledged record of this topic was synced before (flush.messages=1).
    std::function<bool(const std::string& topic)> is_synced;
};

// All of them, in the order of their ids.
std::vector<std::unique_ptr<Checker>> all_checkers(const FlushPolicy& policy);

std::unique_ptr<Checker> make_acked_never_lost(const FlushPolicy& policy);
std::unique_ptr<Checker> make_deleted_stays_deleted();
std::unique_ptr<Checker> make_high_watermark_monotonic();
std::unique_ptr<Checker> make_metadata_never_lost();
std::unique_ptr<Checker> make_no_duplicate_for_idempotent();
std::unique_ptr<Checker> make_offsets_contiguous();
std::unique_ptr<Checker> make_offsets_never_regress_on_failover();
std::unique_ptr<Checker> make_only_what_was_sent();
std::unique_ptr<Checker> make_recovery_is_prefix();

}  // namespace pabal::sim
