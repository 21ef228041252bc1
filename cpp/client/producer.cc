#include "client/producer.h"

#include <algorithm>
#include <tuple>

#include "base/assert.h"
#include "base/big_endian.h"
#include "base/crc32c.h"
#include "client/retry_backoff.h"
#include "record/record_batch.h"
#include "wire/init_producer_id.h"
#include "wire/produce.h"

namespace pabal::client {
namespace {

std::string place_of(const Batch& batch) {
    return *batch.lane->topic->name + "-" + std::to_string(batch.lane->partition.value());
}

// Errors after which the leader has to be looked up again.
bool is_moved(ErrorCode code) {
    switch (code) {
        case ErrorCode::not_leader_or_follower:
        case ErrorCode::unknown_topic_or_partition:
        case ErrorCode::unknown_topic_id:
        case ErrorCode::leader_not_available:
        case ErrorCode::fenced_leader_epoch:
        case ErrorCode::kafka_storage_error:
        case ErrorCode::network_exception:
        case ErrorCode::broker_not_available:
        case ErrorCode::request_timed_out: return true;
        default: return false;
    }
}

bool may_succeed_later(ErrorCode code) {
    return is_retriable(code) || code == ErrorCode::broker_not_available ||
           code == ErrorCode::invalid_request;  // A garbled answer: the connection was given up.
}

}  // namespace

Producer::Producer(io::Clock* clock, io::Network* network, Prng random, Options options,
                   std::shared_ptr<RecordAccumulator> accumulator)
    : clock_(*clock),
      options_(std::move(options)),
      random_(random.fork("producer")),
      accumulator_(std::move(accumulator)),
      brokers_(clock, network, random.fork("brokers"), options_.brokers),
      tasks_(clock) {
    if (options_.transactional_id.empty()) return;
    Transactions::Options asking;
    asking.transactional_id = options_.transactional_id;
    asking.transaction_timeout = options_.transaction_timeout;
    asking.request_timeout = options_.request_timeout;
    asking.retry_backoff = options_.retry_backoff;
    asking.retry_backoff_max = options_.retry_backoff_max;
    transactions_.emplace(clock, &brokers_, random, std::move(asking));
}

Producer::~Producer() = default;

io::Task<void> Producer::stop() {
    stopping_ = true;
    if (transactions_) transactions_->stop();
    if (timer_ != 0) clock_.cancel(timer_);
    timer_ = 0;
    brokers_.close();
    co_await tasks_.ended();
    const Error closed{ErrorCode::network_exception, "the producer was closed before delivery"};
    for (Lane* lane : retrying_) {
        for (auto& batch : lane->retries) accumulator_->fail(std::move(batch), closed);
        lane->retries.clear();
    }
    accumulator_->close(closed);
    co_await brokers_.stop();
}

void Producer::pump() {
    if (stopping_) return;
    // A request that fails at once ends inside of this.
    if (std::exchange(pumping_, true)) {
        wake_at(clock_.now());
        return;
    }
    expire();
    while (pump_once()) {
    }
    pumping_ = false;
    const Instant began = std::min(accumulator_->earliest(), [&] {
        Instant earliest = Instant::never();
        for (Lane* lane : retrying_) {
            if (!lane->retries.empty()) earliest = std::min(earliest, lane->retries.front()->began);
        }
        return earliest;
    }());
    if (began != Instant::never()) wake_at(began + options_.delivery_timeout);
}

// One request to each leader that can take one. False when nothing could be sent.
bool Producer::pump_once() {
    auto work = accumulator_->survey();
    for (const auto& name : work.unknown_topics) {
        const auto* topic = brokers_.topic(name);
        if (topic != nullptr && topic->error == ErrorCode::none && !topic->partitions.empty()) {
            accumulator_->set_partitions(name, topic->partitions.size());
        } else {
            want_metadata();
        }
    }
    std::erase_if(retrying_, [](Lane* lane) { return lane->retries.empty(); });
    std::vector<Lane*> lanes = retrying_;
    for (Lane* lane : work.lanes) {
        if (lane->retries.empty()) lanes.push_back(lane);
    }
    if (!lanes.empty() && options_.idempotent && !ready_for_idempotence()) return false;
    if (!lanes.empty() && clock_.now() - refreshed_ > options_.metadata_max_age) want_metadata();
    std::map<BrokerId, Draft> drafts;
    ++turn_;
    for (std::size_t index = 0; index < lanes.size(); ++index) {
        add(lanes[(turn_ + index) % lanes.size()], &drafts);
    }
    for (auto& [broker, draft] : drafts) send(std::move(draft));
    return !drafts.empty();
}

bool Producer::add(Lane* lane, std::map<BrokerId, Draft>* drafts) {
    const Instant now = clock_.now();
    if (transaction_failed_) {
        fail_lane(lane);
        return false;
    }
    if (lane->in_flight > 0 && lane->recovering) return false;
    if (lane->in_flight == 0) {
        lane->recovering = false;
        if (lane->restart_sequence) restart_sequences(lane);
        if (options_.idempotent && producer_id_ == no_producer_id) return false;
    }
    if (lane->not_before > now) {
        wake_at(lane->not_before);
        return false;
    }
    const auto known = brokers_.partition(*lane->topic->name, lane->partition);
    if (!known || known->leader == no_broker) {
        want_metadata();
        return false;
    }
    // What is under way to an earlier leader comes back first, so that nothing overtakes it.
    if (lane->in_flight > 0 && lane->sent_to != known->leader) return false;
    Link* link = link_to(known->leader);
    if (!link->channel || !link->channel->is_open()) {
        link->channel.reset();
        if (link->connecting) return false;
        if (link->not_before > now) {
            wake_at(link->not_before);
            return false;
        }
        link->connecting = true;
        tasks_.start(connect(link));
        if (!link->channel) return false;
    }
    if (link->in_flight >= options_.max_in_flight) return false;
    if (options_.acks == 0 && link->channel->unsent_bytes() > 4 * options_.max_request_size) {
        wake_at(now + Duration::milliseconds(1));
        return false;
    }
    Draft& draft = (*drafts)[known->leader];
    draft.link = link;
    if (draft.size_bytes >= options_.max_request_size) return false;
    std::unique_ptr<Batch> batch;
    if (!lane->retries.empty()) {
        batch = std::move(lane->retries.front());
        lane->retries.pop_front();
    } else {
        Instant due = Instant::never();
        batch = accumulator_->pull(lane, now, &due);
        if (!batch) {
            if (due != Instant::never()) wake_at(due);
            if (draft.batches.empty()) drafts->erase(known->leader);
            return false;
        }
    }
    draft.size_bytes += batch->size_bytes;
    draft.batches.push_back(std::move(batch));
    ++lane->in_flight;
    lane->sent_to = known->leader;
    return true;
}

Producer::Link* Producer::link_to(BrokerId broker) {
    auto& link = links_[broker];
    if (!link) {
        link = std::make_unique<Link>();
        link->broker = broker;
    }
    return link.get();
}

bool Producer::ready_for_idempotence() {
    if (producer_id_ != no_producer_id) return true;
    // One with a transactional id was told who it is before.
    if (asking_producer_id_ || is_transactional()) return transaction_failed_.has_value();
    if (ask_not_before_ > clock_.now()) {
        wake_at(ask_not_before_);
        return false;
    }
    asking_producer_id_ = true;
    tasks_.start(init_producer_id());
    return false;
}

// A batch was lost, and with it its place in the sequence: the partition goes on with another
// epoch, whose sequence begins at zero (KIP-360).
void Producer::restart_sequences(Lane* lane) {
    lane->restart_sequence = false;
    if (lane->producer_id == producer_id_ && lane->producer_epoch == producer_epoch_) {
        if (producer_epoch_.value() == INT16_MAX) {
            producer_id_ = no_producer_id;  // Asked anew at the next pump.
            lane->producer_id = no_producer_id;
        } else {
            producer_epoch_ = ProducerEpoch(static_cast<std::int16_t>(producer_epoch_.value() + 1));
        }
    }
    if (producer_id_ != no_producer_id) {
        lane->producer_id = producer_id_;
        lane->producer_epoch = producer_epoch_;
        lane->next_sequence = 0;
    }
    for (auto& batch : lane->retries) batch->base_sequence = record::no_sequence;
}

// Header and records of a batch that is about to be sent.
Rope Producer::seal(Batch* batch) {
    Lane* lane = batch->lane;
    if (!batch->sealed) {
        const Bytes content(std::move(batch->content));
        const Bytes records = content.slice(0, batch->size_bytes);
        if (options_.compression == record::Compression::none) {
            batch->records = records;
        } else {
            std::vector<std::uint8_t> compressed;
            codecs_.compress(options_.compression, options_.compression_level, records, compressed);
            batch->records = Bytes::copy_of(ByteView(compressed));
        }
        batch->sealed = true;
    }
    if (options_.idempotent && batch->base_sequence == record::no_sequence) {
        // Each transaction has an epoch of its own, in which counting begins anew (KIP-890).
        const bool is_new = is_transactional() && (lane->producer_id != producer_id_ ||
                                                   lane->producer_epoch != producer_epoch_);
        if (lane->producer_id == no_producer_id || is_new) {
            lane->producer_id = producer_id_;
            lane->producer_epoch = producer_epoch_;
            lane->next_sequence = 0;
        }
        batch->producer_id = lane->producer_id;
        batch->producer_epoch = lane->producer_epoch;
        batch->base_sequence = lane->next_sequence;
        lane->next_sequence = record::sequence_after(lane->next_sequence, batch->record_count);
    }
    Buffer header(record::header_size);
    std::uint8_t* at = header.data();
    const std::size_t size = record::header_size + batch->records.size();
    store_big_endian(at + record::base_offset_position, std::int64_t{0});
    store_big_endian(at + record::batch_length_position,
                     static_cast<std::int32_t>(size - record::log_overhead));
    store_big_endian(at + record::leader_epoch_position, no_leader_epoch.value());
    store_big_endian(at + record::magic_position, record::magic_v2);
    auto attributes = static_cast<std::int16_t>(options_.compression);
    if (is_transactional()) attributes |= record::transactional_bit;
    store_big_endian(at + record::attributes_position, attributes);
    store_big_endian(at + record::last_offset_delta_position, batch->record_count - 1);
    store_big_endian(at + record::base_timestamp_position, batch->base_timestamp);
    store_big_endian(at + record::max_timestamp_position, batch->max_timestamp);
    store_big_endian(at + record::producer_id_position, batch->producer_id.value());
    store_big_endian(at + record::producer_epoch_position, batch->producer_epoch.value());
    store_big_endian(at + record::base_sequence_position, batch->base_sequence);
    store_big_endian(at + record::record_count_position, batch->record_count);
    const std::uint32_t crc =
        crc32c(crc32c(header.view().subspan(record::attributes_position)), batch->records);
    store_big_endian(at + record::crc_position, crc);
    Rope rope{Bytes(std::move(header))};
    rope.append(batch->records);
    return rope;
}

void Producer::send(Draft draft) {
    std::vector<Rope> records;
    transaction_begun_ = is_transactional();
    for (auto& batch : draft.batches) {
        ++batch->attempts;
        records.push_back(seal(batch.get()));
    }
    ++draft.link->in_flight;
    tasks_.start(deliver(draft.link, std::move(draft.batches), std::move(records)));
}

io::Task<void> Producer::deliver(Link* link, std::vector<std::unique_ptr<Batch>> batches,
                                 std::vector<Rope> records) {
    wire::ProduceRequest request;
    request.acks = options_.acks;
    if (is_transactional()) request.transactional_id = options_.transactional_id;
    request.timeout_ms = static_cast<std::int32_t>(options_.request_timeout.to_milliseconds());
    // By topic, as the request groups them; the batches in the same order.
    std::vector<std::size_t> order(batches.size());
    for (std::size_t index = 0; index < order.size(); ++index) order[index] = index;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return *batches[a]->lane->topic->name < *batches[b]->lane->topic->name;
    });
    for (const std::size_t index : order) {
        const Lane& lane = *batches[index]->lane;
        const std::string& name = *lane.topic->name;
        if (request.topic_data.empty() || request.topic_data.back().name != name) {
            auto& topic = request.topic_data.emplace_back();
            topic.name = name;
            const auto* known = brokers_.topic(name);
            if (known != nullptr) topic.topic_id = known->id;
        }
        auto& data = request.topic_data.back().partition_data.emplace_back();
        data.index = lane.partition;
        data.records = std::move(records[index]);
    }
    const std::shared_ptr<Channel> channel = link->channel;
    if (options_.acks == 0) {
        const Status sent = channel->send(request);
        --link->in_flight;
        for (auto& batch : batches) {
            landed(batch.get());
            if (sent.ok()) {
                accumulator_->complete(std::move(batch), -1, WallTime{});
            } else {
                refused(std::move(batch), sent.error(), false);
            }
        }
        co_return;
    }
    auto response = co_await channel->call<wire::ProduceResponse>(
        std::move(request), clock_.now() + options_.request_timeout);
    --link->in_flight;
    for (auto& batch : batches) landed(batch.get());
    if (response.ok()) {
        answered(*response, std::move(batches));
    } else {
        for (auto& batch : batches) refused(std::move(batch), response.error(), false);
    }
    pump();
}

