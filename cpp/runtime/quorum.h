// Drives the raft machine of this node: keeps quorum-state, the log __cluster_metadata-0 and its
// snapshots on disk, in Kafka's files, and says what is committed. Lives on the metadata shard; syncs
// happen on the disk pool, one at a time, each for everything that was appended before it.
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
#include "raft/quorum.h"

namespace pabal::log {
class PartitionLog;
}

namespace pabal::runtime {

struct QuorumOptions {
    std::string directory;  // The metadata log directory; the log lies in __cluster_metadata-0 in it.
    BrokerId node_id;
    DirectoryId directory_id;
    std::int32_t segment_bytes = 1 << 30;
    std::int64_t segment_milliseconds = 7LL * 24 * 3600 * 1000;
    std::int64_t retention_bytes = 100 << 20;  // Of what a snapshot covers already.
    std::int64_t retention_milliseconds = 7LL * 24 * 3600 * 1000;
};

// A metadata record (or control record) as it stands in the log or in a snapshot.
struct MetadataEntry {
    Offset offset;
    LeaderEpoch epoch;
    WallTime timestamp;
    bool control = false;
    ByteView key;
    ByteView value;
};

struct SnapshotId {
    Offset end_offset{0};  // The first offset that it does not contain.
    LeaderEpoch epoch{0};
    auto operator<=>(const SnapshotId&) const = default;
};

class Quorum {
public:
    Quorum(io::Ports ports, QuorumOptions options);
    ~Quorum();

    // Reads quorum-state, the newest whole snapshot and the log behind it, and hands every record
    // to `replay`, in order; makes the files if there are none. Blocks (start-up). An error names
    // the file.
    IoStatus open(const std::function<Status(const MetadataEntry&)>& replay);
    // True if open() found neither log nor snapshot: the caller proposes the bootstrap records.
    bool fresh() const { return fresh_; }
    std::optional<SnapshotId> latest_snapshot() const { return latest_snapshot_; }

    // Stands for election; with one voter this node leads at once, in the next epoch. Nothing is
    // on disk yet: the first sync covers quorum-state and what is proposed meanwhile.
    Status elect();
    // Appends `records` as one batch, atomically, and returns its last offset; it is committed once
    // `committed` reaches it. Errors: not_controller when this node does not lead,
    // kafka_storage_error when the disk refuses (nothing stands then).
    Result<Offset> propose(const std::vector<Bytes>& records);
    // Waits until `offset` is committed: none, or why it never will be.
    io::Task<Status> committed(Offset offset, Instant deadline);
    // Called on the shard after the high watermark moved.
    void on_commit(std::function<void(Offset high_watermark)> action);
    // Called once when the metadata log can no longer be trusted (a failed sync); the node must stop.
    void on_failure(std::function<void(IoError)> action);

    // Writes `records` as the snapshot of everything below `id.end_offset` and drops what it makes
    // superfluous. Runs on the disk pool.
    io::Task<IoStatus> snapshot(SnapshotId id, WallTime last_timestamp, std::vector<Bytes> records);

    // Gives leadership up and closes the files; pending proposals end with not_controller.
    io::Task<void> stop();

    bool is_leader() const;
    BrokerId leader() const;
    LeaderEpoch epoch() const;
    Offset high_watermark() const;   // The first offset that is not committed.
    Offset log_start_offset() const;
    Offset log_end_offset() const;
    std::int64_t bytes_since_snapshot() const { return bytes_since_snapshot_; }

private:
    struct Waiter;
    io::Task<void> sync_loop();
    void carry_out();
    void fail(IoError error);

    io::Ports ports_;
    QuorumOptions options_;
    std::string directory_;
    raft::Quorum machine_;
    std::unique_ptr<log::PartitionLog> log_;
    bool fresh_ = false;
    std::optional<SnapshotId> latest_snapshot_;
    std::int64_t bytes_since_snapshot_ = 0;
    std::vector<Waiter*> waiters_;
    std::function<void(Offset)> commit_action_;
    std::function<void(IoError)> failure_action_;
    bool syncing_ = false;
    bool stopped_ = false;
    std::optional<IoError> failure_;
    std::optional<raft::QuorumState> unsaved_state_;
};

}  // namespace pabal::runtime
