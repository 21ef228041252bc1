// Several machines of the quorum against each other, on one clock and one seed: a network that
// loses, repeats, delays and reorders, disks that forget at a crash what was not synced, and
// observers who compare all logs after every step. What goes wrong is told as a sentence.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "base/prng.h"
#include "raft/quorum.h"

namespace pabal::raft {

struct WorldOptions {
    std::uint64_t seed = 1;
    int voters = 3;
    int observers = 0;
    bool snapshots = false;
    bool faults = true;
    // The first `voters` nodes vote at the beginning; then voters are added and removed, of them
    // and of the `observers`.
    bool dynamic = false;
};

class QuorumWorld {
public:
    explicit QuorumWorld(WorldOptions options);
    ~QuorumWorld();

    void run_for(Duration duration);
    // Until `done`, at most so long.
    bool run_until(const std::function<bool()>& done, Duration limit);
    // No more faults: everybody runs, every message arrives.
    void heal();
    void kill(int node);
    void start(int node);
    // Stops the leader in an orderly way; -1 if there is none.
    int resign_leader();
    // The reset of its connections tells followers of a leader that was killed.
    void tell_of_death(int node);

    // The node that leads in the highest epoch; -1 if none does.
    int leader() const;
    bool propose();
    // The first rule that was broken; empty while all hold.
    const std::string& violation() const { return violation_; }
    Offset committed() const { return Offset(static_cast<std::int64_t>(committed_.size())); }
    bool everybody_has(Offset offset) const;
    int elections() const { return static_cast<int>(leaders_.size()); }
    Instant now() const { return now_; }
    const Quorum& machine(int node) const;
    int changes_of_voters() const { return changes_; }

private:
    struct Entry {
        LeaderEpoch epoch;
        std::string value;
        bool operator==(const Entry&) const = default;
    };
    struct Batch {
        Offset base;
        Offset last;
        Bytes bytes;
    };
    // What a snapshot stands for.
    struct Content {
        std::vector<Entry> entries;
        VoterHistory voters;
    };
    struct Node;
    struct Event {
        Instant when;
        std::uint64_t order;
        std::function<void()> action;
        bool operator<(const Event& other) const {
            return when != other.when ? when > other.when : order > other.order;
        }
    };

    Now both() const;
    void at(Duration delay, std::function<void()> action);
    void step(Node& node, const std::function<void()>& action);
    void settle(Node& node);
    void begin_sync(Node& node);
    void end_sync(Node& node, std::uint64_t life);
    void when_saved(Node& node, std::function<void()> action);
    void post(int from, int to, std::function<void()> deliver);
    void send(Node& node, Message message);
    void fetch(Node& node);
    void serve(Node& node, FetchAsk ask, int from, std::uint64_t id, Instant until);
    void take_answer(Node& node, std::uint64_t id, FetchAsk ask, FetchReply reply,
                     Content snapshot);
    void take_snapshot(Node& node);
    void change_voters();
    void check_change(const Voters& before, const Voters& after);
    void arm(Node& node);
    void chaos();
    void check(Node& node);
    void fail(const std::string& rule, const std::string& what);
    std::vector<Entry> entries(const Batch& batch) const;
    std::optional<Entry> entry_at(const Node& node, Offset offset) const;

    WorldOptions options_;
    Prng random_;
    Instant now_ = Instant::from_nanoseconds(1);
    std::uint64_t order_ = 0;
    std::priority_queue<Event> events_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::vector<BrokerId> voters_;
    std::map<std::pair<int, int>, bool> cut_;  // From, to.
    std::map<LeaderEpoch, int> leaders_;
    std::vector<Entry> committed_;
    Voters committed_voters_;
    int changes_ = 0;
    std::string violation_;
    int proposed_ = 0;
    bool faults_;
};

}  // namespace pabal::raft