void Producer::landed(Batch* batch) {
    --batch->lane->in_flight;
}

void Producer::answered(wire::ProduceResponse& response,
                        std::vector<std::unique_ptr<Batch>> batches) {
    for (auto& node : response.node_endpoints) {
        brokers_.learn(node.node_id, std::move(node.host), node.port);
    }
    for (auto& topic : response.responses) {
        for (auto& partition : topic.partition_responses) {
            const auto found = std::find_if(batches.begin(), batches.end(), [&](const auto& batch) {
                if (!batch || batch->lane->partition != partition.index) return false;
                const std::string& name = *batch->lane->topic->name;
                if (!topic.name.empty()) return topic.name == name;
                const auto* known = brokers_.topic(name);
                return known != nullptr && known->id == topic.topic_id;
            });
            if (found == batches.end()) continue;
            auto batch = std::move(*found);
            const ErrorCode code = partition.error_code;
            if (code == ErrorCode::none || code == ErrorCode::duplicate_sequence_number) {
                const bool known = code == ErrorCode::none;
                accumulator_->complete(std::move(batch), known ? partition.base_offset.value() : -1,
                                       WallTime{partition.log_append_time_ms});
                continue;
            }
            const bool leader_known = brokers_.leader_is(*batch->lane->topic->name, partition.index,
                                                         partition.current_leader.leader_id,
                                                         partition.current_leader.leader_epoch);
            std::string message = partition.error_message.value_or("");
            if (message.empty()) message = std::string(error_message(code));
            refused(std::move(batch), Error{code, std::move(message)}, leader_known);
        }
    }
    for (auto& batch : batches) {
        if (!batch) continue;
        refused(std::move(batch),
                Error{ErrorCode::unknown_server_error, "the broker did not answer for the batch"},
                false);
    }
}

