// Brings the partitions that this broker follows what one leader has: one connection, one
// incremental fetch session (KIP-227), one request that waits at the leader until there are
// records. What came is appended at once and the next fetch, which tells the leader so, leaves
// before anything else is done. What happens to a partition meanwhile is told in a second request,
// for which the leader answers the one that waits. Owned by Fetchers, lives on the data shard.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/task.h"
#include "replication/follower.h"
#include "rpc/connection.h"
#include "runtime/partition.h"
#include "wire/fetch.h"

namespace pabal {
class Logger;
}
namespace pabal::io {
class Gate;
struct Ports;
}  // namespace pabal::io
namespace pabal::metadata {
class BrokerConfig;
}

namespace pabal::runtime {

class Partitions;

// A fetch that says who follows where the version has its place for it.
struct FollowerFetchRequest : wire::FetchRequest {
    void fill(int version);
};

class Fetcher {
public:
    // All outlive this object. `number` tells the fetchers of one leader apart.
    Fetcher(io::Ports* ports, const metadata::BrokerConfig* config, Partitions* partitions,
            const Logger* log, BrokerId leader, std::int32_t number);
    ~Fetcher();
    Fetcher(const Fetcher&) = delete;
    Fetcher& operator=(const Fetcher&) = delete;

    // The partition has this leader now, or something about that changed.
    void follow(std::shared_ptr<Partition> partition);
    void leave(const TopicPartition& partition);
    // The metadata has news of the leader: it may be reached now, or elsewhere.
    void leader_changed();
    std::size_t partition_count() const { return followed_.size(); }
    // When the connection to the leader broke, if there is no other since then.
    std::optional<Instant> lost_since() const { return lost_since_; }

    // Ends when nothing is under way any more; a killed one resets its connection.
    io::Task<void> stop(bool killed);

private:
    // One partition of the session.
    struct Followed final : PartitionObserver {
        void partition_changed(bool) override { fetcher->name(this); }

        Fetcher* fetcher = nullptr;
        TopicPartition id;
        std::shared_ptr<Partition> partition;
        replication::PartitionFollower follower;
        bool behind = false;         // Its leader has committed more than it holds.
        std::uint64_t asked_in = 0;  // The number of the newest request that named it.
        Duration back_off;           // Zero while it is served.
        Instant not_before;
        bool named = false;       // Waits to be named.
        bool in_session = false;  // The leader knows what this follower holds of it.
        bool parted = false;      // Waits for the metadata: its leader epoch is of the past.
    };
    struct InFlight {
        rpc::Connection::Sent sent;
        std::uint64_t number = 0;
    };

    io::Task<void> run();
    io::Task<bool> connect();
    io::Task<void> rest(Instant until);
    io::Task<bool> send_fetch();
    io::Task<void> send_another();
    io::Task<void> disconnect(std::string why);
    io::Task<void> take(wire::FetchResponse response, std::uint64_t number);
    io::Task<void> ask_bounds(TopicPartition id);
    io::Task<Result<Offset>> list_offset(std::string topic, PartitionIndex index, LeaderEpoch epoch,
                                         std::int64_t timestamp);
    FollowerFetchRequest build();
    void drop_what_cannot_be_asked();
    void add(wire::FetchRequest* request, Followed* followed);
    void carry_out(Followed* followed, const replication::FollowerStep& step);
    void name(Followed* followed);
    void poke();
    void put_off(Followed* followed, std::string_view why);
    void hold_back(Followed* followed, Duration duration);
    bool over_quota(const Followed& followed) const;
    void forget_session();
    void arm_retry();
    void retry_due();
    Followed* find(const TopicPartition& id);
    bool has_something_to_say() const { return !named_.empty() || !forgotten_.empty(); }

    io::Ports* ports_;
    const metadata::BrokerConfig* config_;
    Partitions* partitions_;
    const Logger* log_;
    BrokerId leader_;
    std::string client_id_;
    std::int32_t max_bytes_;
    std::int32_t response_max_bytes_;
    std::int32_t min_bytes_;
    std::int32_t max_wait_milliseconds_;
    Duration max_back_off_;
    Duration answer_timeout_;

    std::map<TopicPartition, std::unique_ptr<Followed>> followed_;
    std::vector<TopicPartition> named_;
    std::vector<TopicPartition> forgotten_;  // Of the session, and not told yet.
    std::vector<TopicPartition> put_off_;
    // The leader's bounds are asked for as soon as no answer is under way; until then nothing is.
    std::vector<TopicPartition> lost_;
    io::TimerId retry_timer_ = 0;
    Instant retry_due_;

    std::unique_ptr<rpc::Connection> connection_;
    io::Address address_;
    std::deque<InFlight> in_flight_;
    std::uint64_t request_count_ = 0;
    BrokerEpoch told_epoch_{-1};  // Ours, in the newest request.
    std::int32_t session_id_ = 0;
    std::int32_t session_epoch_ = 0;
    std::size_t session_size_ = 0;
    bool sessionless_ = false;   // The leader gives none.
    bool session_lost_ = false;  // Answers that are still under way say nothing.
    std::optional<Instant> lost_since_;
    Duration connect_back_off_;
    bool unreachable_told_ = false;

    bool running_ = false;
    bool receiving_ = false;
    bool sending_ = false;
    bool stopping_ = false;
    bool killed_ = false;
    io::Gate* resting_ = nullptr;
    io::Gate* send_ended_ = nullptr;
    std::vector<io::Gate*> run_ended_;  // A kill may overtake a stop.
};

}  // namespace pabal::runtime
