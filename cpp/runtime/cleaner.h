// Compacts the logs of a broker (KIP-58): looks again and again for the partition with the largest
// dirty part, or one whose records have waited for too long, and cleans it step by step on the disk
// pool. Knows up to where each log is clean, in Kafka's `cleaner-offset-checkpoint` of each log
// directory. Owned by Partitions; lives on the data shard. One cleaning at a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "io/task.h"
#include "log/partition_log.h"
#include "runtime/checkpoint_files.h"

namespace pabal::log {
class Compaction;
struct CompactionMeans;
}  // namespace pabal::log

namespace pabal::runtime {

class Partition;
class Partitions;
struct LogDirectory;

class Cleaner {
public:
    // `partitions` owns this object.
    explicit Cleaner(Partitions* partitions);
    ~Cleaner();

    // What the last run left in a directory; before `run`. A damaged file says nothing. Blocks.
    void load(const LogDirectory* directory);
    // Whether the log was ever compacted, so that it may have gaps.
    bool has_cleaned(const LogDirectory* directory, const NamedPartition& name) const;
    // Goes on until Partitions stops.
    io::Task<void> run();
    // Less of the log is there than before: what took its place is not clean.
    void truncated(Partition& partition);

private:
    struct Clean {
        Offset up_to;
        std::optional<TopicId> topic;  // As of this run; a topic of that name made anew is another.
    };
    struct DirectoryState {
        std::map<NamedPartition, Clean> clean;
        bool unwritten = false;
    };
    struct Choice {
        std::shared_ptr<Partition> partition;
        log::Cleanable range;
    };
    struct Work;

    Duration backoff() const;
    double bytes_per_second() const;
    log::CompactionMeans means();
    std::optional<Offset> clean_up_to(const Partition& partition) const;
    void note_clean(const Partition& partition, Offset up_to);
    void forget_deleted();
    io::Task<void> write_checkpoints();

    io::Task<std::optional<Choice>> choose();
    // True if something was cleaned.
    io::Task<bool> clean(Choice choice);
    io::Task<bool> clean_in_steps(Work* work);
    io::Task<bool> throttled(std::int64_t bytes);
    void refused(const Partition& partition, const IoError& error);

    Partitions* partitions_;
    Prng random_;
    std::map<const LogDirectory*, DirectoryState> directories_;
    std::set<TopicPartition> uncleanable_;  // Damaged; until the next start.
    std::set<TopicPartition> truncated_;    // Since the cleaning under way began, if not longer.
    std::set<TopicPartition> passed_over_;  // Could not be cleaned now; until the next look.
    std::string load_failure_;
    bool writing_ = false;
    Instant next_io_;
};

}  // namespace pabal::runtime