void Producer::refused(std::unique_ptr<Batch> batch, Error error, bool leader_known) {
    Lane* lane = batch->lane;
    if (is_moved(error.code) && !leader_known) want_metadata();
    bool again = may_succeed_later(error.code);
    if (options_.idempotent) {
        // Refused since an earlier one is missing, and that one will be sent again.
        const bool behind = lane->recovering || lane->restart_sequence;
        if (error.code == ErrorCode::out_of_order_sequence_number) again = behind;
        const bool is_unknown = error.code == ErrorCode::unknown_producer_id ||
                                error.code == ErrorCode::invalid_producer_epoch ||
                                error.code == ErrorCode::invalid_producer_id_mapping;
        if (is_unknown && is_transactional()) {
            // Another producer has the id now, or the transaction took too long.
            error.code = ErrorCode::producer_fenced;
            error.message = error_message(error.code);
        } else if (is_unknown) {
            // The broker has forgotten us, or knows a later epoch of ours.
            lane->restart_sequence = true;
            again = true;
        }
    }
    if (again && !stopping_) {
        retry(std::move(batch), std::move(error), leader_known);
    } else {
        give_up(std::move(batch), std::move(error));
    }
}

void Producer::retry(std::unique_ptr<Batch> batch, Error error, bool at_once) {
    const Instant now = clock_.now();
    if (batch->attempts > options_.retries) {
        error.message = place_of(*batch) + ": given up after " + std::to_string(batch->attempts) +
                        " attempts: " + error.message;
        return give_up(std::move(batch), std::move(error));
    }
    Lane* lane = batch->lane;
    lane->recovering = true;
    if (!at_once) lane->not_before = now + backoff(batch->attempts);
    batch->last_error = std::move(error);
    if (std::find(retrying_.begin(), retrying_.end(), lane) == retrying_.end()) {
        retrying_.push_back(lane);
    }
    const auto behind = std::find_if(lane->retries.begin(), lane->retries.end(),
                                     [&](const auto& other) { return other->id > batch->id; });
    lane->retries.insert(behind, std::move(batch));
    if (lane->in_flight == 0 && lane->restart_sequence) restart_sequences(lane);
    wake_at(at_once ? now : lane->not_before);
}

