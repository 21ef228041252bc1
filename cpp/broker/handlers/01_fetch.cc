// Fetch: record batches from partitions, as ranges of files that leave by sendfile.
//
// 4     isolation level (KIP-98) · 5 log start offset · 7 fetch sessions (KIP-227)
// 9     leader epochs (KIP-320) · 11 rack: nearer replicas, followers serve consumers (KIP-392)
// 12    last fetched epoch, diverging epoch (KIP-595) · 13 topic ids (KIP-516) · 15 replica state
// 16    node endpoints (KIP-951) · 17 directory ids · 18 the follower's high watermark (KIP-1166)
//
// A fetch waits in its session until min_bytes can be read, something is wrong, or max_wait is
// over; whatever happens in a partition puts it on the session's news, and only news are looked at.
// A follower's fetch proves what it holds, reads to the log end offset, and waits for appends. It
// also ends when the follower has another request to say, and it waits where this broker has not
// heard yet of the leader epoch that the follower knows: Kafka's leader refuses that at once.
#include <algorithm>

#include "broker/current_leader.h"
#include "broker/dispatch.h"
#include "broker/fetch_sessions.h"
#include "io/gate.h"
#include "runtime/partitions.h"
#include "runtime/quorum.h"
#include "wire/fetch.h"

namespace pabal::broker {
namespace {

using PartitionData = wire::FetchResponse::PartitionData;
using replication::Isolation;

constexpr std::int32_t final_epoch = -1;
constexpr std::int32_t initial_epoch = 0;

// One pass over what a response may hold.
struct Found {
    FetchedPartition* partition;
    runtime::ReadOutcome outcome;
};

class Fetch {
public:
    Fetch(Context* context, RequestContext* request, FetchSession* session,
          const wire::FetchRequest& message, bool whole)
        : context_(context), request_(request), session_(session), whole_(whole) {
        follower_.follower = follower_of(message, request->version);
        if (is_follower() && request->version >= 15)
            follower_.broker_epoch = message.replica_state.replica_epoch;
        isolation_ = message.isolation_level == 1 && !is_follower() ? Isolation::read_committed
                                                                    : Isolation::read_uncommitted;
        if (request->version >= 11) {
            reader_ = replication::Reader::any_replica;
            if (context->partitions.rack_aware()) rack_ = message.rack_id;
        }
        max_bytes_ = std::clamp(message.max_bytes, 0, context->partitions.fetch_max_bytes());
        min_bytes_ = std::min(message.min_bytes, max_bytes_);
    }

    // -1 for a consumer.
    static BrokerId follower_of(const wire::FetchRequest& message, int version) {
        const auto id = version >= 15 ? message.replica_state.replica_id : message.replica_id;
        return id >= BrokerId(0) ? id : no_broker;
    }
    bool is_follower() const { return follower_.follower != no_broker; }

    // Reads all that the response may hold, within the limits.
    void read_all() {
        found_.clear();
        bytes_ = 0;
        at_once_ = false;
        std::int64_t unknown = 0;
        std::int32_t left = max_bytes_;
        bool nothing_yet = true;
        const auto take = [&](FetchedPartition* partition) {
            Found found{partition, read(*partition, left, nothing_yet)};
            const auto size = static_cast<std::int64_t>(found.outcome.records.size());
            partition->available_bytes = size;
            bytes_ += size;
            if (size > 0) {
                nothing_yet = false;
                left = static_cast<std::int32_t>(std::max<std::int64_t>(left - size, 0));
            }
            if (!partition->partition) ++unknown;
            if (is_urgent(*partition, found.outcome)) at_once_ = true;
            found_.push_back(std::move(found));
        };
        for (auto* partition : session_->take_fresh()) partition->available_bytes = 0;
        if (whole_) {
            found_.reserve(session_->size());
            for (auto* partition : session_->in_order()) take(partition);
        } else {
            for (auto* partition = session_->first_news(); partition;
                 partition = FetchSession::next_news(partition))
                take(partition);
        }
        if (unknown == static_cast<std::int64_t>(session_->size())) at_once_ = true;
    }

