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

namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::runtime {

struct QuorumOptions {
    std::string
        directory;  // The metadata log directory; the log lies in __cluster_metadata-0 in it.
    BrokerId node_id;
    std::int32_t segment_bytes = 1 << 30;
    std::int64_t segment_milliseconds = 7LL * 24 * 3600 * 1000;

    static QuorumOptions of(const metadata::BrokerConfig& config);
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

    // Reads quorum-state, the newest whole snapshot and the log behind it, which are checked to
    // the last batch; makes the files if there are none. Blocks (start-up). An error names the
    // file; what was committed is never given up silently (metadata-never-lost).
    IoStatus open();
    // Hands every record of the newest snapshot to `visit`, in order, then one control entry that
    // says when its last record was written. Blocks. Nothing happens if there is none.
    IoStatus read_snapshot(const std::function<Status(const MetadataEntry&)>& visit) const;
    // Hands the records of the log in [from, to) to `visit`, in order, committed or not; both are
    // bounds of batches. Blocks as far as the log is not in memory. An error of `visit` comes back
    // with the file and the offset.
    IoStatus read(Offset from, Offset to,
                  const std::function<Status(const MetadataEntry&)>& visit) const;
    // True if open() found neither log nor snapshot: the caller proposes the bootstrap records.
    bool fresh() const { return fresh_; }
    std::optional<metadata::SnapshotId> latest_snapshot() const { return latest_snapshot_; }
    // What open() had to cut away: never anything that was synced. Null if the log was whole.
    const log::LogRepair* repair() const;

    // Takes part in the quorum from here on. The only voter leads at once, in the next epoch;
    // nothing is on disk then: the first sync covers quorum-state and what is proposed meanwhile.
    Status start();
    // Appends `records` as one batch, atomically, and returns its last offset; it is committed once
    // `committed` reaches it. Errors: not_controller when this node does not lead,
    // kafka_storage_error when the disk refuses (nothing stands then).
    Result<Offset> propose(const std::vector<Bytes>& records);
    // Called on the shard when another node leads, in another epoch, or nobody is known to
    // (no_broker). A node that leads may propose within the call: its log holds everything that
    // can be committed in earlier epochs. Any number of actions, in the order in which they came.
    void on_leader_change(std::function<void(BrokerId leader, LeaderEpoch epoch)> action);
    // Called on the shard after the high watermark moved.
    void on_commit(std::function<void(Offset high_watermark)> action);
    // Called once when the metadata log can no longer be trusted (a failed sync); the node must
    // stop.
    void on_failure(std::function<void(IoError)> action);
    // The reason, from then on.
    const std::optional<IoError>& failure() const { return failure_; }

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
    // The controllers' listener of the leader; nothing while none is known.
    std::optional<io::Address> leader_address() const;
    Offset high_watermark() const;  // The first offset that is not committed.
    Offset log_start_offset() const;
    Offset log_end_offset() const;
    std::int64_t bytes_since_snapshot() const { return bytes_since_snapshot_; }

private:
    struct Sync;
    raft::Now now() const;
    IoStatus open_log();
    IoStatus find_snapshot();
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
    std::optional<raft::QuorumState> saved_;  // As open() found it.
    std::unique_ptr<log::PartitionLog> log_;
    bool fresh_ = false;
    std::optional<metadata::SnapshotId> latest_snapshot_;
    std::int64_t bytes_since_snapshot_ = 0;
    std::vector<std::function<void(BrokerId, LeaderEpoch)>> leader_actions_;
    std::function<void(Offset)> commit_action_;
    std::function<void(IoError)> failure_action_;
    std::optional<raft::QuorumState> unsaved_state_;
    bool new_directory_ = false;  // The directory's own name is not durable yet.
    Offset durable_end_{0};
    bool syncing_ = false;
    bool stopped_ = false;
    bool failed_ = false;
    std::optional<IoError> failure_;
    io::Gate* idle_gate_ = nullptr;  // Opened when the last sync has ended, if somebody waits.
};

}  // namespace pabal::runtime