void Producer::give_up(std::unique_ptr<Batch> batch, Error error) {
    Lane* lane = batch->lane;
    if (is_transactional()) {
        fail_transaction(error);
    } else if (options_.idempotent && batch->base_sequence != record::no_sequence) {
        lane->restart_sequence = true;
        lane->recovering = true;
        if (lane->in_flight == 0) restart_sequences(lane);
    }
    if (error.message.find(place_of(*batch)) == std::string::npos) {
        error.message =
            place_of(*batch) + ": " +
            (error.message.empty() ? std::string(error_message(error.code)) : error.message);
    }
    accumulator_->fail(std::move(batch), std::move(error));
}

// A transaction of which a part is lost cannot be committed any more: the rest of it is not sent.
void Producer::fail_transaction(const Error& error) {
    if (transaction_failed_) return;
    transaction_failed_ = error;
    wake_at(clock_.now());
}

void Producer::fail_lane(Lane* lane) {
    Error error = *transaction_failed_;
    error.message = "not sent, since the transaction has failed: " + error.message;
    for (auto& batch : lane->retries) accumulator_->fail(std::move(batch), error);
    lane->retries.clear();
    Instant due = Instant::never();
    while (auto batch = accumulator_->pull(lane, clock_.now(), &due))
        accumulator_->fail(std::move(batch), error);
    if (due != Instant::never()) wake_at(due);
}