    // Looks at what happened since, in order to know whether it is time to answer.
    void look_at_news() {
        for (auto* partition : session_->take_fresh()) {
            const auto outcome = read(*partition, max_bytes_, true);
            const auto size = static_cast<std::int64_t>(outcome.records.size());
            bytes_ += size - partition->available_bytes;
            partition->available_bytes = size;
            if (is_urgent(*partition, outcome)) at_once_ = true;
        }
    }

    bool may_answer() const { return at_once_ || bytes_ >= min_bytes_; }
    void forget_what_was_read() { found_.clear(); }

    // Moves what was found into the response; what was told is not told again.
    void answer(wire::FetchResponse* response) {
        if (whole_ && !session_->uses_topic_ids()) response->responses.reserve(4);
        std::uint64_t bytes_out = 0;
        for (auto& [partition, outcome] : found_) {
            bytes_out += outcome.records.size();
            if (outcome.throttled) {
                context_->partitions.leader_quota().record(outcome.records.size(),
                                                           context_->clock.now());
            }
            const bool has_records = !outcome.records.empty();
            const bool failed = outcome.error != ErrorCode::none;
            const bool more =
                !failed && !outcome.diverging && partition->fetch_offset < outcome.readable_end;
            const bool tell = whole_ || has_records || failed || outcome.diverging ||
                              outcome.preferred_read_replica != no_broker ||
                              outcome.high_watermark != partition->told_high_watermark ||
                              outcome.log_start_offset != partition->told_log_start_offset;
            // After an error the partition is told again, once it is well.
            const bool again = failed || outcome.diverging;
            partition->told_high_watermark = again ? Offset(-1) : outcome.high_watermark;
            partition->told_log_start_offset = outcome.log_start_offset;
            if (has_records) {
                session_->move_to_end(partition);
            } else if (!failed && !more) {
                session_->remove_news(partition);
            }
            if (tell) write(partition, &outcome, response);
        }
        context_->partitions.count_out(bytes_out);
    }

private:
    bool is_urgent(const FetchedPartition& fetched, const runtime::ReadOutcome& outcome) const {
        if (!fetched.partition) return is_follower();
        if (is_follower()) {
            // The metadata that the follower has is on its way to this broker too.
            const bool ahead = fetched.current_leader_epoch > fetched.partition->leader_epoch();
            if (ahead && (outcome.error == ErrorCode::unknown_leader_epoch ||
                          outcome.error == ErrorCode::not_leader_or_follower))
                return false;
            if (outcome.error == ErrorCode::none) {
                // Replicas delete records together.
                if (outcome.log_start_offset > fetched.log_start_offset &&
                    outcome.log_start_offset != fetched.told_log_start_offset)
                    return true;
                if (context_->partitions.rack_aware() &&
                    outcome.high_watermark != fetched.told_high_watermark)
                    return true;
            }
        }
        return outcome.error != ErrorCode::none || outcome.diverging.has_value() ||
               outcome.preferred_read_replica != no_broker;
    }

    const runtime::Topic* topic_of(const FetchedPartition& partition) const {
        return session_->uses_topic_ids() ? context_->partitions.topic(partition.topic_id)
                                          : context_->partitions.topic(partition.topic_name);
    }

    // Finds the partition if it is not known yet, or another has taken its place.
    ErrorCode resolve(FetchedPartition* fetched) const {
        if (fetched->partition && !fetched->partition->deleted()) return ErrorCode::none;
        fetched->unobserve();
        fetched->partition = nullptr;
        const auto* topic = topic_of(*fetched);
        if (!topic) {
            return session_->uses_topic_ids() ? ErrorCode::unknown_topic_id
                                              : ErrorCode::unknown_topic_or_partition;
        }
        auto* partition = topic->partition(fetched->index);
        if (!partition) {
            return topic->image->partition(fetched->index) ? ErrorCode::not_leader_or_follower
                                                           : ErrorCode::unknown_topic_or_partition;
        }
        fetched->partition = partition->shared_from_this();
        using Interest = runtime::PartitionObserver::Interest;
        fetched->observe(partition,
                         is_follower() ? Interest::appended_records : Interest::committed_records);
        return ErrorCode::none;
    }

