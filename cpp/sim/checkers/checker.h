// What the clients of a simulation know for certain, told to the checkers as it happens. One
// checker is one invariant of docs/INVARIANTS.md, in a file of its own that bears its id. Checkers
// only look: they draw no chance and change nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
    // Of the client's transactions the one that it belongs to; none: 0.
    std::int64_t transaction = 0;
    // Another one has been given the transactional id since.
    bool fenced = false;
    // Of the leader that it was sent to, if the client knows.
    LeaderEpoch leader_epoch = no_leader_epoch;
};

struct ReadRecord {
    Offset offset;
    RecordId record;
    bool marker = false;  // Of the end of a transaction; it has no content.
    // An answer for those who want only what was committed tells them to pass it over.
    bool hidden = false;
};

// What one client saw of a partition in one answer.
struct Sight {
    Partition partition;
    std::int32_t client = -1;
    Offset asked_from;
    LeaderEpoch leader_epoch = no_leader_epoch;  // Named by the client, and not refused.
    bool is_committed = false;                   // It asked for what was committed.
    Offset high_watermark;
    Offset last_stable_offset;
    Offset log_start_offset;
    std::vector<ReadRecord> records;
};

// How a transaction ended, as far as its producer knows for certain.
enum class TransactionEnd { committed, aborted };

// The whole of a partition, read while nobody wrote.
struct Content {
    Partition partition;
    Offset log_start_offset;
    Offset log_end_offset;
    bool is_committed = false;  // No transaction is open, and it is read as what was committed.
    std::vector<ReadRecord> records;
};

// A batch as it stands in a replica's log on disk.
struct StoredBatch {
    Offset base_offset;
    Offset last_offset;
    std::uint64_t fingerprint = 0;
};

// What one broker holds of a partition, while all brokers are down.
struct Replica {
    Partition partition;
    BrokerId broker;
    std::vector<StoredBatch> batches;
    // What lies below was committed when everything was at rest. None: the log was in sync to its
    // end.
    std::optional<Offset> committed;
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
    virtual void asked(std::int32_t /*client*/, const Partition&, LeaderEpoch) {}
    virtual void saw(const Sight&) {}
    virtual void read_all(const Content&) {}
    virtual void replica_read(const Replica&) {}
    // Some broker named it as the leader of a partition, or of the metadata quorum.
    virtual void told_leader(const Partition&, BrokerId, LeaderEpoch) {}
    // Records below `offset` were asked to go; then the answer.
    virtual void delete_asked(const Partition&, Offset /*offset*/) {}
    virtual void deleted(const Partition&, Offset /*low_watermark*/) {}
    // A group asked to be placed at `offset`; it was; it found itself at `offset` (-1: nowhere).
    virtual void commit_asked(const std::string& /*group*/, const Partition&, Offset /*offset*/) {}
    virtual void committed(const std::string& /*group*/, const Partition&, Offset /*offset*/) {}
    virtual void position_read(const std::string& /*group*/, const Partition&, Offset /*offset*/) {}
    // A client is about to ask that its transaction be committed; it has ended, for certain.
    virtual void commit_begun(std::int32_t /*client*/, std::int64_t /*transaction*/) {}
    virtual void transaction_ended(std::int32_t /*client*/, std::int64_t /*transaction*/,
                                   TransactionEnd) {}
    // A position is to become a group's with the transaction; each is asked for once.
    virtual void commit_asked_in_transaction(std::int32_t /*client*/, std::int64_t /*transaction*/,
                                             const std::string& /*group*/, const Partition&,
                                             Offset /*offset*/) {}
    // Somebody did what was asked in the name of a producer after another had taken its place.
    virtual void fenced_producer_served(std::int32_t /*client*/, const std::string& /*what*/) {}
    // A member of a group was told that it has a partition; is about to say that it has given it
    // up; is about to send a heartbeat; and the coordinator took that for a member's.
    virtual void share_told(const std::string& /*group*/, const std::string& /*member*/,
                            const Partition&) {}
    virtual void share_given_up(const std::string& /*group*/, const std::string& /*member*/,
                                const Partition&) {}
    virtual void heartbeat_sent(const std::string& /*group*/, const std::string& /*member*/) {}
    virtual void heartbeat_accepted(const std::string& /*group*/, const std::string& /*member*/) {}
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

// What topics promise.
struct FlushPolicy {
    // Every acknowledged record of this topic was synced before (flush.messages=1).
    std::function<bool(const std::string& topic)> is_synced;
    // There are several brokers: what acks=all acknowledged outlives any of them, what acks=1 did
    // may go with its leader, and clients write whoever dies.
    bool is_replicated = false;
};

// All of them, in the order of their ids.
std::vector<std::unique_ptr<Checker>> all_checkers(const FlushPolicy& policy);

std::unique_ptr<Checker> make_acked_never_lost(const FlushPolicy& policy);
std::unique_ptr<Checker> make_deleted_stays_deleted();
std::unique_ptr<Checker> make_fenced_producer_writes_nothing();
std::unique_ptr<Checker> make_high_watermark_monotonic(const FlushPolicy& policy);
std::unique_ptr<Checker> make_last_stable_offset_monotonic(const FlushPolicy& policy);
std::unique_ptr<Checker> make_metadata_never_lost();
std::unique_ptr<Checker> make_no_duplicate_for_idempotent();
std::unique_ptr<Checker> make_offsets_contiguous();
std::unique_ptr<Checker> make_offsets_never_regress_on_failover();
std::unique_ptr<Checker> make_one_leader_per_epoch();
std::unique_ptr<Checker> make_one_owner_per_partition_per_generation();
std::unique_ptr<Checker> make_only_what_was_sent();
std::unique_ptr<Checker> make_positions_follow_their_transaction();
std::unique_ptr<Checker> make_read_committed_atomic();
std::unique_ptr<Checker> make_recovery_is_prefix(const FlushPolicy& policy);
std::unique_ptr<Checker> make_replicas_agree();

}  // namespace pabal::sim
