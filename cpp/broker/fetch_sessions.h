// Incremental fetch sessions (KIP-227). A session remembers which partitions a consumer follows, so
// that a request names only what changed and a response holds only what is new. A session is also
// how a fetch waits: each of its partitions observes its log, and what has news is put on a list,
// so that a fetch over 10,000 quiet partitions costs nothing while they are quiet. A fetch without
// a session uses one that lives as long as the request. Lives on the data shard.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error_code.h"
#include "base/ids.h"
#include "base/prng.h"
#include "base/time.h"
#include "runtime/partition.h"

namespace pabal::io {
class Gate;
}
namespace pabal::broker {

class FetchSession;

// One partition of a session. Linked into the session's order, and, while it may have something to
// tell, into its news.
class FetchedPartition final : public runtime::PartitionObserver {
public:
    // Of a request below version 13, which says names.
    std::string topic_name;
    TopicId topic_id;
    PartitionIndex index;

    // As the newest request that named the partition wants it.
    Offset fetch_offset{0};
    std::int32_t max_bytes = 0;
    LeaderEpoch current_leader_epoch = no_leader_epoch;
    LeaderEpoch last_fetched_epoch = no_leader_epoch;
    Offset log_start_offset{-1};  // Of a follower.
    bool place_is_news = false;   // The follower was not heard of with this place yet.

    // As the newest response told it; -1: it has to be told.
    Offset told_high_watermark{-1};
    Offset told_log_start_offset{-1};

    // Null while this broker does not hold the partition.
    std::shared_ptr<runtime::Partition> partition;

    // Bytes that can be read now, as far as the waiting fetch has looked.
    std::int64_t available_bytes = 0;

private:
    friend class FetchSession;
    void partition_changed(bool wake) override;

    FetchSession* session_ = nullptr;
    std::size_t place_ = 0;  // In the session's order.
    // Neighbours in the news.
    FetchedPartition* previous_ = nullptr;
    FetchedPartition* next_ = nullptr;
    bool has_news_ = false;
    bool fresh_ = false;  // Not looked at since its latest news.
};

class FetchSession {
public:
    explicit FetchSession(bool uses_topic_ids) : uses_topic_ids_(uses_topic_ids) {}
    ~FetchSession();
    FetchSession(const FetchSession&) = delete;
    FetchSession& operator=(const FetchSession&) = delete;

    std::int32_t id() const { return id_; }
    // Which the next request must carry.
    std::int32_t epoch() const { return epoch_; }
    bool uses_topic_ids() const { return uses_topic_ids_; }
    std::size_t size() const { return partitions_.size(); }

    // The partition, new or known; it has news from now on. Names count without topic ids only.
    FetchedPartition* want(std::string_view topic_name, const TopicId& topic_id,
                           PartitionIndex index);
    bool forget(std::string_view topic_name, const TopicId& topic_id, PartitionIndex index);

    // All partitions, in the order in which they were named first.
    const std::vector<FetchedPartition*>& in_order();

    // What may have something to tell: what waits longest first.
    FetchedPartition* first_news() const { return news_first_; }
    static FetchedPartition* next_news(const FetchedPartition* partition) {
        return partition->next_;
    }
    // Nothing to tell until something happens.
    void remove_news(FetchedPartition* partition);
    // It was served: the others go first next time.
    void move_to_end(FetchedPartition* partition);

    // What had news since the last call; none of it stays fresh.
    std::vector<FetchedPartition*> take_fresh();
    // The fetch that waits in this session is woken through this gate. Another one that waits there
    // is woken too: a newer request has taken its place.
    void set_waiting(io::Gate* gate);
    void stop_waiting(io::Gate* gate);

private:
    friend class FetchSessions;
    friend class FetchedPartition;
    struct Key {
        std::string_view name;  // Of the partition's own; empty with topic ids.
        TopicId id;
        PartitionIndex index;
        bool operator==(const Key&) const = default;
    };
    struct KeyHash {
        std::size_t operator()(const Key& key) const;
    };
    Key key_of(std::string_view topic_name, const TopicId& topic_id, PartitionIndex index) const;
    void add_news(FetchedPartition* partition, bool wake = true);
    void unlink(FetchedPartition* partition);

    std::int32_t id_ = 0;
    std::int32_t epoch_ = 1;
    bool uses_topic_ids_;
    Instant created_;
    Instant last_used_;
    bool evictable_ = false;  // It was used when it was older than two minutes.
    std::unordered_map<Key, std::unique_ptr<FetchedPartition>, KeyHash> partitions_;
    std::vector<FetchedPartition*> order_;  // Null where one was forgotten.
    std::size_t order_holes_ = 0;
    FetchedPartition* news_first_ = nullptr;
    FetchedPartition* news_last_ = nullptr;
    std::vector<FetchedPartition*> fresh_;  // Null where one was forgotten.
    io::Gate* waiting_ = nullptr;
};

// The sessions of one broker. Bounded: max.incremental.fetch.session.cache.slots.
class FetchSessions {
public:
    FetchSessions(std::size_t max_sessions, Prng random);

    // The session that a request continues, its epoch advanced; or the error:
    // FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
    struct Continued {
        ErrorCode error = ErrorCode::none;
        std::shared_ptr<FetchSession> session;
    };
    Continued resume(std::int32_t id, std::int32_t epoch, bool uses_topic_ids, Instant now);
    // Keeps `session` for later requests and gives it an id; 0 if there is no room for it. Makes
    // room by dropping a session unused for two minutes, or an old one that is smaller.
    std::int32_t keep(std::shared_ptr<FetchSession> session, Instant now);
    void close(std::int32_t id);

    std::size_t size() const { return sessions_.size(); }
    std::size_t partition_count() const;
    std::uint64_t evicted_count() const { return evicted_count_; }

    // The epoch that the request after `epoch` carries; wraps to 1.
    static std::int32_t next_epoch(std::int32_t epoch);

private:
    bool make_room(std::size_t size, Instant now);

    std::size_t max_sessions_;
    Prng random_;
    std::map<std::int32_t, std::shared_ptr<FetchSession>> sessions_;
    std::uint64_t evicted_count_ = 0;
};

}  // namespace pabal::broker
