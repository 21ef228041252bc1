// Records on their way from the shard that fetches them to the thread that polls: whole batches,
// checked and inflated, per partition; and where the poller stands in each. The one place of a
// consumer where threads meet; one lock guards it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/exported.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "client/named_partition.h"

namespace pabal::client {

// One batch, whose records lie in `records` one behind the other. Does not change once it is
// fetched; `at` and `taken` are the poller's.
struct FetchedBatch {
    std::shared_ptr<const std::string> topic;
    PartitionIndex partition;
    Bytes records;
    std::int64_t base_offset = 0;
    std::int64_t next_offset = 0;  // Behind the batch.
    std::int64_t base_timestamp = 0;
    std::int64_t append_time = -1;  // Of all records, where the topic stamps them.
    std::int32_t leader_epoch = -1;
    std::int32_t record_count = 0;

    std::size_t at = 0;
    std::int32_t taken = 0;
};

// Consecutive records of a batch.
struct FetchedSlice {
    std::shared_ptr<FetchedBatch> batch;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int32_t record_count = 0;
};

// A partition that the consumer reads.
struct Assigned {
    // In the place of a timestamp to reset to: an error instead.
    static constexpr std::int64_t no_reset = INT64_MIN;

    std::shared_ptr<const std::string> topic;
    PartitionIndex partition;
    std::uint64_t version = 0;  // Another one after a seek: what was fetched before is dropped.
    // Of the next record that is polled; -1 while it has to be looked up.
    std::int64_t position = -1;
    std::int64_t reset_to = 0;  // What is looked up then: a timestamp, -1 the end, -2 the start.
    std::int32_t leader_epoch = -1;  // Of the record before the position.
    bool paused = false;
    std::int64_t high_watermark = -1;
    std::int64_t last_stable_offset = -1;
    std::int64_t log_start_offset = -1;
    std::deque<std::shared_ptr<FetchedBatch>> ready;
    std::size_t ready_bytes = 0;

    // Of the shard.
    std::int64_t fetch_offset = -1;
    std::uint64_t fetch_version = 0;
    BrokerId preferred_replica = no_broker;
    Instant not_before;
    bool looking_up = false;
};

// The group changed what this member reads. The shard waits until the poller has dealt with it.
struct Rebalance {
    enum class Kind { revoked, lost, assigned };
    Kind kind = Kind::assigned;
    std::vector<NamedPartition> partitions;
};

class PABAL_EXPORTED FetchedRecords {
public:
    using Lock = std::unique_lock<std::mutex>;

    // `wake` lets the shard look again; called from any thread.
    explicit FetchedRecords(std::function<void()> wake) : wake_(std::move(wake)) {}

    Lock lock() { return Lock(mutex_); }
    std::uint64_t changes(const Lock&) const { return changes_; }
    void wait(std::uint64_t seen, Duration limit);

    // For the poller, who holds the lock.

    // At most so many records, in order within each partition; partitions take turns.
    std::vector<FetchedSlice> take(const Lock& lock, std::size_t most);
    std::optional<Error> take_error(const Lock& lock);
    Assigned* find(const Lock&, const NamedPartition& partition);
    std::map<NamedPartition, std::shared_ptr<Assigned>>& assigned(const Lock&) { return all_; }
    // Moves the position; what was fetched is dropped. -1 looks up `reset_to`.
    void seek(const Lock& lock, Assigned* partition, std::int64_t offset, std::int64_t reset_to);
    // Something about a partition changed, so that other records are to be fetched.
    void nudge(const Lock& lock);
    // The rebalance that waits for the poller.
    const std::optional<Rebalance>& rebalance(const Lock&) const { return rebalance_; }
    void rebalance_done(const Lock& lock);
    bool is_closed(const Lock&) const { return closed_; }
    // The poller is alive.
    void polled(const Lock&, Instant now) { polled_at_ = now; }
    Instant polled_at(const Lock&) const { return polled_at_; }

    // For the shard, and whoever else assigns.

    // Reads these and no others; those that stay keep their positions.
    void assign(const std::vector<NamedPartition>& partitions, std::int64_t reset_to);
    void add(const NamedPartition& partition, std::int64_t position, std::int64_t reset_to);
    void remove(const NamedPartition& partition);
    // Dropped if the partition was moved since, which `version` tells.
    void deliver(Assigned* partition, std::uint64_t version,
                 std::vector<std::shared_ptr<FetchedBatch>> batches);
    void fail(Error error);
    void propose(Rebalance rebalance);
    bool is_rebalancing();
    void close();

    // With the lock held.
    void changed();

private:
    std::function<void()> wake_;
    mutable std::mutex mutex_;
    std::condition_variable condition_;
    int waiting_ = 0;
    std::uint64_t changes_ = 0;
    bool closed_ = false;
    // The shard holds on to those that it is fetching, also when they have left.
    std::map<NamedPartition, std::shared_ptr<Assigned>> all_;
    std::optional<NamedPartition> last_served_;
    std::deque<Error> errors_;
    std::optional<Rebalance> rebalance_;
    Instant polled_at_;
};

}  // namespace pabal::client