io::Task<Status> Producer::init_transactions(Duration timeout) {
    const Instant deadline = clock_.now() + timeout;
    auto known = co_await transactions_->init(deadline);
    if (!known.ok()) co_return known.error();
    producer_id_ = known->id;
    producer_epoch_ = known->epoch;
    co_return Status();
}

io::Task<Status> Producer::send_positions(GroupPositions positions, Duration timeout) {
    if (transaction_failed_) co_return *transaction_failed_;
    const Instant deadline = clock_.now() + timeout;
    const ProducerIdentity self{producer_id_, producer_epoch_};
    transaction_begun_ = true;
    Status sent = co_await transactions_->send_positions(self, std::move(positions), deadline);
    if (!sent.ok()) fail_transaction(sent.error());
    co_return sent;
}

namespace {

io::Task<void> tell_end(io::Task<Status> call, std::function<void(Status)> done) {
    Status ended = co_await call;
    done(std::move(ended));
}

}  // namespace

void Producer::carry_out(io::Task<Status> call, std::function<void(Status)> done) {
    tasks_.start(tell_end(std::move(call), std::move(done)));
}

void Producer::give_transaction_up() {
    fail_transaction({ErrorCode::transaction_abortable, "it is being aborted"});
    pump();
}

io::Task<Status> Producer::end_transaction(bool commit, Duration timeout) {
    if (commit && transaction_failed_) co_return *transaction_failed_;
    if (transaction_begun_) {
        const Instant deadline = clock_.now() + timeout;
        const ProducerIdentity self{producer_id_, producer_epoch_};
        auto next = co_await transactions_->end(self, commit, deadline);
        if (!next.ok()) {
            if (commit) fail_transaction(next.error());
            co_return next.error();
        }
        producer_id_ = next->id;
        producer_epoch_ = next->epoch;
    }
    transaction_begun_ = false;
    transaction_failed_.reset();
    co_return Status();
}