    runtime::ReadOutcome read(FetchedPartition& fetched, std::int32_t most, bool at_least_one) {
        runtime::ReadOutcome outcome;
        outcome.error = resolve(&fetched);
        if (outcome.error != ErrorCode::none) return outcome;
        const replication::ReadPlace place{fetched.fetch_offset, fetched.current_leader_epoch,
                                           fetched.last_fetched_epoch};
        most = std::min(fetched.max_bytes, most);
        auto* partition = fetched.partition.get();
        if (is_follower()) {
            follower_.offset = fetched.fetch_offset;
            follower_.log_start = fetched.log_start_offset;
            follower_.eligible =
                context_->partitions.is_eligible(follower_.follower, follower_.broker_epoch);
            outcome = partition->read_as_follower(place, follower_, fetched.place_is_news, most,
                                                  at_least_one);
            if (outcome.error == ErrorCode::none && !outcome.diverging)
                fetched.place_is_news = false;
            return outcome;
        }
        if (!rack_.empty()) {
            const auto nearer = partition->preferred_read_replica(rack_, fetched.fetch_offset);
            if (nearer != no_broker) {
                outcome = partition->read(place, isolation_, 0, false, reader_);
                if (outcome.error == ErrorCode::none) outcome.preferred_read_replica = nearer;
                return outcome;
            }
        }
        return partition->read(place, isolation_, most, at_least_one, reader_);
    }

    void write(FetchedPartition* fetched, runtime::ReadOutcome* outcome,
               wire::FetchResponse* response) {
        auto& topics = response->responses;
        const bool same_topic = !topics.empty() && topics.back().topic_id == fetched->topic_id &&
                                topics.back().topic == fetched->topic_name;
        if (!same_topic) {
            auto& topic = topics.emplace_back();
            topic.topic = fetched->topic_name;
            topic.topic_id = fetched->topic_id;
        }
        auto& data = topics.back().partitions.emplace_back();
        data.partition_index = fetched->index;
        data.error_code = outcome->error;
        data.high_watermark = outcome->high_watermark;
        data.last_stable_offset = outcome->last_stable_offset;
        data.log_start_offset = outcome->log_start_offset;
        data.preferred_read_replica = outcome->preferred_read_replica;
        if (outcome->diverging) {
            data.diverging_epoch.epoch = outcome->diverging->epoch;
            data.diverging_epoch.end_offset = outcome->diverging->end_offset;
        }
        if (isolation_ == Isolation::read_committed) {
            auto& aborted = data.aborted_transactions.emplace();
            for (const auto& transaction : outcome->aborted_transactions)
                aborted.push_back({transaction.producer, transaction.first_offset});
        } else if (outcome->error == ErrorCode::unknown_topic_or_partition ||
                   outcome->error == ErrorCode::unknown_topic_id) {
            data.aborted_transactions.emplace();  // What is not there has none, says Kafka.
        }
        data.records = std::move(outcome->records);
        if (outcome->error == ErrorCode::none) return;
        request_->failed(outcome->error);
        if (request_->version >= 16 && (outcome->error == ErrorCode::not_leader_or_follower ||
                                        outcome->error == ErrorCode::fenced_leader_epoch)) {
            const auto image = context_->image();
            if (const auto* topic = topic_of(*fetched)) {
                tell_current_leader(response, &data, topic->image->partition(fetched->index),
                                    *image, request_->peer->listener_name);
            }
        }
    }

