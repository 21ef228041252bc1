// All partitions that this broker holds, by topic name and by topic id: opened, created, changed
// and deleted as the ClusterImage changes, kept in order in the background (retention, flushes,
// checkpoints, files to be removed). Owned by the node; lives on the data shard. Topics are found
// with one look-up; what a handler needs of a topic hangs on that.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "io/clock.h"
#include "io/task.h"
#include "metadata/cluster_delta.h"
#include "metadata/cluster_image.h"
#include "record/compression.h"
#include "runtime/checkpoint_files.h"
#include "runtime/checkpoints.h"
#include "runtime/partition.h"
#include "runtime/replication_quota.h"
#include "runtime/topic_config.h"

namespace pabal::io {
struct Ports;
}
namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::runtime {

class Cleaner;
class JournalWriter;

// One of log.dirs.
struct LogDirectory {
    std::string path;
    DirectoryId id;
    std::size_t partition_count = 0;
    std::string failure;             // Not empty: offline, for this reason.
    bool machine_stayed_up = false;  // Since its logs were brought up by the last run.
    bool all_opened = true;          // None of its partitions failed to open at the start.
    bool giving_up = false;          // It is about to go offline.
    // Of Partitions; null where there is to be none.
    JournalWriter* journal = nullptr;

    bool online() const { return failure.empty(); }
};

// What the data path needs of one topic.
struct Topic {
    std::shared_ptr<const std::string> shared_name;
    std::shared_ptr<const metadata::TopicImage> image;
    std::shared_ptr<const TopicConfig> config;
    // By index; null where another broker holds the partition, or this one has not opened it yet.
    std::vector<std::shared_ptr<Partition>> partitions;

    const std::string& name() const { return *shared_name; }
    const TopicId& id() const { return image->id; }
    Partition* partition(PartitionIndex index) const {
        if (index.value() < 0 || static_cast<std::size_t>(index.value()) >= partitions.size())
            return nullptr;
        return partitions[static_cast<std::size_t>(index.value())].get();
    }
};

// What went through, for metrics.
struct Traffic {
    std::uint64_t bytes_in = 0;
    std::uint64_t records_in = 0;
    std::uint64_t batches_in = 0;
    std::uint64_t batches_rejected = 0;
    std::uint64_t duplicate_batches = 0;
    std::uint64_t bytes_out = 0;
    std::uint64_t flushes = 0;
    std::uint64_t file_syncs = 0;  // Of partitions' files and directories, by these flushes.
    std::uint64_t journal_syncs = 0;
    std::uint64_t journal_bytes = 0;
    std::uint64_t durable_acknowledgements = 0;  // That waited for a flush or the journal.
    std::uint64_t storage_errors = 0;
    std::uint64_t bytes_replicated = 0;  // Taken from leaders.
};

class Partitions {
public:
    struct Options {
        // Of this process. Before the metadata knows it, what it says of this broker's partitions
        // is meant for an earlier life, which may have held more: nothing is led or followed. All
        // zero: that is not asked for.
        Uuid incarnation;
        // At least one; formatted, locked, with the ids of their meta.properties.
        std::vector<LogDirectory> log_directories;
        // Unflushed bytes bound what a restart after a kill has to read.
        std::int64_t flush_partition_at_bytes = 64 << 20;
        std::int64_t flush_all_at_bytes = 256 << 20;
        // Called when a log directory has failed and others go on.
        std::function<void(DirectoryId directory, const std::string& why)> directory_failed;
        // Called when a partition lies elsewhere than the metadata says (KIP-858); in the lost
        // directory, where it cannot be opened and others should lead it.
        std::function<void(TopicPartition partition, DirectoryId directory)> placed;
        // Called when the last log directory has failed: the node has to stop.
        std::function<void(std::string why)> all_directories_failed;
    };

    // All outlive this object.
    Partitions(io::Ports* ports, const metadata::BrokerConfig* config, BrokerStore* store,
               const Logger* log, Options options);
    ~Partitions();
    Partitions(const Partitions&) = delete;
    Partitions& operator=(const Partitions&) = delete;

    // Looks at the log directories and at what the last run left. Before the first `apply`.
    io::Task<Status> start();
    // The news of the metadata log, in order, one at a time: opens, creates, deletes and
    // reconfigures. The first delta holds everything; what lies on disk and is not in it is set
    // aside as `-stray`. Ends when all of it can be used.
    io::Task<void> apply(std::shared_ptr<const metadata::ClusterDelta> delta,
                         std::shared_ptr<const metadata::ClusterImage> image);
    // Clean shutdown: waiters end with NOT_LEADER_OR_FOLLOWER, everything is flushed, Kafka's
    // checkpoint files and the marker are written.
    io::Task<void> stop(BrokerEpoch broker_epoch);
    // Kill: ends all waits, flushes and writes nothing.
    io::Task<void> kill();

    // Null if this broker knows of no such topic. Valid until the next `apply`.
    const Topic* topic(std::string_view name) const {
        auto found = by_name_.find(name);
        return found == by_name_.end() ? nullptr : found->second;
    }
    const Topic* topic(const TopicId& id) const {
        auto found = by_id_.find(id);
        return found == by_id_.end() ? nullptr : found->second.get();
    }
    std::shared_ptr<Partition> find(const TopicPartition& partition) const;
    // Ordered by name.
    std::vector<const Topic*> topics() const;
    std::size_t partition_count() const { return partition_count_; }
    const std::vector<std::unique_ptr<LogDirectory>>& log_directories() const {
        return log_directories_;
    }
    // From start() on: of the run before this one, if it ended in order in every log directory;
    // else -1.
    BrokerEpoch previous_broker_epoch() const { return previous_broker_epoch_; }
    // fetch.max.bytes, read once.
    std::int32_t fetch_max_bytes() const { return fetch_max_bytes_; }
    // Everything that partitions reported until now (DeleteRecords) survives a loss of power.
    io::Task<IoStatus> checkpoints_synced();
    // Who carries changes of the in-sync replicas to the controller: told of each partition that
    // has one, which then says it when asked for next_isr_change. Before the first `apply`.
    void on_isr_change(std::function<void(std::shared_ptr<Partition>)> action) {
        isr_changed_ = std::move(action);
    }
    // Of the bytes that replicas out of sync may move (KIP-73).
    ReplicationQuota& leader_quota() { return leader_quota_; }
    ReplicationQuota& follower_quota() { return follower_quota_; }
    // The newest image that was applied; null before the first.
    const std::shared_ptr<const metadata::ClusterImage>& image() const { return image_; }

    const Traffic& traffic() const { return traffic_; }
    void count_out(std::uint64_t bytes) { traffic_.bytes_out += bytes; }
    // Consumers are told of a nearer replica, and followers hear of each high watermark at once.
    bool rack_aware() const { return rack_aware_; }
    // The metadata knows it as living, in this incarnation (-1: in any) (KIP-841, KIP-903).
    bool is_eligible(BrokerId broker, BrokerEpoch epoch) const;
    io::Clock& clock() const;
    io::Ports& ports() const { return *ports_; }

private:
    friend class Cleaner;
    friend class JournalWriter;
    friend class Partition;
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };
    // A directory of a partition that the last run left.
    struct Found {
        LogDirectory* directory;
        bool used = false;
    };
    // One partition to be opened or made.
    struct Opening;
    // What the last run left in a log directory.
    struct LeftJournal {
        bool found = false;
        bool is_void = false;
    };
    // Marks a piece of work that goes on by itself; stop() and kill() wait for its end.
    struct Background {
        explicit Background(Partitions* partitions);
        ~Background();
        Background(const Background&) = delete;
        Background& operator=(const Background&) = delete;
        Partitions* partitions;
    };
    // A range of equal jobs, run a few at a time on the disk pool.
    struct Chunks;

    // --- following the metadata (partitions_apply.cc)
    std::shared_ptr<const TopicConfig> config_of(const metadata::ClusterImage& image,
                                                 std::string_view topic);
    void reconfigure(const metadata::ClusterDelta& delta, const metadata::ClusterImage& image);
    replication::Leadership leadership_in(const metadata::PartitionImage& image) const;
    void obey_registration(const metadata::ClusterImage& image);
    void prepare_openings(Topic* topic, const std::set<PartitionIndex>& changed,
                          std::vector<Opening>* openings,
                          std::vector<std::shared_ptr<Partition>>* leaving);
    LogDirectory* directory_for(const metadata::PartitionImage& image, const NamedPartition& name);
    std::optional<log::LogCheckpoint> left_behind(const TopicPartition& id,
                                                  const NamedPartition& name) const;
    io::Task<void> replay_journals(std::vector<LeftJournal>* journals);
    void open(Opening* opening) const;
    void finish(Opening* opening);
    io::Task<void> delete_partitions(std::vector<std::shared_ptr<Partition>> partitions);
    io::Task<void> finish_first_delta();
    io::Task<void> import_files();
    io::Task<void> mark_boot();
    io::Task<void> in_chunks(std::size_t count, std::function<void(std::size_t, std::size_t)> work);
    io::Task<void> run_chunks(Chunks* chunks);

    // --- housekeeping (partitions.cc)
    void give_up(LogDirectory* directory, std::string why);
    io::Task<void> take_offline(LogDirectory* directory, std::string why);
    io::Task<void> watch_directories();
    io::Task<bool> policy_sleep(Duration duration);
    io::Task<void> retain_for_ever();
    io::Task<void> remove_after(std::vector<std::string> paths, Duration delay);
    io::Task<void> remove_deleted_segments(std::shared_ptr<Partition> partition, Duration delay);
    // `checkpoint` is of a log that was not open yet; one that is speaks for itself.
    io::Task<void> reopen(std::shared_ptr<Partition> partition, log::LogCheckpoint checkpoint);
    void flush_largest();
    void arm_flush_timer(Instant due);
    void flush_overdue();
    void each_partition(const std::function<void(Partition&)>& visit) const;
    void end_background_work();
    io::Task<void> background_ended();

    io::Task<bool> link_sleep(Duration duration);
    io::Task<void> watch_followers();
    io::Task<void> save_high_watermarks();

    // --- called by Partition
    BrokerId broker_id() const;
    Duration replica_lag_max() const { return replica_lag_max_; }
    std::string_view rack_of(BrokerId broker) const;
    // The broker lives, and has not lost the log directory that holds its replica.
    bool has_its_directory(const TopicPartition& id, BrokerId broker) const;
    void want_isr_change(Partition* partition);
    void append_failed(Partition* partition, const IoError& error);
    // Takes the directory offline if the disk has failed under the partition's log.
    bool judge_disk(const Partition& partition);
    void count_unflushed(Partition* partition);
    void directory_failed(LogDirectory* directory, const std::string& why);
    void save_checkpoint(Partition& partition);
    void remove_deleted_files(Partition* partition);
    void log_truncated(Partition& partition);
    record::Codecs& codecs() { return codecs_; }

    io::Ports* ports_;
    const metadata::BrokerConfig* config_;
    const Logger* log_;
    Options options_;
    std::vector<std::unique_ptr<LogDirectory>> log_directories_;
    std::vector<std::unique_ptr<JournalWriter>> journals_;
    bool journals_ready_ = false;  // Kafka's checkpoint files say nothing any more.
    Checkpoints checkpoints_;
    std::unique_ptr<Cleaner> cleaner_;
    record::Codecs codecs_;
    Traffic traffic_;
    std::int32_t fetch_max_bytes_ = 0;
    Duration replica_lag_max_;
    bool rack_aware_ = false;
    bool registered_ = false;  // The metadata knows this incarnation.
    ReplicationQuota leader_quota_;
    ReplicationQuota follower_quota_;
    std::function<void(std::shared_ptr<Partition>)> isr_changed_;
    std::shared_ptr<const metadata::ClusterImage> image_;

    std::unordered_map<TopicId, std::unique_ptr<Topic>> by_id_;
    std::unordered_map<std::string_view, Topic*, Hash, std::equal_to<>> by_name_;
    std::size_t partition_count_ = 0;
    std::shared_ptr<const TopicConfig> default_config_;

    // What the last run left, until the first delta was applied.
    std::map<NamedPartition, Found> found_;
    std::map<TopicPartition, log::LogCheckpoint> left_in_store_;
    CheckpointsByName left_in_files_;
    bool clean_shutdown_ = false;
    BrokerEpoch previous_broker_epoch_{-1};
    bool first_delta_ = true;

    std::vector<Partition*> dirty_;  // With unflushed bytes; each knows its place.
    std::int64_t unflushed_bytes_ = 0;
    std::int64_t flush_largest_at_ = 0;
    io::TimerId flush_timer_ = 0;
    Instant flush_timer_due_;
    Instant last_append_warning_;
    bool append_warned_ = false;
    std::size_t background_count_ = 0;
    std::vector<io::Gate*> background_waiters_;
    std::vector<io::Gate*> sleepers_;  // Background work between two deeds.
    bool stopping_ = false;
};

}  // namespace pabal::runtime