// Batches whose delivery.timeout.ms is over. Those in flight are left to their request's end.
void Producer::expire() {
    const Instant now = clock_.now();
    const Instant too_old = now + (Duration() - options_.delivery_timeout);
    std::vector<std::unique_ptr<Batch>> old = accumulator_->take_begun_before(too_old);
    for (Lane* lane : retrying_) {
        while (!lane->retries.empty() && lane->retries.front()->began <= too_old) {
            old.push_back(std::move(lane->retries.front()));
            lane->retries.pop_front();
        }
    }
    for (auto& batch : old) {
        std::string why = batch->last_error.message;
        if (batch->attempts == 0) {
            const auto known =
                brokers_.partition(*batch->lane->topic->name, batch->lane->partition);
            why = !known || known->leader == no_broker ? "the partition has no leader"
                                                       : "its leader cannot be reached";
        }
        Error error{ErrorCode::request_timed_out,
                    place_of(*batch) + ": " + std::to_string(batch->record_count) +
                        " records were not delivered within " +
                        std::to_string(options_.delivery_timeout.to_milliseconds()) +
                        " ms (delivery.timeout.ms): " + why};
        give_up(std::move(batch), std::move(error));
    }
}

Duration Producer::backoff(int attempts) {
    return retry_backoff(options_.retry_backoff, options_.retry_backoff_max, attempts, &random_);
}

void Producer::wake_at(Instant when) {
    if (stopping_ || when >= timer_at_) return;
    if (timer_ != 0) clock_.cancel(timer_);
    timer_at_ = when;
    timer_ = clock_.at(when, [this] {
        timer_ = 0;
        timer_at_ = Instant::never();
        pump();
    });
}

io::Task<void> Producer::connect(Link* link) {
    auto opened = co_await brokers_.channel(link->broker, Purpose::data);
    link->connecting = false;
    if (opened.ok()) {
        link->channel = std::move(*opened);
        link->failures = 0;
    } else {
        ++link->failures;
        link->not_before = clock_.now() + backoff(link->failures);
        want_metadata();
    }
    if (!stopping_) wake_at(clock_.now());
}

void Producer::want_metadata() {
    metadata_wanted_ = true;
    if (refreshing_ || stopping_) return;
    refreshing_ = true;
    tasks_.start(refresh());
}

io::Task<void> Producer::refresh() {
    while (metadata_wanted_ && !stopping_) {
        metadata_wanted_ = false;
        const Instant wait_until = refresh_not_before_;
        io::Sleep pause(clock_, wait_until);
        if (wait_until > clock_.now()) co_await pause;
        if (stopping_) break;
        std::vector<std::string> names = accumulator_->topic_names();
        std::vector<std::string> asked = names;
        auto refreshed = co_await brokers_.refresh(std::move(asked));
        if (stopping_) break;
        if (!refreshed.ok()) {
            for (const auto& name : names) accumulator_->set_error(name, refreshed.error());
            ++refresh_failures_;
            refresh_not_before_ = clock_.now() + backoff(refresh_failures_);
            metadata_wanted_ = true;
            continue;
        }
        refresh_failures_ = 0;
        refreshed_ = clock_.now();
        // Asked again and again while a leader is being elected, but not at once.
        refresh_not_before_ =
            refreshed_ + std::min(options_.retry_backoff, Duration::milliseconds(20));
        bool incomplete = false;
        for (const auto& name : names) {
            const auto* topic = brokers_.topic(name);
            if (topic != nullptr && topic->error == ErrorCode::none && !topic->partitions.empty()) {
                accumulator_->set_partitions(name, topic->partitions.size());
                continue;
            }
            incomplete = true;
            const ErrorCode code = topic != nullptr ? topic->error : ErrorCode::none;
            accumulator_->set_error(name, Error{code, std::string(error_message(code))});
        }
        if (incomplete) {
            metadata_wanted_ = true;
            ++refresh_failures_;
            refresh_not_before_ =
                refreshed_ + std::min(backoff(refresh_failures_), options_.retry_backoff);
        }
        pump();
    }
    refreshing_ = false;
}

io::Task<void> Producer::init_producer_id() {
    wire::InitProducerIdRequest request;
    request.transaction_timeout_ms = INT32_MAX;
    auto response = co_await brokers_.call_any<wire::InitProducerIdResponse>(
        std::move(request), options_.request_timeout);
    asking_producer_id_ = false;
    if (response.ok() && response->error_code == ErrorCode::none) {
        producer_id_ = response->producer_id;
        producer_epoch_ = response->producer_epoch;
        ask_failures_ = 0;
    } else {
        ++ask_failures_;
        ask_not_before_ = clock_.now() + backoff(ask_failures_);
    }
    if (!stopping_) pump();
}

}  // namespace pabal::client