    Context* context_;
    RequestContext* request_;
    FetchSession* session_;
    bool whole_;  // Every partition is answered, not only those with news.
    Isolation isolation_;
    replication::Reader reader_ = replication::Reader::consumer;
    replication::FollowerFetch follower_;  // Its id is -1 for a consumer.
    std::string rack_;                     // Empty: nearness is nothing to this broker.
    std::int32_t max_bytes_ = 0;
    std::int32_t min_bytes_ = 0;
    std::vector<Found> found_;
    std::int64_t bytes_ = 0;
    bool at_once_ = false;
};

void add_wishes(const wire::FetchRequest& message, FetchSession* session) {
    for (const auto& topic : message.topics) {
        for (const auto& wish : topic.partitions) {
            auto* partition = session->want(topic.topic, topic.topic_id, wish.partition);
            partition->fetch_offset = wish.fetch_offset;
            partition->max_bytes = wish.partition_max_bytes;
            partition->current_leader_epoch = wish.current_leader_epoch;
            partition->last_fetched_epoch = wish.last_fetched_epoch;
            partition->log_start_offset = wish.log_start_offset;
            partition->place_is_news = true;
            // A follower passes over answers to what it asked before.
            if (wish.log_start_offset >= Offset(0)) {
                partition->told_high_watermark = Offset(-1);
                partition->told_log_start_offset = Offset(-1);
            }
        }
    }
}

}  // namespace

io::Task<wire::FetchResponse> handle_fetch(Context* context, RequestContext* request,
                                           wire::FetchRequest message) {
    // The metadata log, for the members of its quorum.
    if (request->peer->role == ListenerRole::controller) {
        auto metadata = co_await context->quorum->fetch(std::move(message), request->version);
        request->failed(metadata.error_code);
        co_return metadata;
    }
    wire::FetchResponse response;
    const bool by_id = request->version >= 13;
    const auto now = context->clock.now();
    auto& sessions = context->fetch_sessions;
    std::shared_ptr<FetchSession> session;
    bool whole = true;
    if (message.session_epoch == initial_epoch || message.session_epoch == final_epoch) {
        if (message.session_id != 0) sessions.close(message.session_id);
        session = std::make_shared<FetchSession>(by_id);
        add_wishes(message, session.get());
    } else {
        auto continued = sessions.resume(message.session_id, message.session_epoch, by_id, now);
        if (continued.error != ErrorCode::none) {
            request->failed(continued.error);
            response.error_code = continued.error;
            co_return response;
        }
        session = std::move(continued.session);
        add_wishes(message, session.get());
        for (const auto& topic : message.forgotten_topics_data) {
            for (const auto index : topic.partitions)
                session->forget(topic.topic, topic.topic_id, index);
        }
        whole = session->size() == 0;
        if (whole) sessions.close(session->id());
    }
    const bool continues = !whole;
    const auto epoch = session->epoch();

    Fetch fetch(context, request, session.get(), message, whole);
    fetch.read_all();
    if (!fetch.may_answer() && message.max_wait_ms > 0) {
        fetch.forget_what_was_read();
        const auto deadline = now + Duration::milliseconds(message.max_wait_ms);
        bool waiting = true;
        while (waiting) {
            io::Gate gate(context->clock);
            session->set_waiting(&gate);
            if (fetch.is_follower()) request->parked = &gate;
            waiting = co_await gate.opened(deadline);
            request->parked = nullptr;
            session->stop_waiting(&gate);
            if (session->epoch() != epoch) {
                request->failed(ErrorCode::invalid_fetch_session_epoch);
                response.error_code = ErrorCode::invalid_fetch_session_epoch;
                co_return response;
            }
            fetch.look_at_news();
            if (fetch.may_answer() || request->released) waiting = false;
        }
        fetch.read_all();
    }
    fetch.answer(&response);
    if (continues) {
        response.session_id = session->id();
    } else if (message.session_epoch == initial_epoch && session->size() > 0) {
        response.session_id = sessions.keep(session, context->clock.now());
    }
    co_return response;
}

}  // namespace pabal::broker
