// Makes durable what partitions of one log directory append, by one write and one sync of the
// commit journal for all that waits, and sees to it that segments are synced before the journal is
// full. Who does not get room is told, and flushes its own files. Owned by Partitions, lives on
// the data shard; a journal that cannot be written is given up for another one, and one that
// cannot be synced takes its directory offline.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "io/task.h"
#include "log/commit_journal.h"

namespace pabal::io {
class Gate;
}
namespace pabal::log {
struct WrittenBatches;
}

namespace pabal::runtime {

class Partition;
class Partitions;
struct LogDirectory;

class JournalWriter {
public:
    // Both outlive this object.
    JournalWriter(Partitions* partitions, LogDirectory* directory, std::uint64_t capacity_bytes);
    ~JournalWriter();
    JournalWriter(const JournalWriter&) = delete;
    JournalWriter& operator=(const JournalWriter&) = delete;

    // Whether what is appended may be given to the journal at all.
    bool usable() const;
    // Takes what `partition` has just appended, in order, and tells it (`journaled`) when that is
    // durable. False if there is no room: then its files have to be flushed.
    bool add(Partition* partition, const std::shared_ptr<const std::string>& directory_name,
             const std::vector<log::WrittenBatches>& written);

    // Before a flush of a partition is prepared, and after it: what was added before the mark is
    // needed no more.
    std::uint64_t mark() const { return next_frame_; }
    void flushed(const TopicPartition& partition, std::uint64_t mark);

    // What was added of the partition until now is not to be replayed, whatever becomes of it.
    void forget(const TopicPartition& partition,
                const std::shared_ptr<const std::string>& directory_name);
    // Ends when everything that was added or forgotten until now is durable. False if that cannot
    // happen any more.
    io::Task<bool> written();
    // No partition needs the journal any more: its file goes. Blocks.
    IoStatus remove_file();

private:
    struct Pending {
        log::JournalEntry entry;
        std::shared_ptr<Partition> partition;  // Of batches.
        std::uint32_t life = 0;                // Of the partition's log, when they were added.
    };
    // The frames that a partition needs: from `first` on. It was added to last before `last` + 1.
    struct Need {
        std::uint64_t first;
        std::uint64_t last;
        std::shared_ptr<Partition> partition;
    };
    struct Waiter {
        std::uint64_t count;
        io::Gate* gate;
        bool done = false;
    };

    bool goes_on() const;
    std::uint64_t tail(std::uint64_t frame) const;
    void start();
    io::Task<void> commit_while_needed();
    io::Task<bool> commit(std::size_t count);
    io::Task<void> wait_for_room();
    io::Task<void> give_up_file();
    void drop_pending();
    void flush_oldest();
    void count_done(std::uint64_t count);
    std::size_t next_group(std::uint64_t* bytes) const;

    Partitions* partitions_;
    LogDirectory* directory_;
    std::uint64_t capacity_bytes_;
    std::unique_ptr<log::CommitJournal> journal_;
    std::deque<Pending> pending_;
    std::uint64_t pending_bytes_ = 0;
    std::uint64_t next_frame_ = 1;
    std::map<TopicPartition, Need> needs_;
    TopicPartition releasing_;    // Whose files are being flushed to make room.
    std::uint64_t enqueued_ = 0;  // Entries, in all.
    std::uint64_t done_ = 0;
    std::vector<Waiter*> waiters_;
    io::Gate* room_ = nullptr;
    Instant retry_at_;
    bool committing_ = false;
    bool giving_up_ = false;
};

}  // namespace pabal::runtime
