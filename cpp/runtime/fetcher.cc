#include "runtime/fetcher.h"

#include <algorithm>

#include "base/log.h"
#include "base/probe.h"
#include "io/gate.h"
#include "io/ports.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "runtime/partitions.h"
#include "wire/list_offsets.h"

namespace pabal::runtime {
namespace {

using Do = replication::FollowerStep::Do;

// A leader that has not heard yet that it leads is asked again soon.
constexpr Duration first_back_off = Duration::milliseconds(5);
// How long a partition that may not have more of the quota is left alone.
constexpr Duration quota_pause = Duration::milliseconds(100);
constexpr Duration connect_timeout = Duration::seconds(2);
// One waits at the leader, one makes it answer that.
constexpr std::size_t most_in_flight = 2;
constexpr std::int64_t latest_timestamp = -1;
constexpr std::int64_t earliest_timestamp = -2;

Duration doubled(Duration back_off, Duration most) {
    if (back_off == Duration()) return std::min(first_back_off, most);
    return std::min(back_off + back_off, most);
}

}  // namespace

void FollowerFetchRequest::fill(int version) {
    if (version >= 15) {
        replica_id = no_broker;
    } else {
        replica_state = ReplicaState();
    }
}

Fetcher::Fetcher(io::Ports* ports, const metadata::BrokerConfig* config, Partitions* partitions,
                 const Logger* log, BrokerId leader, std::int32_t number)
    : ports_(ports),
      config_(config),
      partitions_(partitions),
      log_(log),
      leader_(leader),
      client_id_("broker-" + std::to_string(config->node_id().value()) + "-fetcher-" +
                 std::to_string(number)),
      max_bytes_(static_cast<std::int32_t>(config->integer("replica.fetch.max.bytes"))),
      response_max_bytes_(
          static_cast<std::int32_t>(config->integer("replica.fetch.response.max.bytes"))),
      min_bytes_(static_cast<std::int32_t>(config->integer("replica.fetch.min.bytes"))),
      max_wait_milliseconds_(
          static_cast<std::int32_t>(config->integer("replica.fetch.wait.max.ms"))),
      max_back_off_(Duration::milliseconds(config->integer("replica.fetch.backoff.ms"))),
      answer_timeout_(Duration::milliseconds(config->integer("replica.socket.timeout.ms"))) {}

Fetcher::~Fetcher() {
    ASSERT(!running_ && !sending_, "a fetcher is stopped before it goes");
    if (retry_timer_ != 0) ports_->clock.cancel(retry_timer_);
}

Fetcher::Followed* Fetcher::find(const TopicPartition& id) {
    const auto found = followed_.find(id);
    return found == followed_.end() ? nullptr : found->second.get();
}

// --- what the metadata says

void Fetcher::follow(std::shared_ptr<Partition> partition) {
    auto& slot = followed_[partition->id()];
    if (slot && slot->partition != partition) leave(partition->id());
    auto& place = followed_[partition->id()];
    if (!place) {
        place = std::make_unique<Followed>();
        place->fetcher = this;
        place->id = partition->id();
        place->partition = partition;
        place->observe(partition.get(), PartitionObserver::Interest::standing);
    }
    place->parted = false;
    place->back_off = Duration();
    place->not_before = Instant();
    name(place.get());
    if (running_ || stopping_) return;
    running_ = true;
    io::detach(run());
}

void Fetcher::leave(const TopicPartition& id) {
    const auto found = followed_.find(id);
    if (found == followed_.end()) return;
    if (found->second->in_session) {
        --session_size_;
        forgotten_.push_back(id);
    }
    if (found->second->named) std::erase(named_, id);
    std::erase(put_off_, id);
    followed_.erase(found);
    poke();
}

void Fetcher::leader_changed() {
    connect_back_off_ = Duration();
    if (resting_) resting_->open();
}

void Fetcher::name(Followed* followed) {
    if (followed->named || followed->parted) return;
    if (followed->not_before > ports_->clock.now()) return;
    followed->named = true;
    named_.push_back(followed->id);
    poke();
}

// There is something to say: now, if the loop only waits.
void Fetcher::poke() {
    if (stopping_) return;
    if (resting_ && !(connection_ == nullptr && connect_back_off_ > Duration())) resting_->open();
    if (receiving_ && !sending_ && !session_lost_ && session_id_ != 0 && lost_.empty() &&
        in_flight_.size() < most_in_flight && has_something_to_say()) {
        sending_ = true;
        io::detach(send_another());
    }
}

// --- the loop

io::Task<void> Fetcher::run() {
    while (!stopping_) {
        if (followed_.empty()) {
            if (connection_) {
                const std::string why = "nothing is followed any more";
                co_await disconnect(why);
                continue;
            }
            connect_back_off_ = Duration();
            co_await rest(Instant::never());
            continue;
        }
        if (!connection_) {
            const bool connected = co_await connect();
            if (connected || stopping_) continue;
            connect_back_off_ = doubled(connect_back_off_, max_back_off_);
            const auto until = ports_->clock.now() + connect_back_off_;
            co_await rest(until);
            continue;
        }
        drop_what_cannot_be_asked();
        const bool may_say = has_something_to_say() && in_flight_.size() < most_in_flight &&
                             session_id_ != 0 && lost_.empty();
        if (!session_lost_ && !sending_ && (in_flight_.empty() || may_say)) {
            // Nothing can be asked for until something happens.
            if (session_size_ == 0 && named_.empty() && in_flight_.empty()) {
                session_id_ = 0;
                session_epoch_ = 0;
                forgotten_.clear();
                co_await rest(Instant::never());
                continue;
            }
            sending_ = true;
            const bool sent = co_await send_fetch();
            sending_ = false;
            if (!sent && in_flight_.empty()) {
                lost_since_ = ports_->clock.now();
                const std::string why = "its connection is lost";
                co_await disconnect(why);
                continue;
            }
        }
        if (in_flight_.empty()) {
            if (sending_) {
                io::Gate gate(ports_->clock);
                send_ended_ = &gate;
                co_await gate.opened(Instant::never());
                send_ended_ = nullptr;
            }
            continue;
        }
        const InFlight awaited = in_flight_.front();
        const auto deadline = ports_->clock.now() + answer_timeout_;
        const auto sent = awaited.sent;
        receiving_ = true;
        if (has_something_to_say()) poke();
        auto response = co_await connection_->receive<wire::FetchResponse>(sent, deadline);
        receiving_ = false;
        if (stopping_) break;
        in_flight_.pop_front();
        if (!response.ok()) {
            lost_since_ = ports_->clock.now();
            const std::string why = response.error().message;
            co_await disconnect(why);
            continue;
        }
        const auto number = awaited.number;
        co_await take(std::move(*response), number);
        if (in_flight_.empty()) session_lost_ = false;
    }
    while (sending_) {
        io::Gate gate(ports_->clock);
        send_ended_ = &gate;
        co_await gate.opened(Instant::never());
        send_ended_ = nullptr;
    }
    connection_.reset();
    running_ = false;
    for (auto* gate : run_ended_) gate->open();
}

io::Task<void> Fetcher::rest(Instant until) {
    io::Gate gate(ports_->clock);
    resting_ = &gate;
    co_await gate.opened(until);
    resting_ = nullptr;
}

io::Task<bool> Fetcher::connect() {
    const auto image = partitions_->image();
    const auto* broker = image ? image->broker(leader_) : nullptr;
    const auto* endpoint = broker ? broker->endpoint(config_->inter_broker_listener()) : nullptr;
    if (!endpoint) co_return false;
    address_ = {endpoint->host, endpoint->port};
    io::Address address = address_;
    std::string client_id = client_id_;
    const auto deadline = ports_->clock.now() + connect_timeout;
    auto opened = co_await rpc::Connection::open(&ports_->network, std::move(address),
                                                 std::move(client_id), deadline);
    if (!opened.ok()) {
        if (!unreachable_told_) {
            unreachable_told_ = true;
            log_->warning("the leader cannot be reached",
                          {{"leader", leader_}, {"why", opened.error().message}});
        }
        co_return false;
    }
    unreachable_told_ = false;
    lost_since_.reset();
    connect_back_off_ = Duration();
    connection_ = std::move(*opened);
    sessionless_ = false;
    forget_session();
    co_return true;
}

io::Task<void> Fetcher::disconnect(std::string why) {
    log_->debug("a fetcher's connection ends", {{"leader", leader_}, {"why", why}});
    REACHED("fetcher-loses-its-leader");
    connection_->close();
    while (sending_) {
        io::Gate gate(ports_->clock);
        send_ended_ = &gate;
        co_await gate.opened(Instant::never());
        send_ended_ = nullptr;
    }
    connection_.reset();
    in_flight_.clear();
    forget_session();
}

// Everything has to be named again.
void Fetcher::forget_session() {
    session_id_ = 0;
    session_epoch_ = 0;
    session_size_ = 0;
    session_lost_ = !in_flight_.empty();
    forgotten_.clear();
    lost_.clear();
    for (auto& [id, followed] : followed_) {
        followed->in_session = false;
        followed->follower.forget();
        if (!followed->named && !followed->parted && followed->not_before <= ports_->clock.now()) {
            followed->named = true;
            named_.push_back(id);
        }
    }
}

io::Task<bool> Fetcher::send_fetch() {
    auto request = build();
    const auto number = request_count_;
    const auto deadline = ports_->clock.now() + answer_timeout_;
    auto sent = co_await connection_->send(std::move(request), deadline);
    if (!sent.ok()) co_return false;
    in_flight_.push_back({*sent, number});
    co_return true;
}

io::Task<void> Fetcher::send_another() {
    const bool sent = co_await send_fetch();
    sending_ = false;
    // The one that waits for the answer learns of the loss.
    if (!sent) connection_->close();
    if (send_ended_) send_ended_->open();
    if (sent) poke();
}

// What lost its log, waits, or goes to another fetcher soon is named again when that changes.
void Fetcher::drop_what_cannot_be_asked() {
    const auto now = ports_->clock.now();
    std::erase_if(named_, [&](const TopicPartition& id) {
        auto* followed = find(id);
        const bool askable = !followed->parted && followed->not_before <= now &&
                             followed->partition->follows() &&
                             followed->partition->leader() == leader_;
        // Each fetch claims to hold what is before it.
        const bool claims = !askable || followed->partition->may_claim_end();
        if (!claims) hold_back(followed, first_back_off);
        if (!askable || !claims) followed->named = false;
        return !askable || !claims;
    });
}

FollowerFetchRequest Fetcher::build() {
    FollowerFetchRequest request;
    const auto image = partitions_->image();
    const auto self = config_->node_id();
    const auto* broker = image ? image->broker(self) : nullptr;
    request.replica_id = self;
    request.replica_state.replica_id = self;
    if (broker) request.replica_state.replica_epoch = broker->epoch;
    // A session stands as soon as its first request is answered.
    request.max_wait_ms = session_id_ == 0 && !sessionless_ ? 0 : max_wait_milliseconds_;
    request.min_bytes = min_bytes_;
    request.max_bytes = response_max_bytes_;
    request.session_id = session_id_;
    request.session_epoch = session_epoch_;
    if (session_id_ != 0) session_epoch_ = session_epoch_ == INT32_MAX ? 1 : session_epoch_ + 1;
    ++request_count_;

    // The leader counts whom it heard of in this incarnation (KIP-903).
    if (request.replica_state.replica_epoch != told_epoch_) {
        told_epoch_ = request.replica_state.replica_epoch;
        for (auto& [id, followed] : followed_) {
            if (!followed->named) named_.push_back(id);
            followed->named = true;
            followed->follower.forget();
        }
    }
    drop_what_cannot_be_asked();
    std::vector<TopicPartition> named;
    named.swap(named_);
    std::sort(named.begin(), named.end());
    for (const auto& id : named) {
        auto* followed = find(id);
        followed->named = false;
        if (!forgotten_.empty()) std::erase(forgotten_, id);
        add(&request, followed);
    }
    std::sort(forgotten_.begin(), forgotten_.end());
    if (session_id_ != 0) {
        for (const auto& id : forgotten_) {
            auto& topics = request.forgotten_topics_data;
            if (topics.empty() || topics.back().topic_id != id.topic) {
                topics.emplace_back();
                topics.back().topic_id = id.topic;
                if (const auto* topic = partitions_->topic(id.topic))
                    topics.back().topic = topic->name();
            }
            topics.back().partitions.push_back(id.partition);
        }
    }
    forgotten_.clear();
    return request;
}

void Fetcher::add(wire::FetchRequest* request, Followed* followed) {
    const auto told = followed->follower.asked();
    const auto place = followed->partition->ask(&followed->follower);
    if (followed->in_session && told == place) return;
    auto& topics = request->topics;
    if (topics.empty() || topics.back().topic_id != followed->id.topic) {
        topics.emplace_back();
        topics.back().topic = followed->partition->topic_name();
        topics.back().topic_id = followed->id.topic;
    }
    auto& wish = topics.back().partitions.emplace_back();
    wish.partition = followed->id.partition;
    wish.current_leader_epoch = place.leader_epoch;
    wish.fetch_offset = place.offset;
    wish.last_fetched_epoch = place.last_fetched_epoch;
    wish.log_start_offset = place.log_start;
    wish.partition_max_bytes = max_bytes_;
    wish.high_watermark = followed->partition->high_watermark();
    followed->asked_in = request_count_;
    if (!followed->in_session) {
        followed->in_session = true;
        ++session_size_;
    }
}

// --- answers

io::Task<void> Fetcher::take(wire::FetchResponse response, std::uint64_t number) {
    if (session_lost_) co_return;
    if (response.error_code != ErrorCode::none) {
        // The leader keeps no such session, or another request took its place.
        const std::string why(error_name(response.error_code));
        log_->debug("a fetch session ended", {{"leader", leader_}, {"why", why}});
        const bool had_session = session_id_ != 0;
        forget_session();
        if (!had_session) {
            connect_back_off_ = doubled(connect_back_off_, max_back_off_);
            const auto until = ports_->clock.now() + connect_back_off_;
            co_await rest(until);
        }
        co_return;
    }
    if (session_id_ == 0 && response.session_id != 0) {
        session_id_ = response.session_id;
        session_epoch_ = 1;
    } else if (response.session_id == 0 && session_id_ == 0) {
        // The leader has no room for a session: everything is named each time.
        sessionless_ = true;
    }

    struct Flushing {
        std::shared_ptr<Partition> partition;
        Offset end;
    };
    std::vector<Flushing> flushing;
    bool sync_checkpoints = false;
    for (auto& topic : response.responses) {
        for (auto& data : topic.partitions) {
            auto* followed = find({topic.topic_id, data.partition_index});
            // What was asked since decides.
            if (!followed || followed->asked_in > number) continue;
            auto& partition = *followed->partition;
            replication::LeaderAnswer answer;
            answer.error = data.error_code;
            answer.high_watermark = data.high_watermark;
            answer.log_start = data.log_start_offset;
            if (data.diverging_epoch.end_offset >= Offset(0)) {
                answer.diverging = replication::EpochEnd{data.diverging_epoch.epoch,
                                                         data.diverging_epoch.end_offset};
            }
            const auto step = partition.answered(followed->follower, answer);
            if (step.what == Do::take) {
                followed->back_off = Duration();
                const bool has_records = data.records && !data.records->empty();
                const auto records = has_records ? data.records->flatten() : std::nullopt;
                const auto outcome = partition.replicate(records ? *records : Bytes(), answer);
                if (outcome.error != ErrorCode::none) {
                    put_off(followed, outcome.message);
                    continue;
                }
                if (outcome.start_moved) sync_checkpoints = true;
                if (outcome.awaits_flush) {
                    flushing.push_back(
                        {partition.shared_from_this(), partition.log()->log_end_offset()});
                }
                followed->behind = answer.high_watermark > partition.log()->log_end_offset();
                if (has_records && followed->behind && partition.throttled_as_follower())
                    partitions_->follower_quota().record(records->size(), ports_->clock.now());
                if (over_quota(*followed)) {
                    hold_back(followed, quota_pause);
                } else if (has_records || outcome.start_moved) {
                    name(followed);
                }
            } else if (step.what == Do::ask_bounds) {
                if (std::find(lost_.begin(), lost_.end(), followed->id) == lost_.end())
                    lost_.push_back(followed->id);
            } else if (step.what == Do::truncate || step.what == Do::restart) {
                carry_out(followed, step);
                sync_checkpoints = true;
            } else if (step.what == Do::await_metadata) {
                followed->parted = true;
                if (followed->in_session) {
                    followed->in_session = false;
                    --session_size_;
                    forgotten_.push_back(followed->id);
                }
            } else if (step.what != Do::nothing) {
                put_off(followed, error_name(answer.error));
            }
        }
    }
    response = wire::FetchResponse();
    // What the next fetch claims to hold has to be on disk where that was promised.
    for (const auto& each : flushing) {
        const auto deadline = ports_->clock.now() + answer_timeout_;
        const auto error = co_await each.partition->durable(each.end, deadline);
        if (error == ErrorCode::none) continue;
        if (auto* followed = find(each.partition->id())) put_off(followed, error_name(error));
    }
    if (sync_checkpoints && !stopping_) {
        const auto synced = co_await partitions_->checkpoints_synced();
        if (!synced.ok())
            log_->warning("checkpoints cannot be written", {{"why", synced.error().message}});
    }
    // Other answers would come between.
    if (in_flight_.empty() && !sending_) {
        std::vector<TopicPartition> lost;
        lost.swap(lost_);
        for (const auto& id : lost) {
            if (stopping_ || !connection_) break;
            co_await ask_bounds(id);
        }
    }
    if (sessionless_) forget_session();
}

void Fetcher::carry_out(Followed* followed, const replication::FollowerStep& step) {
    auto& partition = *followed->partition;
    const auto before = partition.log()->log_end_offset();
    const auto done =
        step.what == Do::restart ? partition.restart(step.offset) : partition.cut(step.offset);
    log_->info("a follower's log was cut where its leader's parts from it",
               {{"topic", partition.topic_name()},
                {"partition", partition.id().partition.value()},
                {"leader", leader_},
                {"from", before.value()},
                {"to", step.offset.value()}});
    if (!done.ok()) {
        put_off(followed, done.error().message);
    } else {
        name(followed);
    }
}

// The leader's log does not hold what follows ours. Kafka's leaders do not say where theirs
// begins and ends when they refuse, so it is asked for.
io::Task<void> Fetcher::ask_bounds(TopicPartition id) {
    auto* followed = find(id);
    if (!followed || !followed->partition->follows()) co_return;
    const std::string topic = followed->partition->topic_name();
    const auto index = id.partition;
    const auto epoch = followed->partition->leader_epoch();
    auto start = co_await list_offset(topic, index, epoch, earliest_timestamp);
    Result<Offset> end = Offset(-1);
    if (start.ok() && !stopping_) {
        auto found = co_await list_offset(topic, index, epoch, latest_timestamp);
        end = std::move(found);
    }
    followed = find(id);
    if (stopping_ || !followed) co_return;
    if (!start.ok() || !end.ok()) {
        put_off(followed, start.ok() ? end.error().message : start.error().message);
        co_return;
    }
    const auto step = followed->partition->bounds_told(followed->follower, {*start, *end});
    if (step.what == Do::truncate || step.what == Do::restart) {
        carry_out(followed, step);
        const auto synced = co_await partitions_->checkpoints_synced();
        static_cast<void>(synced);
    } else {
        // The leader's log has moved meanwhile.
        put_off(followed, "its offset was out of range");
    }
}

io::Task<Result<Offset>> Fetcher::list_offset(std::string topic, PartitionIndex index,
                                              LeaderEpoch epoch, std::int64_t timestamp) {
    wire::ListOffsetsRequest request;
    request.replica_id = config_->node_id();
    auto& asked_topic = request.topics.emplace_back();
    asked_topic.name = std::move(topic);
    auto& asked = asked_topic.partitions.emplace_back();
    asked.partition_index = index;
    asked.current_leader_epoch = epoch;
    asked.timestamp = timestamp;
    const auto deadline = ports_->clock.now() + answer_timeout_;
    auto response =
        co_await connection_->call<wire::ListOffsetsResponse>(std::move(request), deadline);
    if (!response.ok()) {
        connection_->close();
        co_return response.error();
    }
    if (response->topics.size() != 1 || response->topics[0].partitions.size() != 1)
        co_return Error{ErrorCode::invalid_request, "an answer to another question"};
    const auto& answer = response->topics[0].partitions[0];
    if (answer.error_code != ErrorCode::none)
        co_return Error{answer.error_code, std::string(error_name(answer.error_code))};
    co_return answer.offset;
}

// It is left out for a while, and named again then.
void Fetcher::put_off(Followed* followed, std::string_view why) {
    followed->back_off = doubled(followed->back_off, max_back_off_);
    log_->debug("a partition is not fetched for a while",
                {{"topic", followed->partition->topic_name()},
                 {"partition", followed->id.partition.value()},
                 {"leader", leader_},
                 {"why", why}});
    hold_back(followed, followed->back_off);
}

bool Fetcher::over_quota(const Followed& followed) const {
    return followed.behind && followed.partition->throttled_as_follower() &&
           partitions_->follower_quota().exceeded(ports_->clock.now());
}

void Fetcher::hold_back(Followed* followed, Duration duration) {
    followed->not_before = ports_->clock.now() + duration;
    if (followed->in_session) {
        followed->in_session = false;
        --session_size_;
        forgotten_.push_back(followed->id);
    }
    followed->follower.forget();
    if (std::find(put_off_.begin(), put_off_.end(), followed->id) == put_off_.end())
        put_off_.push_back(followed->id);
    arm_retry();
}

void Fetcher::arm_retry() {
    if (stopping_ || put_off_.empty()) return;
    Instant due = Instant::never();
    for (const auto& id : put_off_) {
        if (const auto* followed = find(id)) due = std::min(due, followed->not_before);
    }
    if (due == Instant::never()) return;
    if (retry_timer_ != 0) {
        if (retry_due_ <= due) return;
        ports_->clock.cancel(retry_timer_);
    }
    retry_due_ = due;
    retry_timer_ = ports_->clock.at(due, [this] {
        retry_timer_ = 0;
        retry_due();
    });
}

void Fetcher::retry_due() {
    const auto now = ports_->clock.now();
    std::vector<TopicPartition> waiting;
    waiting.swap(put_off_);
    for (const auto& id : waiting) {
        auto* followed = find(id);
        if (!followed) continue;
        if (followed->not_before > now) {
            put_off_.push_back(id);
        } else if (over_quota(*followed)) {
            hold_back(followed, quota_pause);
        } else {
            name(followed);
        }
    }
    arm_retry();
}

io::Task<void> Fetcher::stop(bool killed) {
    stopping_ = true;
    killed_ = killed;
    if (retry_timer_ != 0) ports_->clock.cancel(retry_timer_);
    retry_timer_ = 0;
    if (connection_) {
        if (killed) {
            connection_->reset();
        } else {
            connection_->close();
        }
    }
    if (resting_) resting_->open();
    if (running_) {
        io::Gate gate(ports_->clock);
        run_ended_.push_back(&gate);
        co_await gate.opened(Instant::never());
        std::erase(run_ended_, &gate);
    }
    followed_.clear();
    named_.clear();
}

}  // namespace pabal::runtime
