// The partitions of a coordinator's topic (__consumer_offsets, __transaction_state) that this
// broker leads, each with a machine whose state is what its log says: who is taken over, loaded,
// served, written to, woken and left, whatever the machine decides. A machine that could not write
// is thrown away and loaded again. Owned by the coordinator; lives on the data shard.
//
//   absent ──becomes leader──▶ loading ──all replayed──▶ active ──append failed──▶ loading
//      ▲                         │                         │
//      └───────leads no more─────┴─────────────────────────┘
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "io/gate.h"
#include "io/ports.h"
#include "io/task.h"
#include "runtime/coordinator_log.h"

namespace pabal::runtime {

class Partitions;

// The partition of `partition_count` that a group or a transactional id belongs to: Kafka's, by
// Java's String.hashCode.
PartitionIndex coordinating_partition(std::string_view id, std::int32_t partition_count);

// One of them; whoever derives from it has the machine.
class CoordinatedPartition : public std::enable_shared_from_this<CoordinatedPartition> {
public:
    CoordinatedPartition(PartitionIndex index, std::shared_ptr<CoordinatorLog> log)
        : index_(index), log_(std::move(log)) {}
    virtual ~CoordinatedPartition() = default;
    CoordinatedPartition(const CoordinatedPartition&) = delete;
    CoordinatedPartition& operator=(const CoordinatedPartition&) = delete;

    PartitionIndex index() const { return index_; }
    const std::shared_ptr<CoordinatorLog>& log() const { return log_; }
    bool is_loaded() const { return loaded_; }

private:
    friend class CoordinatedTopic;

    // As CoordinatorLog::load tells it, in the order of the log.
    virtual Status replay(const record::KeyValue& record, Offset offset, ProducerId producer) = 0;
    virtual void transaction_ended(ProducerId producer, bool committed) = 0;
    // All was replayed; nobody was served yet.
    virtual void begin() = 0;
    // The log is closed: whoever still waits for the machine is told `error`.
    virtual void abandon(ErrorCode error) = 0;
    // When the machine wants to be told that time has passed (policy time).
    virtual Instant deadline() const = 0;
    virtual void elapsed() = 0;
    // Now and then: forget what is too old.
    virtual void expire() = 0;
    // Groups, or transactional ids.
    virtual std::size_t id_count() const = 0;

    PartitionIndex index_;
    std::shared_ptr<CoordinatorLog> log_;
    bool loaded_ = false;
    std::vector<io::Gate*> waiting_;  // For the end of the loading.
    io::TimerId timer_ = 0;
    Instant timer_due_ = Instant::never();
};

class CoordinatedTopic {
public:
    using Pointer = std::shared_ptr<CoordinatedPartition>;
    using Make = std::function<Pointer(PartitionIndex, std::shared_ptr<CoordinatorLog>)>;
    using Done = CoordinatorLog::Done;

    struct Options {
        std::string_view topic;
        // How long a request waits for its partition to be loaded.
        Duration load_patience = Duration::seconds(1);
        // How long it waits for its records to be committed.
        Duration write_patience = Duration::seconds(5);
        Duration expiry_interval;
    };

    // `ports`, `partitions` and `log` outlive this object, and so does what `make` refers to.
    CoordinatedTopic(io::Ports* ports, Partitions* partitions, Options options, Make make,
                     const Logger* log);
    ~CoordinatedTopic();
    CoordinatedTopic(const CoordinatedTopic&) = delete;
    CoordinatedTopic& operator=(const CoordinatedTopic&) = delete;

    // After Partitions::apply: takes over partitions that this broker leads now, leaves others.
    void follow();
    // Whoever waits is told NOT_COORDINATOR; afterwards every call is.
    void stop();
    bool is_stopped() const { return stopped_; }
    // After stop(): nothing of this object runs any more.
    io::Task<void> ended();

    // None, where another broker coordinates.
    Pointer find(std::string_view id) const;
    Pointer find(PartitionIndex index) const;
    // Once it is loaded. Errors: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS.
    io::Task<Result<Pointer>> serving(std::string id);
    io::Task<ErrorCode> loaded(Pointer partition);
    // All, loaded or not, as they are now.
    std::vector<Pointer> held() const;
    std::size_t id_count() const;

    // Writes the records. `done` may be none; it is told before a machine that could not write is
    // loaded again.
    void write(const Pointer& partition, std::vector<record::KeyValue> records, Done done);
    // The same, and waits for it: COORDINATOR_NOT_AVAILABLE if that takes too long.
    io::Task<ErrorCode> written(Pointer partition, std::vector<record::KeyValue> records, Done done,
                                CoordinatorLog::Producer producer = {});
    io::Task<ErrorCode> marker_written(Pointer partition, CoordinatorLog::Marker marker);
    // After the machine was asked anything: its deadline may have changed.
    void arm(const Pointer& partition);

private:
    // What became of records that somebody waits for.
    struct Outcome {
        explicit Outcome(io::Clock& clock) : gate(clock) {}
        io::Gate gate;
        ErrorCode error = ErrorCode::none;
        bool known = false;
    };

    void follow(PartitionIndex index, const std::shared_ptr<Partition>& partition);
    void unload(const Pointer& partition, ErrorCode error);
    io::Task<void> load(Pointer partition);
    // The failed machine is replaced by one that is loaded anew, if this broker still leads.
    void reload(const Pointer& failed);
    Done tell(const Pointer& partition, const std::shared_ptr<Outcome>& outcome, Done done);
    io::Task<ErrorCode> known(std::shared_ptr<Outcome> outcome);
    void elapsed(const Pointer& partition);
    void schedule_expiry();
    void expire();

    io::Ports* ports_;
    Partitions* partitions_;
    Options options_;
    Make make_;
    const Logger* log_;
    std::map<PartitionIndex, Pointer> held_;
    std::int32_t partition_count_ = 0;  // Of the topic; 0 while there is none.
    io::TimerId expiry_timer_ = 0;
    std::size_t loading_count_ = 0;
    io::Gate* idle_waiter_ = nullptr;
    bool stopped_ = false;
};

}  // namespace pabal::runtime
