// What the producers with an id wrote last to one partition (KIP-98): the sequence numbers that
// tell a retry from a gap, the epochs that fence zombies, and the transactions that are still open.
// Owned by the partition's log and made with its first such batch; pure. Kafka's rules, so that
// replaying the same batches in Kafka gives the same state.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace pabal::log {

enum class AppendOrigin;
struct ActiveProducer;

// What a batch says about its producer.
struct ProducerBatch {
    ProducerId producer = no_producer_id;
    ProducerEpoch epoch = no_producer_epoch;
    std::int32_t base_sequence = -1;
    std::int32_t last_sequence = -1;
    Offset base_offset;
    Offset last_offset;
    std::int64_t max_timestamp = -1;
    bool transactional = false;

    // Of a commit or abort marker; all other batches have none.
    struct Marker {
        bool abort = false;
        std::int32_t coordinator_epoch = -1;
    };
    std::optional<Marker> marker;
};

// A transaction that a marker has just ended.
struct CompletedTransaction {
    ProducerId producer;
    Offset first_offset;
    Offset last_offset;         // Of the marker.
    Offset last_stable_offset;  // Of the log, once the marker counts.
    bool aborted = false;
};

class ProducerState {
public:
    static constexpr int remembered_batches = 5;

    // Where this batch was written before, if it is one of the producer's last five.
    struct Written {
        Offset base_offset;
        Offset last_offset;
        std::int64_t timestamp = -1;
    };
    std::optional<Written> duplicate_of(const ProducerBatch& batch) const;
    // May it be appended? Errors: out_of_order_sequence_number, invalid_producer_epoch,
    // invalid_txn_state, transaction_coordinator_fenced.
    Status check(const ProducerBatch& batch, AppendOrigin origin) const;
    // It was appended, or is found in the log: nothing is checked any more.
    std::optional<CompletedTransaction> appended(const ProducerBatch& batch);

    bool empty() const { return producers_.empty(); }
    std::size_t producer_count() const { return producers_.size(); }
    std::vector<ActiveProducer> active_producers() const;
    std::optional<ActiveProducer> active_producer(ProducerId producer) const;

    // The first offset of a transaction that is open, or whose marker the high watermark has not
    // passed yet.
    std::optional<Offset> first_unstable_offset(Offset high_watermark) const;
    // Markers below are replicated for good.
    void forget_completed_below(Offset high_watermark);
    void forget_expired(WallTime now, Duration expiration);

    // Kafka's `.snapshot`: version, CRC-32C, entries; remembers one batch of each producer.
    std::string snapshot() const;
    // Replaces everything. An error says what is wrong with the content.
    Status load_snapshot(ByteView content, WallTime now, Duration expiration);

private:
    struct Batch {
        std::int32_t last_sequence = -1;
        std::int32_t offset_delta = 0;
        Offset last_offset;
        std::int64_t timestamp = -1;
    };
    struct Producer {
        ProducerEpoch epoch = no_producer_epoch;
        std::int8_t batch_count = 0;
        std::int32_t coordinator_epoch = -1;
        std::int64_t last_timestamp = -1;
        std::optional<Offset> transaction_start;
        std::array<Batch, remembered_batches> batches;  // Oldest first.

        std::int32_t last_sequence() const {
            return batch_count == 0 ? -1 : batches[batch_count - 1].last_sequence;
        }
        void take_epoch(ProducerEpoch next);
        void remember(const Batch& batch);
    };
    struct Transaction {
        ProducerId producer;
        Offset last_offset;  // Of its marker, once there is one.
    };

    static ActiveProducer describe(ProducerId id, const Producer& producer);

    std::map<ProducerId, Producer> producers_;
    std::map<Offset, Transaction> open_transactions_;       // By first offset.
    std::map<Offset, Transaction> completed_transactions_;  // Whose markers may be unreplicated.
};

}  // namespace pabal::log
