// Records on their way from the threads that send them to the shard that delivers them: encoded
// into batches, one open batch per partition, bounded in memory (buffer.memory). The one place of a
// producer where threads meet; one lock guards it, held for as long as a record takes to copy.
//
// Whoever sends appends; the producer's shard pulls batches and says how they ended; whoever waits
// (for memory, a topic, a delivery) looks again when `changes` has moved.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/exported.h"
#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "client/delivery.h"
#include "record/record.h"

namespace pabal::client {

struct Lane;

struct Batch {
    std::uint64_t id = 0;  // In the order in which batches were begun.
    Lane* lane = nullptr;
    std::shared_ptr<Delivery> delivery;
    Buffer content;  // The records; the header is made when the batch is sent.
    std::size_t size_bytes = 0;
    std::int32_t record_count = 0;
    std::int64_t base_timestamp = 0;
    std::int64_t max_timestamp = 0;
    Instant began;
    bool hurried = false;  // Somebody waits for it: it does not linger.

    // Of the shard, once it was pulled.
    Bytes records;  // Compressed, if the producer compresses.
    bool sealed = false;
    std::int32_t base_sequence = -1;
    ProducerId producer_id = no_producer_id;
    ProducerEpoch producer_epoch = no_producer_epoch;
    int attempts = 0;
    Error last_error;
};

struct ProducedTopic;

// What goes to one partition.
struct Lane {
    ProducedTopic* topic = nullptr;
    PartitionIndex partition;
    std::unique_ptr<Batch> open;
    std::deque<std::unique_ptr<Batch>> closed;
    std::size_t usual_bytes = 0;  // Of the last batch that was full.
    bool listed = false;

    // Of the shard.
    std::deque<std::unique_ptr<Batch>> retries;  // By sequence; they go before all others.
    int in_flight = 0;
    BrokerId sent_to = no_broker;  // Where they are in flight.
    bool recovering = false;       // One failed: the others come back before any is sent again.
    bool restart_sequence = false;
    ProducerId producer_id = no_producer_id;
    ProducerEpoch producer_epoch = no_producer_epoch;
    std::int32_t next_sequence = 0;
    Instant not_before;
};

struct ProducedTopic {
    std::shared_ptr<const std::string> name;
    std::deque<Lane> lanes;      // By partition; addresses stay.
    std::optional<Error> error;  // Why there are no partitions, as last heard.
    bool wanted = true;
    // Of the sticky and the round robin partitioner.
    std::int32_t sticky = -1;
    std::size_t sticky_bytes = 0;
    std::uint32_t turn = 0;
};

enum class Partitioning {
    sticky,       // Keys by murmur2; without a key a partition for as long as a batch (KIP-794).
    round_robin,  // In turn, whatever the key.
};

class PABAL_EXPORTED RecordAccumulator : public std::enable_shared_from_this<RecordAccumulator> {
public:
    struct Options {
        std::size_t batch_size = 16384;
        Duration linger = Duration::milliseconds(5);
        std::size_t buffer_memory = 32u << 20;
        Partitioning partitioning = Partitioning::sticky;
        bool ignore_keys = false;  // partitioner.ignore.keys.
    };
    using Lock = std::unique_lock<std::mutex>;

    // `now` is link time, from any thread; `wake` makes the shard pull; `tell` says that a watched
    // delivery ended. Both are called from any thread.
    RecordAccumulator(Options options, Prng random, std::function<Instant()> now,
                      std::function<void()> wake, std::function<void()> tell);
    ~RecordAccumulator();

    const Options& options() const { return options_; }
    Lock lock() { return Lock(mutex_); }

    // For those who send. They hold the lock.

    // The topic, with or without partitions yet; from now on the shard keeps up with it.
    ProducedTopic* topic(const Lock& lock, std::string_view name);
    PartitionIndex choose(const Lock& lock, ProducedTopic* topic, std::optional<ByteView> key);
    // What a record takes in the buffer, at most.
    static std::size_t size_bound(std::optional<ByteView> key, std::optional<ByteView> value,
                                  std::span<const record::RecordHeader> headers);
    bool has_room(const Lock& lock, std::size_t bytes) const;
    struct Appended {
        const std::shared_ptr<Delivery>* delivery;
        std::uint32_t index;  // In its batch.
    };
    // There was room, and the partition exists.
    Appended append(const Lock& lock, Lane* lane, WallTime timestamp, std::optional<ByteView> key,
                    std::optional<ByteView> value,
                    std::span<const record::RecordHeader> headers = {});

    // For those who wait.

    std::uint64_t changes(const Lock&) const { return changes_; }
    // Until something changed after `seen`, or for so long.
    void wait(std::uint64_t seen, Duration limit);
    // From now on no batch that was begun before lingers; its return value tells when all of them
    // have ended.
    std::uint64_t flush(const Lock& lock);
    bool ended_before(const Lock& lock, std::uint64_t id) const;
    // Lets the batch go at once.
    void hurry(const Lock& lock, const Delivery* delivery);
    std::size_t outstanding_records(const Lock&) const { return outstanding_records_; }
    // Deliveries that were watched and have ended.
    std::vector<std::shared_ptr<Delivery>> take_told(const Lock& lock);
    // What failed since this was asked last: by partition and reason, and how many records.
    struct Failure {
        std::shared_ptr<const std::string> topic;
        PartitionIndex partition;
        Error error;
        std::size_t record_count = 0;
    };
    std::vector<Failure> take_failures(const Lock& lock);
    bool is_closed(const Lock&) const { return closed_; }

    // For the shard. These take the lock.

    struct Work {
        std::vector<std::string> unknown_topics;
        std::vector<Lane*> lanes;  // Those with a batch, open or closed.
    };
    // What there is to do; later news wake the shard again.
    Work survey();
    // The next batch of the lane if one is due; else when its open one will be.
    std::unique_ptr<Batch> pull(Lane* lane, Instant now, Instant* due);
    void set_partitions(const std::string& topic, std::size_t count);
    void set_error(const std::string& topic, Error error);
    std::vector<std::string> topic_names();
    // How a batch ended; frees its memory.
    void complete(std::unique_ptr<Batch> batch, std::int64_t base_offset, WallTime append_time);
    void fail(std::unique_ptr<Batch> batch, Error error);
    // Batches whose time was up before they were pulled.
    std::vector<std::unique_ptr<Batch>> take_begun_before(Instant instant);
    // The earliest batch that was not pulled began then; never() if there is none.
    Instant earliest();
    // Nobody may append any more; what is there is failed.
    void close(Error why);

private:
    void list(Lane* lane);
    void awaken();
    void changed();
    void end(std::unique_ptr<Batch> batch);
    Batch* begin(Lane* lane, std::size_t first_bytes);
    void close_open(Lane* lane);

    const Options options_;
    Prng random_;
    const std::function<Instant()> now_;
    const std::function<void()> wake_;
    const std::function<void()> tell_;

    mutable std::mutex mutex_;
    std::condition_variable condition_;
    int waiting_ = 0;
    std::uint64_t changes_ = 0;
    bool awake_ = false;
    bool closed_ = false;
    std::map<std::string, std::unique_ptr<ProducedTopic>, std::less<>> topics_;
    std::vector<Lane*> listed_;
    std::uint64_t next_id_ = 1;
    std::uint64_t flushed_before_ = 0;
    std::set<std::uint64_t> outstanding_;
    std::size_t outstanding_records_ = 0;
    std::size_t used_bytes_ = 0;
    std::vector<std::shared_ptr<Delivery>> told_;
    std::vector<Failure> failures_;
};

}  // namespace pabal::client
