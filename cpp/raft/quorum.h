// KRaft: the quorum that decides what stands in the metadata log (KIP-595), its pre-vote (KIP-996),
// its snapshots (KIP-630) and changes of its voters (KIP-853). A pure machine of one node, voter or
// observer: calls say what happened and when; take_ready() says what to do, in the order of its
// fields. The caller owns the log and the network, and reports back.
//
// The roles and what leads from one to the other. E is the epoch; any message with a larger E leads
// to `follower` if it names a leader, else to `unattached`, in that E.
//
//   unattached   in E; knows no leader; may have voted in E
//     -> unattached   it grants its vote in E to another
//     -> follower     it learns who leads E
//     -> prospective  the election timeout passed (voters only, here and below; see stands())
//   prospective  asks whether it would get votes in E+1, and changes nothing by that
//     -> candidate    a majority would
//     -> follower     a leader of E speaks, or a majority would not, and a leader of E is known
//     -> unattached   the election timeout passed and no leader of E is known, or it granted its
//                     vote in E to another
//   candidate    in a new E, for which it voted for itself, durably, before it asks others
//     -> leader       a majority granted their votes; the only voter needs no other
//     -> follower     another leads E
//     -> prospective  it can win no more and waited a while, or the election timeout passed
//   leader       appends in E; commits what a majority has durably, from its own E on
//     -> resigned     the node stops, no majority fetched for one and a half fetch timeouts, or
//                     the record is committed by which it is a voter no more
//   follower     fetches from the leader of E
//     -> prospective  nothing was fetched for the fetch timeout, the leader resigned, or there is
//                     evidence that its process is dead (voters; an observer -> unattached)
//   resigned     led E, grants pre-votes only
//     -> prospective  the election timeout passed (voters; an observer -> unattached)
//
// Who votes is what the last record of voters in the log says, committed or not; a log that loses
// that record goes back to what the one before said. Voters change one at a time, and only once the
// leader has committed a record of its own epoch, so that any two majorities share a voter. A voter
// that is removed stands for election and leads, without a vote of its own, until it knows that its
// removal is committed: those who lack that record may need it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "raft/epoch_history.h"
#include "raft/message.h"
#include "raft/quorum_state.h"
#include "raft/voters.h"

namespace pabal::record {
struct QuorumControlRecord;
}

namespace pabal::raft {

enum class Role { unattached, prospective, candidate, leader, follower, resigned };
std::string_view name(Role role);

struct Settings {
    Duration election_timeout = Duration::milliseconds(300);
    Duration fetch_timeout = Duration::milliseconds(1000);
    Duration election_backoff_max = Duration::milliseconds(50);
    Duration retry_backoff = Duration::milliseconds(20);
    // The node may be made a voter: it vouches only for what is durable from the first fetch on.
    bool eligible = false;
    std::vector<VoterEndpoint> endpoints;  // Of this node, for the record of voters.
};

struct Now {
    Instant instant;
    WallTime wall;
};

// As the node found its disk.
struct Found {
    std::optional<QuorumState> state;  // None on a fresh disk.
    std::vector<EpochStart> epochs;    // Of the log, ascending.
    Offset log_start{0};
    Offset log_end{0};  // Whether all below is durable is not known before the first sync.
    std::optional<OffsetAndEpoch> snapshot;  // The newest one, durable.
    VoterHistory voters;                     // Of the control records in snapshot and log.
};

struct AppendedRecords {
    Offset base_offset;
    Offset last_offset;
    Bytes batch;  // Record batch v2 with its offsets and epoch.
};

struct Ready {
    // Durable before `messages` leave, and before the answer leaves that the same call gave.
    std::optional<QuorumState> state;
    // The log is cut off here first.
    std::optional<Offset> truncate_to;
    // To be appended, in order, then made durable, then reported with `durable`.
    std::vector<AppendedRecords> batches;
    std::vector<Message> messages;
    // The first offset that is not committed. Invariant: high-watermark-monotonic.
    Offset high_watermark{0};
};

// A member of the quorum as its leader sees it.
struct Replica {
    BrokerId id = no_broker;
    DirectoryId directory;
    Offset log_end{-1};  // -1 until it has fetched from this leader.
    std::optional<Instant> last_fetch;
    WallTime last_fetch_wall;
    WallTime last_caught_up;     // When it last had what the leader had.
    bool was_caught_up = false;  // It had once.
    Offset leader_end{-1};       // Of the leader's log at its last fetch.
};

class Quorum {
public:
    // `directory` may stay all zero.
    Quorum(BrokerId self, DirectoryId directory, Settings settings, Prng random);

