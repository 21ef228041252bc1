// A consumer as a member of its group, whatever the protocol: takes over what the group decided in
// the order in which it must be taken (first what is taken away is given up, by the poller and then
// here, then what is new begins), leaves when the poller stands still, and commits and reads the
// group's positions. Who reads what, and when, is the business of its two kinds. Part of a
// consumer, on its shard.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/time.h"
#include "client/brokers.h"
#include "client/consumer_protocol.h"
#include "client/fetched_records.h"
#include "client/task_group.h"
#include "io/clock.h"
#include "io/gate.h"
#include "io/task.h"

namespace pabal::client {

struct CommittedPosition {
    NamedPartition partition;
    std::int64_t offset = -1;  // -1: none is committed.
    std::int32_t leader_epoch = -1;
    std::string metadata;
};

class GroupMembership {
public:
    enum class Protocol { consumer, classic };
    struct Options {
        std::string group_id;
        Protocol protocol = Protocol::consumer;
        std::optional<std::string> instance_id;
        std::optional<std::string> assignor;  // The brokers', of KIP-848.
        // The members', of the classic protocol, best first; one at least.
        std::vector<Assignor> assignors = {Assignor::range, Assignor::cooperative_sticky};
        std::string rack;
        Duration session_timeout = Duration::seconds(45);    // Of the classic protocol.
        Duration heartbeat_interval = Duration::seconds(3);  // The same.
        Duration max_poll_interval = Duration::seconds(300);
        Duration request_timeout = Duration::seconds(30);
        Duration retry_backoff = Duration::milliseconds(100);
        Duration retry_backoff_max = Duration::seconds(1);
        Duration metadata_max_age = Duration::seconds(300);
        bool require_stable = false;  // Positions of transactions under way are waited for.
        std::int64_t reset_to = -1;
    };

    // A member by the protocol that the options name.
    static std::unique_ptr<GroupMembership> make(io::Clock* clock, Prng random, Options options,
                                                 Brokers* brokers, FetchedRecords* records,
                                                 TaskGroup* tasks);
    virtual ~GroupMembership();
    GroupMembership(const GroupMembership&) = delete;
    GroupMembership& operator=(const GroupMembership&) = delete;

    // From now on reads these topics as a member; either names or a pattern (RE2, of the brokers:
    // only with KIP-848).
    void subscribe(std::vector<std::string> topics, std::string pattern);
    bool is_subscribed() const { return subscribed_; }
    // Ends the membership: what it read goes to others at once.
    io::Task<void> leave();
    // The poller has dealt with a rebalance, or has polled again.
    void news();
    // Ends all waits here.
    void stop();

    // Errors: what the coordinator answers, e.g. unknown_member_id if the group has gone on without
    // this member; request_timed_out.
    io::Task<Status> commit(std::vector<CommittedPosition> positions, Duration timeout);
    io::Task<Result<std::vector<CommittedPosition>>> committed(
        std::vector<NamedPartition> partitions, Duration timeout);

    const std::string& member_id() const { return member_id_; }
    // The generation, in the classic protocol; 0 while this is no member.
    std::int32_t member_epoch() const { return epoch_; }

protected:
    using Owned = std::set<std::pair<TopicId, PartitionIndex>>;

    GroupMembership(io::Clock* clock, Prng random, Options options, Brokers* brokers,
                    FetchedRecords* records, TaskGroup* tasks);

    // What the two kinds do.

    // Whether the group knows this member, so that it has to be left.
    virtual bool is_member() const { return epoch_ > 0; }
    // One heartbeat, and what follows from its answer. Clears `beating_`.
    virtual io::Task<void> beat() = 0;
    // The heartbeat that is under way shall not be waited for.
    virtual void hurry() {}
    // Whether a turn of its own is due, which `take_turn` is then.
    virtual bool wants_turn() { return false; }
    virtual io::Task<void> take_turn();
    // `owned_` is what the coordinator wants; something was given up just now, if `given_up`.
    virtual void owned_changed(bool given_up) = 0;
    virtual io::Task<void> say_goodbye(BrokerId coordinator) = 0;
    // The membership is over; the next one begins from nothing.
    virtual void forget() = 0;

    // The group goes on without this member: what it read may be read by others already.
    void lost();
    void fail(Error error);
    io::Task<Result<BrokerId>> find_coordinator();
    static bool is_on_the_move(ErrorCode code);
    // Asks for those topics that were never asked for.
    io::Task<Status> know(std::vector<std::string> topics);
    Error refusal(ErrorCode code, const std::optional<std::string>& message) const;
    Duration backoff();
    std::optional<NamedPartition> named(const std::pair<TopicId, PartitionIndex>& id) const;

    io::Clock& clock_;
    const Options options_;
    Prng random_;
    Brokers& brokers_;
    FetchedRecords& records_;
    TaskGroup& tasks_;

    std::string member_id_;
    std::int32_t epoch_ = 0;
    bool subscribed_ = false;
    bool stopping_ = false;
    std::vector<std::string> topics_;
    std::string pattern_;
    bool subscription_changed_ = false;
    bool beating_ = false;
    bool called_back_ = false;  // Something was sent behind the heartbeat that is under way.
    bool urgent_ = false;
    Duration interval_;
    Instant next_beat_;  // Never while the poller stands still, and this is no member therefore.
    int failures_ = 0;
    std::optional<BrokerId> coordinator_;
    Owned owned_;
    std::optional<Owned> target_;
    bool told_ = false;  // The poller has a rebalance of ours, of either kind.

private:
    struct Verdict {
        ErrorCode code = ErrorCode::none;
        std::string message;
        bool again = false;
    };

    io::Task<void> run();
    io::Task<void> watch_poller();
    io::Task<void> depart();
    io::Task<void> reconcile();
    // What `make` makes, again for as long as the coordinator moves or `judge` says so.
    template <class Response, class Make, class Judge>
    io::Task<Result<Response>> ask_coordinator(Make make, Judge judge, Duration timeout);

    bool running_ = false;
    bool has_news_ = false;
    Owned leaving_;   // Proposed to the poller to give up.
    Owned arriving_;  // Begun, and told to the poller.
    std::unique_ptr<io::Gate> gate_;
};

}  // namespace pabal::client
