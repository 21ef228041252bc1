// One partition of a coordinator's topic (__consumer_offsets) as the log of a coordinator machine:
// loaded record by record when this broker becomes its leader, then written in batches: what is
// asked for while the previous batch is on its way becomes one append. Whoever asked hears, in the
// order of asking, when everything up to there is committed. Lives on the partition's shard; held
// by shared_ptr, since appends outlive whoever closes it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/error_code.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/gate.h"
#include "io/ports.h"
#include "io/task.h"
#include "record/key_value.h"
#include "runtime/partition.h"

namespace pabal::runtime {

// Whose transaction records belong to.
struct TransactionProducer {
    ProducerId id = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
};

// The end of a transaction that a log takes part in.
struct TransactionMarker {
    TransactionProducer producer;
    std::int32_t coordinator_epoch = -1;
    bool commit = false;
    // Whether its epoch is above that of the records which it ends (KIP-890).
    bool bumps_epoch = false;
};

class CoordinatorLog {
public:
    // Told NONE when committed, else why it is not known to be: the machine's state is then ahead
    // of the log and has to be loaded again.
    using Done = std::function<void(ErrorCode)>;
    // A record, where it stands, and whose transaction it belongs to (-1: to none).
    using Replay = std::function<void(const record::KeyValue&, Offset, ProducerId)>;
    // The marker of a transaction was met.
    using TransactionEnded = std::function<void(ProducerId, bool committed)>;

    using Producer = TransactionProducer;
    using Marker = TransactionMarker;

    // `ports` outlives this object.
    CoordinatorLog(io::Ports* ports, std::shared_ptr<Partition> partition, LeaderEpoch epoch)
        : ports_(ports), partition_(std::move(partition)), epoch_(epoch) {}
    CoordinatorLog(const CoordinatorLog&) = delete;
    CoordinatorLog& operator=(const CoordinatorLog&) = delete;

    LeaderEpoch epoch() const { return epoch_; }
    bool closed() const { return closed_; }

    // Replays everything that was in the log when this broker became its leader, once that is
    // committed. Errors: NOT_COORDINATOR when closed or no longer the leader, KAFKA_STORAGE_ERROR,
    // CORRUPT_MESSAGE.
    static io::Task<Status> load(std::shared_ptr<CoordinatorLog> self, Replay replay,
                                 TransactionEnded ended);

    // Without records: tells when everything that was asked for before is committed, at once if
    // that is so already. After an error every later write fails too. Records of a transaction have
    // a batch of their own.
    static void write(const std::shared_ptr<CoordinatorLog>& self,
                      std::vector<record::KeyValue> records, Done done, Producer producer = {});
    static void write_marker(const std::shared_ptr<CoordinatorLog>& self, Marker marker, Done done);
    // May this producer, or this end of its transaction, still be written? INVALID_PRODUCER_EPOCH,
    // TRANSACTION_COORDINATOR_FENCED, NOT_COORDINATOR.
    ErrorCode check(Producer producer) const;
    ErrorCode check(const Marker& marker) const;
    bool has_open_transaction(Producer producer) const;
    // Of those that were asked for, written or not (Partition::marker_count).
    std::uint64_t marker_count() const { return marker_count_; }
    // Nothing more is appended; who waits is told `error`.
    void close(ErrorCode error);

private:
    struct Write {
        std::vector<record::KeyValue> records;
        Done done;
        Producer producer;
        std::optional<Marker> marker;

        bool has_own_batch() const { return marker || producer.id != no_producer_id; }
    };

    // The end of a wait for the records that are to be loaded.
    struct Committed {
        explicit Committed(io::Clock& clock) : gate(clock) {}
        io::Gate gate;
        ErrorCode error = ErrorCode::none;
    };

    static io::Task<void> await_committed(std::shared_ptr<CoordinatorLog> self, Offset end,
                                          std::shared_ptr<Committed> committed);
    static io::Task<void> append_pending(std::shared_ptr<CoordinatorLog> self);
    static void enqueue(const std::shared_ptr<CoordinatorLog>& self, Write write);
    Bytes build(const std::vector<Write>& writes) const;
    ErrorCode check_leads() const;

    io::Ports* ports_;
    std::shared_ptr<Partition> partition_;
    LeaderEpoch epoch_;
    std::vector<Write> pending_;
    std::shared_ptr<Committed> awaited_;
    std::uint64_t marker_count_ = 0;
    bool appending_ = false;
    bool closed_ = false;
    ErrorCode closed_because_ = ErrorCode::not_coordinator;
};

}  // namespace pabal::runtime