    // Takes part from here on. `voters` are the static ones, which count unless the log says
    // otherwise; an empty set makes an observer that does not know them. The only voter leads at
    // once. INCONSISTENT_VOTER_SET if the directory belongs to a quorum with other static voters.
    Status start(Found found, std::vector<BrokerId> voters, Now now);

    // Time passes; call it at next_timer() at the latest.
    void elapsed(Now now);
    // Never() if nothing will happen by itself.
    Instant next_timer() const;

    // Requests of other members, and the answers to them.
    Reply vote(const VoteAsk& ask, Now now);
    Reply begin_epoch(BrokerId leader, LeaderEpoch epoch, Now now);
    Reply end_epoch(BrokerId leader, LeaderEpoch epoch, const std::vector<BrokerId>& preferred,
                    Now now);
    // Without the records, which the caller reads from its log below log_end(). Where nothing is
    // new for the replica, the caller may hold the answer back, and make another later.
    FetchReply fetch(const FetchAsk& ask, Now now);
    // The answer to a fetch that was heard of before.
    FetchReply answer(const FetchAsk& ask) const;

    // What came of a message, or that no answer came.
    void replied(const Message& message, const Reply& reply, Now now);
    void unanswered(const Message& message, Now now);

    // What to fetch next: nothing while the log is not durable that the fetch would vouch for. The
    // leader is leader(); an observer that knows none asks any voter.
    std::optional<FetchAsk> next_fetch() const;
    // What came of it. An error means that this node's log cannot be what it was: it must stop.
    Status fetched(const FetchAsk& ask, const FetchReply& reply, Now now);
    // The process of the leader is dead: its connection ended and its port refuses another.
    void leader_died(LeaderEpoch epoch, Now now);
    // The leader sent a piece of its snapshot: it lives.
    void heard_of_leader(LeaderEpoch epoch, Now now);
    // The log was replaced by that snapshot of the leader, whose control records are these.
    void snapshot_loaded(OffsetAndEpoch snapshot, VoterHistory voters, Now now);
    // The log begins with this snapshot of our own now.
    void snapshot_taken(OffsetAndEpoch snapshot);

    // The leader appends `records` as one batch; its last offset. NOT_LEADER_OR_FOLLOWER elsewhere.
    Result<Offset> propose(const std::vector<Bytes>& records, WallTime now);
    // Changes of the voters (KIP-853), by the leader: the record is appended and counts at once; it
    // is committed once high_watermark() is above the returned offset. NOT_LEADER_OR_FOLLOWER
    // elsewhere, UNSUPPORTED_VERSION below kraft.version 1, REQUEST_TIMED_OUT while an earlier
    // change or a record of this epoch is not committed, or the new voter has not caught up.
    Status may_change_voters(std::string_view change) const;
    Status may_add(const Voter& voter) const;
    Result<Offset> add_voter(const Voter& voter, Now now);
    Result<Offset> remove_voter(BrokerId id, DirectoryId directory, Now now);
    // A voter says where it is reached and what it could run. Below kraft.version 1 this is only
    // remembered, for the change to it. VOTER_NOT_FOUND, INVALID_REQUEST.
    Status update_voter(const Voter& voter, Now now);
    // Raises kraft.version; false if it is there already. INVALID_UPDATE_VERSION says why not.
    Result<bool> upgrade(std::int16_t level, bool validate_only, Now now);
    // What the leader should be told of this voter: it stands otherwise in the record of voters, or
    // in none. Nothing for anybody but a follower that votes.
    std::optional<Voter> update_due() const;

    // The log below `log_end` survives a loss of power.
    void durable(Offset log_end);
    // The last batches handed out could not be written and do not stand: the log ends at `log_end`.
    // A leader whose epoch could not begin resigns.
    void refused(Offset log_end, Now now);
    // The leader steps down and names successors; nobody else does anything.
    void resign(Now now);
    // Does nothing any more, until the process ends.
    void halt();

    Ready take_ready();

