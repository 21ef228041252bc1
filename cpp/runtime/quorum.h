// Drives the raft machine of this node: keeps quorum-state, the log __cluster_metadata-0 and its
// snapshots on disk, in Kafka's files, and says what is committed. Lives on the metadata shard;
// syncs happen on the disk pool, one at a time, each for everything that was appended before it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "io/gate.h"
#include "io/ports.h"
#include "io/task.h"
#include "metadata/snapshot.h"
#include "raft/quorum.h"
#include "runtime/synced_mark.h"

namespace pabal::log {
class PartitionLog;
struct LogRepair;
}  // namespace pabal::log

namespace pabal::runtime {

struct QuorumOptions {
    std::string
        directory;  // The metadata log directory; the log lies in __cluster_metadata-0 in it.
    BrokerId node_id;
    std::int32_t segment_bytes = 1 << 30;
    std::int64_t segment_milliseconds = 7LL * 24 * 3600 * 1000;
};

// A record as it stands in the log or in a snapshot.
struct MetadataEntry {
    Offset offset;  // In a snapshot: that of the last record it stands for.
    LeaderEpoch epoch;
    WallTime timestamp;
    bool control = false;  // Then the value belongs to the quorum.
    Bytes value;
};

class Quorum {
public:
    Quorum(io::Ports ports, QuorumOptions options);
    ~Quorum();

    // Reads quorum-state, the newest whole snapshot and the log behind it, and hands every record
    // to `replay`, in order; makes the files if there are none. Blocks (start-up). An error names
    // the file; what was committed is never given up silently (metadata-never-lost).
    IoStatus open(const std::function<Status(const MetadataEntry&)>& replay);
    // True if open() found neither log nor snapshot: the caller proposes the bootstrap records.
    bool fresh() const { return fresh_; }
    std::optional<metadata::SnapshotId> latest_snapshot() const { return latest_snapshot_; }
    // What open() had to cut away: never anything that was synced. Null if the log was whole.
    const log::LogRepair* repair() const;

    // Stands for election; with one voter this node leads at once, in the next epoch. Nothing is
    // on disk yet: the first sync covers quorum-state and what is proposed meanwhile.
    Status elect();
    // Appends `records` as one batch, atomically, and returns its last offset; it is committed once
    // `committed` reaches it. Errors: not_controller when this node does not lead,
    // kafka_storage_error when the disk refuses (nothing stands then).
    Result<Offset> propose(const std::vector<Bytes>& records);
    // Called on the shard after the high watermark moved.
    void on_commit(std::function<void(Offset high_watermark)> action);
    // Called once when the metadata log can no longer be trusted (a failed sync); the node must
    // stop.
    void on_failure(std::function<void(IoError)> action);

    // Writes `records` as the snapshot of everything below `id.end_offset`, durably, and drops the
    // log and the snapshots that it makes superfluous. The work is done on the disk pool.
    io::Task<IoStatus> snapshot(metadata::SnapshotId id, WallTime last_contained,
                                std::vector<Bytes> records);

    // Gives leadership up and closes the files; pending proposals end with not_controller.
    io::Task<void> stop();
    // Ends without another write; the sync that is under way is waited for.
    io::Task<void> kill();

    bool is_leader() const;
    BrokerId leader() const;
    LeaderEpoch epoch() const;
    Offset high_watermark() const;  // The first offset that is not committed.
    Offset log_start_offset() const;
    Offset log_end_offset() const;
    std::int64_t bytes_since_snapshot() const { return bytes_since_snapshot_; }

private:
    struct Sync;
    IoStatus open_log();
    IoStatus read_log(const std::function<Status(const MetadataEntry&)>& replay);
    IoStatus load_snapshot(const std::function<Status(const MetadataEntry&)>& replay);
    Result<Offset> append_ready(Result<Offset> last);
    static IoStatus sync_all(io::Disk& disk, Sync& sync, SyncedMark& mark);
    void start_sync();
    io::Task<void> sync_until_done();
    io::Task<void> drain();
    void fail(IoError error);

    io::Ports ports_;
    QuorumOptions options_;
    std::string directory_;
    SyncedMark mark_;  // Written on the disk pool, by one sync at a time.
    raft::Quorum machine_;
    std::unique_ptr<log::PartitionLog> log_;
    bool fresh_ = false;
    std::optional<metadata::SnapshotId> latest_snapshot_;
    std::int64_t bytes_since_snapshot_ = 0;
    std::function<void(Offset)> commit_action_;
    std::function<void(IoError)> failure_action_;
    std::optional<raft::QuorumState> unsaved_state_;
    bool new_directory_ = false;  // The directory's own name is not durable yet.
    Offset durable_end_{0};
    bool syncing_ = false;
    bool stopped_ = false;
    bool failed_ = false;
    io::Gate* idle_gate_ = nullptr;  // Opened when the last sync has ended, if somebody waits.
};

}  // namespace pabal::runtime
