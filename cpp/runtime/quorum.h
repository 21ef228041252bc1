// Drives the raft machine of this node: keeps quorum-state, the log __cluster_metadata-0 and its
// snapshots on disk, in Kafka's files, speaks to the other members of the quorum, follows its
// leader, and says what is committed. Lives on the metadata shard; syncs happen on the disk pool,
// one at a time, each for everything that was appended before it. No vote, no answer and no fetch
// leaves before the state is durable that it speaks of.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
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
#include "record/attributes.h"
#include "runtime/peers.h"
#include "runtime/synced_mark.h"

namespace pabal {
class Logger;
}
namespace pabal::wire {
struct AddRaftVoterRequest;
struct AddRaftVoterResponse;
struct BeginQuorumEpochRequest;
struct BeginQuorumEpochResponse;
struct DescribeQuorumRequest;
struct DescribeQuorumResponse;
struct EndQuorumEpochRequest;
struct EndQuorumEpochResponse;
struct FetchRequest;
struct FetchResponse;
struct FetchSnapshotRequest;
struct FetchSnapshotResponse;
struct RemoveRaftVoterRequest;
struct RemoveRaftVoterResponse;
struct UpdateRaftVoterRequest;
struct UpdateRaftVoterResponse;
struct VoteRequest;
struct VoteResponse;
}  // namespace pabal::wire
namespace pabal::log {
class PartitionLog;
struct LogRepair;
}  // namespace pabal::log

namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::runtime {

struct QuorumOptions {
    struct Member {
        BrokerId id;
        io::Address address;
    };

    std::string
        directory;  // The metadata log directory; the log lies in __cluster_metadata-0 in it.
    BrokerId node_id;
    std::int32_t segment_bytes = 1 << 30;
    std::int64_t segment_milliseconds = 7LL * 24 * 3600 * 1000;
    std::string cluster_id;  // Told to other members, and demanded of them; may be empty.
    std::string listener = "CONTROLLER";  // The name of that on which controllers are reached.
    DirectoryId directory_id;             // Of the metadata log directory; may stay all zero.
    bool votes = true;                    // A controller; else an observer for ever.
    // The static voters, this node among them if it votes. None: the log says who votes. If it does
    // not, this node votes alone unless it `joins`, or, as an observer, asks at `bootstrap` who
    // leads.
    std::vector<Member> voters;
    bool joins = false;
    std::vector<io::Address> bootstrap;
    bool adds_itself = false;  // To the voters, if it is a controller and none of them (KIP-1186).
    raft::Settings settings;
    Duration request_timeout = Duration::seconds(2);
    const Logger* log = nullptr;  // Must outlive the quorum, if given.

    // Without what the configuration does not say: cluster and directory id, and the log.
    static QuorumOptions of(const metadata::BrokerConfig& config);
};

// A record as it stands in the log or in a snapshot.
struct MetadataEntry {
    Offset offset;  // In a snapshot: that of the last record it stands for.
    LeaderEpoch epoch;
    WallTime timestamp;
    bool control = false;  // Then the value belongs to the quorum.
    std::optional<record::ControlRecordType> control_type;
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

    // Requests of other members of the quorum (KIP-595, KIP-630), in the versions that the table of
    // APIs serves.
    io::Task<wire::VoteResponse> vote(wire::VoteRequest request, int version);
    io::Task<wire::BeginQuorumEpochResponse> begin_epoch(wire::BeginQuorumEpochRequest request,
                                                         int version);
    io::Task<wire::EndQuorumEpochResponse> end_epoch(wire::EndQuorumEpochRequest request,
                                                     int version);
    // Of __cluster_metadata; waits as long as the request allows while there is no news.
    io::Task<wire::FetchResponse> fetch(wire::FetchRequest request, int version);
    io::Task<wire::FetchSnapshotResponse> fetch_snapshot(wire::FetchSnapshotRequest request,
                                                         int version);
    // Changes of the voters (KIP-853), by the leader alone, and answered at the latest at
    // `deadline`. A new voter is asked what it runs, and waited for until it has caught up.
    io::Task<wire::AddRaftVoterResponse> add_voter(wire::AddRaftVoterRequest request,
                                                   Instant deadline);
    io::Task<wire::RemoveRaftVoterResponse> remove_voter(wire::RemoveRaftVoterRequest request,
                                                         Instant deadline);
    wire::UpdateRaftVoterResponse update_voter(const wire::UpdateRaftVoterRequest& request);
    // Raises the feature kraft.version; false if it is there already.
    Result<bool> upgrade(std::int16_t level, bool validate_only);
    // Of the last record of it in the log.
    std::int16_t kraft_version() const { return machine_.kraft_version(); }
    const raft::Voters& voters() const { return machine_.voters(); }
    // Answered by the leader alone; elsewhere the partition says NOT_LEADER_OR_FOLLOWER.
    wire::DescribeQuorumResponse describe(const wire::DescribeQuorumRequest& request) const;

    // Gives leadership up to a successor, who begins at once, and closes the files.
    io::Task<void> stop();
    // Ends without another write; the sync that is under way is waited for.
    io::Task<void> kill();

    bool is_leader() const;
    // It leads, and yet has gone without the fetches of a majority for a fetch timeout: most likely
    // nobody is left, and it will resign soon.
    bool is_lonely() const;
    // no_broker while none is known.
    BrokerId leader() const;
    // The controller listener of the leader, if it is another node and known.
    std::optional<io::Address> leader_address() const;
    LeaderEpoch epoch() const;
    Offset high_watermark() const;  // The first offset that is not committed.
    Offset log_start_offset() const;
    Offset log_end_offset() const;
    std::int64_t bytes_since_snapshot() const { return bytes_since_snapshot_; }

private:
    struct Sync;
    struct Parked;
    struct SavedWait;
    raft::Now now() const;
    IoStatus open_log();
    IoStatus find_snapshot();
    IoStatus read_voters();
    // What the file of a snapshot says about the voters.
    static Result<raft::VoterHistory> voters_of(const std::string& snapshot, Offset last_contained);
    raft::Found found_on_disk();

    // Carries out what the machine wants, after each call of it. False if the log refused.
    bool carry_out();
    IoStatus truncate(Offset end);
    void report();
    void arm();
    static IoStatus sync_all(io::Disk& disk, Sync& sync, SyncedMark& mark);
    void start_sync();
    io::Task<void> sync_until_done();
    io::Task<void> synced();
    io::Task<void> saved();
    io::Task<void> ended();
    void send_saved();
    void fail(IoError error);

    // Changes of the voters (quorum_voters.cc).
    void learn_voters();
    io::Task<Status> ask_version(raft::Voter* voter, Instant deadline);
    io::Task<Status> append_voter(raft::Voter voter, bool until_committed, Instant deadline);
    io::Task<Status> committed(Offset offset, LeaderEpoch in_epoch, Instant deadline);
    io::Task<void> earlier_change(Instant deadline);
    io::Task<void> news(Instant deadline);
    io::Task<void> tell_of_itself();
    io::Task<void> update_itself(raft::Voter self);
    io::Task<void> add_itself();

    // Other members (quorum_messages.cc, quorum_requests.cc).
    std::optional<io::Address> address_of(BrokerId id) const;
    bool is_meant(BrokerId id, DirectoryId directory) const;
    void learn_address(BrokerId id, std::string host, std::int64_t port);
    io::Task<void> deliver(raft::Message message);
    io::Task<void> told_successors();
    io::Task<void> deliver_vote(raft::Message message, io::Address address);
    io::Task<void> deliver_begin(raft::Message message, io::Address address);
    io::Task<void> deliver_end(raft::Message message, io::Address address);
    bool is_news(const raft::FetchAsk& ask, const raft::FetchReply& reply) const;
    void wake_parked();
    ErrorCode refuse_cluster(const std::optional<std::string>& cluster_id) const;
    // The answer to the only partition, for whoever fills in the rest.
    template <class Response>
    auto* tell(Response* response, const raft::Reply& reply, int version) const;
    template <class Response>
    void tell_leader(Response* response, BrokerId leader) const;

    // Following (quorum_follower.cc).
    io::Task<void> follow();
    io::Task<void> fetch_once(raft::FetchAsk ask);
    io::Task<bool> connect(raft::FetchAsk ask, io::Address address);
    io::Task<void> load_snapshot(raft::FetchAsk ask, raft::OffsetAndEpoch id);
    io::Task<void> pause(Duration duration);
    std::optional<io::Address> fetch_address();
    void abandon_fetch();

    io::Ports ports_;
    QuorumOptions options_;
    std::string directory_;
    SyncedMark mark_;  // Written on the disk pool, by one sync at a time.
    raft::Quorum machine_;
    Prng random_;
    std::optional<raft::QuorumState> found_state_;  // As open() found it.
    raft::VoterHistory found_voters_;
    std::unique_ptr<log::PartitionLog> log_;
    bool fresh_ = false;
    std::optional<metadata::SnapshotId> latest_snapshot_;
    std::int64_t bytes_since_snapshot_ = 0;
    std::vector<std::function<void(BrokerId, LeaderEpoch)>> leader_actions_;
    std::function<void(Offset)> commit_action_;
    std::function<void(IoError)> failure_action_;
    BrokerId told_leader_ = no_broker;
    LeaderEpoch told_epoch_{-1};
    Offset told_high_watermark_{0};
    bool caught_up_ = false;  // All was here once that a leader had committed.

    std::optional<raft::QuorumState> unsaved_state_;
    std::uint64_t state_version_ = 0;
    std::uint64_t saved_version_ = 0;
    std::vector<SavedWait*> saved_waits_;
    std::vector<std::pair<std::uint64_t, raft::Message>> outbox_;  // Until that version is saved.
    bool new_directory_ = false;  // The directory's own name is not durable yet.
    Offset durable_end_{0};
    bool syncing_ = false;
    std::vector<io::Gate*> sync_waits_;  // Opened when the last sync has ended.

    Peers peers_;
    std::map<BrokerId, io::Address> addresses_;
    raft::Voters known_voters_;  // Whose addresses were learnt.
    bool adding_voter_ = false;
    std::vector<io::Gate*> news_waits_;  // Opened when anything has changed.
    Instant tell_again_;                 // When the leader is told of this node again.
    LeaderEpoch told_of_itself_{-1};     // The leader of that epoch knows where this voter is.
    std::vector<Parked*> parked_;        // Fetches that wait for news.
    io::TimerId timer_ = 0;
    Instant timer_at_ = Instant::never();
    std::size_t tasks_ = 0;      // Messages under way.
    std::size_t farewells_ = 0;  // Those of them that tell of the end of this leadership.
    io::Gate* farewell_gate_ = nullptr;
    io::Gate* tasks_gate_ = nullptr;  // Opened when none is, if somebody waits.
    bool following_ = false;
    io::Gate* fetch_gate_ = nullptr;  // While there is nothing to fetch.
    std::unique_ptr<rpc::Connection> fetch_connection_;
    BrokerId fetching_from_ = no_broker;
    LeaderEpoch fetching_in_{-1};
    io::Gate* pause_gate_ = nullptr;
    bool fetch_outlived_ = false;  // Another leads than the one that is being asked.

    bool started_ = false;
    bool stopped_ = false;
    bool failed_ = false;
    std::optional<IoError> failure_;
};

}  // namespace pabal::runtime