    Role role() const { return role_; }
    LeaderEpoch epoch() const { return state_.epoch; }
    // Of this epoch; no_broker if it is not known.
    BrokerId leader() const {
        return role_ == Role::leader || role_ == Role::follower ? state_.leader : no_broker;
    }
    Offset log_start() const { return log_start_; }
    Offset log_end() const { return log_end_; }
    Offset high_watermark() const { return high_watermark_; }
    // A leader that has committed a record of its own epoch, and with it all that came before.
    bool has_committed() const { return role_ == Role::leader && high_watermark_ > epoch_start_; }
    const QuorumState& state() const { return state_; }
    const Voters& voters() const;
    const VoterHistory& voter_history() const { return history_; }
    std::int16_t kraft_version() const { return history_.level(); }
    bool is_voter(BrokerId id) const { return find(voters(), id) != nullptr; }
    bool is_voter(BrokerId id, DirectoryId directory) const;
    bool votes() const { return is_voter(self_, directory_); }
    // Whether it may stand for election: also a voter whose removal is not known to be committed,
    // since those who lack that record may need it to lead.
    bool stands() const;
    // Since when this leader has gone without the fetches of a majority; never() if it needs none.
    Instant majority_heard_at() const;
    // This replica had what the leader had, within the last hour, as far as this leader knows.
    bool has_caught_up(BrokerId id, DirectoryId directory) const;
    // The leader's view, itself included; empty elsewhere. Ordered by id.
    std::vector<Replica> replicas(Now now) const;

private:
    // What another voter said to this prospective or candidate, or owes this leader.
    struct Ballot {
        bool granted = false;
        bool rejected = false;
        bool in_flight = false;
        Instant again;  // When to ask (again).
    };

    // A voter is known by id and directory; static ones by their id, whatever the directory.
    using Key = std::pair<BrokerId, DirectoryId>;

    bool alone() const { return voters().size() == 1 && votes(); }
    std::size_t majority() const { return voters().size() / 2 + 1; }
    bool has_static_voters() const { return kraft_version() == static_voters; }
    Key key_of(BrokerId id, DirectoryId directory) const;
    const Replica* replica(BrokerId id, DirectoryId directory) const;
    Voter self() const;
    OffsetAndEpoch end() const { return {log_end_, epochs_.last()}; }
    bool is_up_to_date(const OffsetAndEpoch& other) const;
    bool knows_other_leader() const;
    bool may_grant(const VoteAsk& ask) const;
    void send(Message::Kind kind, BrokerId to, bool pre_vote);
    Duration random_within(Duration least, Duration most);
    Reply reply(ErrorCode error, bool granted = false) const;

    void enter(LeaderEpoch epoch, BrokerId leader, Key voted);
    void become_unattached(LeaderEpoch epoch, Key voted, Now now);
    Key voted() const { return {state_.voted, state_.voted_directory}; }
    void become_follower(LeaderEpoch epoch, BrokerId leader, Now now);
    void become_prospective(Now now);
    void become_candidate(Now now);
    void become_leader(Now now);
    void become_resigned(Now now);
    void learn(BrokerId leader, LeaderEpoch epoch, Now now);
    void lose_leader(Now now);
    void ask_voters(Now now);
    void count_votes(Now now);
    void count_fetches();
    void resign_if_removed(Now now);
    Offset append_control(const std::vector<record::QuorumControlRecord>& records, Now now);
    Offset append_voters(Voters voters, Now now);
    void voters_changed();
    Instant check_quorum_at() const;
    Status append_fetched(const Bytes& records);

    const BrokerId self_;
    const DirectoryId directory_;
    const Settings settings_;
    Prng random_;

    Role role_ = Role::unattached;
    bool halted_ = false;
    QuorumState state_;
    bool state_unsaved_ = false;

    Offset log_start_{0};
    Offset log_end_{0};
    Offset durable_end_{0};
    EpochHistory epochs_;
    Voters static_voters_;
    VoterHistory history_;
    std::optional<OffsetAndEpoch> snapshot_;
    Offset high_watermark_{0};

    Instant timer_ = Instant::never();  // Of the role.
    Instant yield_until_;               // A prospective leaves a better one the candidacy.
    bool fetched_ = false;              // A follower has fetched from its leader, who lives.
    Instant doubtful_until_;            // An observer does not take others' word for the leader.
    std::map<BrokerId, Ballot> ballots_;
    std::map<Key, Replica> replicas_;  // Of the leader, without itself.
    Voters updated_;  // What voters told this leader of themselves while kraft.version is 0.
    Instant led_since_;
    Offset epoch_start_{0};  // Where this leader's epoch begins in the log.

    std::optional<Offset> truncate_to_;
    std::vector<AppendedRecords> batches_;
    std::vector<Message> messages_;
};

}  // namespace pabal::raft
