// One cleaning of a compacted log (KIP-58, KIP-354, KIP-534): reads the dirty segments for the
// newest offset of each key, then writes those below again without what is superseded, several
// small ones into one. Made by PartitionLog::prepare_compaction on the shard, which also puts the
// finished segments in their place; each `step` between is bounded and happens on the disk pool,
// while the log goes on. Touches nothing of the log but by reading closed segments, and writes
// nothing but `.cleaned` files.
//
// Offsets never change: a batch keeps its first and last offset whatever it loses, and stays as an
// empty one where it holds the last sequence number of a producer, or where the cleaning ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "log/batch_scanner.h"
#include "log/key_map.h"
#include "log/partition_log.h"
#include "log/segment.h"
#include "record/compression.h"
#include "record/record.h"

namespace pabal::log {

// What the broker lends to a cleaning.
struct CompactionMeans {
    std::size_t key_map_bytes = 128 << 20;
    double key_map_load_factor = 0.9;
    DigestSecret secret;
};

// A closed segment as it is read.
struct CompactionSource {
    Offset base;
    Offset end;  // The next one's base.
    std::int64_t size = 0;
    std::int64_t index_bytes = 0;  // Of the larger of its two indexes.
    std::shared_ptr<io::File> file;
};

// All that a cleaning knows of its log, taken on the shard.
struct CompactionPlan {
    io::Disk* disk = nullptr;
    std::string directory;
    LogConfig config;
    CompactionMeans means;
    WallTime now;
    Offset first_dirty;
    Offset end;                                    // Nothing from here on is touched.
    std::vector<CompactionSource> sources;         // From the log's start up to `end`.
    std::vector<AbortedTransactionEntry> aborted;  // By first offset.
    std::map<ProducerId, ActiveProducer> producers;
    std::uint32_t truncations = 0;  // Of the log before it; one more and all this is void.
};

// A segment that was written again, complete and synced under its `.cleaned` names.
struct CleanedSegment {
    Offset base;
    std::vector<Offset> replaces;  // Bases; the first one is `base`.
    SegmentFiles files;
    TimestampOffset max_timestamp;
};

class Compaction {
public:
    explicit Compaction(CompactionPlan plan);
    ~Compaction();
    Compaction(const Compaction&) = delete;
    Compaction& operator=(const Compaction&) = delete;

    enum class Progress {
        working,
        segment_ready,  // PartitionLog::replace_segments takes `cleaned`, then it goes on.
        finished,
    };
    // Reads or writes about `bytes`. An error without errno is damage in the log, which is named;
    // after any error only `discard` is left.
    IoResult<Progress> step(std::int64_t bytes);
    const CleanedSegment& cleaned() const { return cleaned_; }
    // Removes what was written and not taken. Blocks.
    void discard();

    const CompactionPlan& plan() const { return plan_; }
    // Once finished: everything below is clean. Less than the plan's end when the keys did not fit
    // the map.
    Offset clean_end() const { return latest_ + 1; }
    // Bytes that were read and written since the last call.
    std::int64_t take_io_bytes() { return std::exchange(io_bytes_, 0); }
    std::int64_t bytes_before() const { return bytes_before_; }
    std::int64_t bytes_after() const { return bytes_after_; }

private:
    // Tells which batches and markers of transactions may go: a marker only once nothing of its
    // transaction was found before it.
    class Transactions {
    public:
        explicit Transactions(const std::vector<AbortedTransactionEntry>* aborted)
            : aborted_(aborted) {}
        // `kept` becomes the transaction whose abort marker has to stay.
        bool may_discard(const record::RecordBatchView& whole,
                         std::optional<AbortedTransactionEntry>* kept = nullptr);

    private:
        struct Ongoing {
            AbortedTransactionEntry entry;
            bool has_batches = false;
        };
        bool may_discard_marker(const record::RecordBatchView& whole,
                                std::optional<AbortedTransactionEntry>* kept);

        const std::vector<AbortedTransactionEntry>* aborted_;
        std::size_t next_ = 0;
        std::map<ProducerId, Ongoing> ongoing_aborted_;
        std::map<ProducerId, bool> ongoing_committed_;
    };
    enum class Phase { mapping, cleaning, closing, handing_over, finished };
    struct Output;

    // The next batch of the source, whole and with a right checksum; false at its end.
    IoResult<bool> next_batch(const CompactionSource& source);
    IoResult<ByteView> records_of(const record::RecordBatchView& batch);
    IoError damaged(const CompactionSource& source, const std::string& what) const;

    IoStatus map_some();
    // False if the map is full.
    IoResult<bool> map_batch(const CompactionSource& source);
    void make_groups();
    IoStatus clean_some();
    IoStatus clean_batch(const CompactionSource& source);
    bool is_last_of_producer(const record::RecordBatchView& batch) const;
    bool survives(const record::RecordBatchView& batch, const record::RecordView& record) const;
    IoStatus close_group();

    CompactionPlan plan_;
    KeyMap keys_;
    Offset latest_;  // Up to which keys were mapped.
    Phase phase_ = Phase::mapping;
    Transactions mapped_transactions_;
    Transactions cleaned_transactions_;
    std::vector<std::vector<std::size_t>> groups_;  // Of sources that become one segment.
    std::size_t group_ = 0;
    std::size_t source_ = 0;  // In `sources`, or in the group.
    std::optional<BatchScanner> scanner_;
    record::Codecs codecs_;
    Bytes inflated_;
    std::unique_ptr<Output> output_;
    CleanedSegment cleaned_;
    std::int64_t budget_ = 0;
    std::int64_t io_bytes_ = 0;
    std::int64_t bytes_before_ = 0;
    std::int64_t bytes_after_ = 0;
};

}  // namespace pabal::log
