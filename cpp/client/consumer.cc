#include "client/consumer.h"

#include <algorithm>

#include "client/retry_backoff.h"
#include "record/control_record.h"
#include "record/record.h"
#include "record/record_batch.h"
#include "record/record_parse.h"
#include "wire/list_offsets.h"

namespace pabal::client {
namespace {

// What one batch may inflate to.
constexpr std::size_t largest_batch_bytes = 512u << 20;
// How long a fetch waits where some partition's records wait for the poller: its room comes soon.
constexpr Duration crowded_wait = Duration::milliseconds(5);

std::string text(const NamedPartition& partition) {
    return partition.topic + "-" + std::to_string(partition.partition.value());
}

bool is_moved(ErrorCode code) {
    switch (code) {
        case ErrorCode::not_leader_or_follower:
        case ErrorCode::unknown_topic_or_partition:
        case ErrorCode::unknown_topic_id:
        case ErrorCode::inconsistent_topic_id:
        case ErrorCode::leader_not_available:
        case ErrorCode::replica_not_available:
        case ErrorCode::fenced_leader_epoch:
        case ErrorCode::unknown_leader_epoch:
        case ErrorCode::kafka_storage_error:
        case ErrorCode::offset_not_available:
        case ErrorCode::network_exception:
        case ErrorCode::broker_not_available:
        case ErrorCode::request_timed_out: return true;
        default: return false;
    }
}

}  // namespace

Consumer::Consumer(io::Clock* clock, io::Network* network, Prng random, Options options,
                   std::shared_ptr<FetchedRecords> records)
    : clock_(*clock),
      options_(std::move(options)),
      random_(random.fork("consumer")),
      records_(std::move(records)),
      brokers_(clock, network, random.fork("brokers"), options_.brokers),
      tasks_(clock),
      membership_(GroupMembership::make(clock, random.fork("member"), options_.group, &brokers_,
                                        records_.get(), &tasks_)) {}

Consumer::~Consumer() = default;

io::Task<void> Consumer::stop() {
    if (membership_->is_subscribed()) co_await membership_->leave();
    stopping_ = true;
    membership_->stop();
    if (timer_ != 0) clock_.cancel(timer_);
    timer_ = 0;
    brokers_.close();
    co_await tasks_.ended();
    co_await brokers_.stop();
    records_->close();
}

void Consumer::pump() {
    if (stopping_) return;
    membership_->news();
    if (std::exchange(pumping_, true)) {
        wake_at(clock_.now());
        return;
    }
    Plan todo = plan();
    follow_up(todo);
    if (!todo.lookups.empty() && !looking_up_) {
        looking_up_ = true;
        tasks_.start(look_up(std::move(todo.lookups)));
    }
    for (auto& [broker, wanted] : todo.fetches) {
        auto& node = nodes_[broker];
        if (!node) {
            node = std::make_unique<Node>();
            node->broker = broker;
        }
        if (!node->running) {
            if (node->not_before > clock_.now()) {
                wake_at(node->not_before);
                continue;
            }
            node->running = true;
            tasks_.start(fetch_from(node.get()));
        } else if (node->waiting && !node->crowded && node->channel) {
            // A fetch waits at the broker, and knows nothing of what is wanted since then.
            const bool news = std::any_of(wanted.begin(), wanted.end(), [&](const Wanted& one) {
                const auto known = node->known.find(one.name);
                return known == node->known.end() || known->second.offset != one.offset;
            });
            if (news) {
                node->channel->fail(
                    Error{ErrorCode::network_exception, "other records are wanted"});
            }
        }
    }
    pumping_ = false;
}

void Consumer::follow_up(const Plan& todo) {
    if (todo.metadata) want_metadata();
    for (const auto& partition : todo.without_position) {
        records_->fail(Error{ErrorCode::offset_out_of_range,
                             "there is no position for " + text(partition) +
                                 ", and auto_offset_reset is none; seek, or commit one"});
    }
}

Consumer::Plan Consumer::plan() {
    Plan plan;
    const Instant now = clock_.now();
    const std::size_t most_ready = 2 * static_cast<std::size_t>(options_.partition_max_bytes);
    const auto lock = records_->lock();
    for (auto& [name, place] : records_->assigned(lock)) {
        Assigned& partition = *place;
        if (partition.fetch_version != partition.version) {
            partition.fetch_version = partition.version;
            partition.fetch_offset = partition.position;
            partition.preferred_replica = no_broker;
            partition.not_before = Instant();
        }
        const auto* topic = brokers_.topic(name.topic);
        const auto known = brokers_.partition(name.topic, name.partition);
        if (topic == nullptr || !known || known->leader == no_broker) {
            plan.metadata = true;
            continue;
        }
        if (partition.position < 0) {
            if (partition.reset_to == Assigned::no_reset) {
                // Said once: until it has a position nothing is read of it.
                if (!partition.looking_up) plan.without_position.push_back(name);
                partition.looking_up = true;
            } else {
                plan.lookups.emplace_back(name, partition.reset_to);
            }
            continue;
        }
        partition.looking_up = false;
        if (partition.paused) continue;
        const BrokerId from =
            partition.preferred_replica != no_broker ? partition.preferred_replica : known->leader;
        if (partition.ready_bytes >= most_ready) {
            plan.crowded.insert(from);
            continue;
        }
        if (partition.not_before > now) {
            wake_at(partition.not_before);
            continue;
        }
        plan.fetches[from].push_back({name, place, partition.version, partition.fetch_offset,
                                      known->leader_epoch, topic->id});
    }
    if (now - refreshed_ > options_.metadata_max_age && !records_->assigned(lock).empty()) {
        plan.metadata = true;
    }
    return plan;
}

io::Task<void> Consumer::fetch_from(Node* node) {
    while (!stopping_) {
        Plan todo = plan();
        follow_up(todo);
        const auto found = todo.fetches.find(node->broker);
        if (found == todo.fetches.end()) break;
        const std::vector<Wanted> wanted = std::move(found->second);
        const bool crowded = todo.crowded.contains(node->broker);
        auto channel = co_await brokers_.channel(node->broker, Purpose::data);
        if (stopping_) break;
        bool good = channel.ok();
        if (good) {
            if (node->channel != *channel) {
                node->channel = *channel;
                node->session_id = node->session_epoch = 0;
                node->known.clear();
            }
            wire::FetchRequest request = request_of(node, wanted, crowded);
            const std::shared_ptr<Channel> open = node->channel;
            node->waiting = true;
            node->crowded = crowded;
            auto response = co_await open->call<wire::FetchResponse>(
                std::move(request), clock_.now() + options_.max_wait + options_.request_timeout);
            node->waiting = false;
            if (stopping_) break;
            good = response.ok() && take(node, *response, wanted);
            if (!response.ok()) {
                const bool ours = response.error().message == "other records are wanted";
                node->session_id = node->session_epoch = 0;
                node->known.clear();
                if (ours) continue;
            }
        }
        if (good) {
            node->failures = 0;
            continue;
        }
        ++node->failures;
        node->not_before = clock_.now() + backoff(node->failures);
        for (const Wanted& one : wanted) moved_away(one.partition.get(), one.version);
        want_metadata();
        wake_at(node->not_before);
        break;
    }
    node->running = false;
    if (!stopping_) wake_at(clock_.now() + Duration::milliseconds(1));
}

// What was read from another replica is read from the leader again.
void Consumer::moved_away(Assigned* partition, std::uint64_t version) {
    const auto lock = records_->lock();
    if (partition->version == version) partition->preferred_replica = no_broker;
}

wire::FetchRequest Consumer::request_of(Node* node, const std::vector<Wanted>& wanted,
                                        bool crowded) {
    wire::FetchRequest request;
    request.max_wait_ms = static_cast<std::int32_t>(
        (crowded ? std::min(crowded_wait, options_.max_wait) : options_.max_wait)
            .to_milliseconds());
    request.min_bytes = options_.min_bytes;
    request.max_bytes = options_.max_bytes;
    request.isolation_level = options_.read_committed ? 1 : 0;
    request.session_id = node->session_id;
    request.session_epoch = node->session_epoch;
    request.rack_id = options_.rack;
    const bool whole = node->session_epoch == 0;
    if (whole) node->known.clear();
    std::set<NamedPartition> still;
    for (const Wanted& one : wanted) {  // In the order of topics.
        still.insert(one.name);
        auto& known = node->known[one.name];
        const bool same = !whole && known.topic_id == one.topic_id && known.offset == one.offset &&
                          known.leader_epoch == one.leader_epoch;
        known = {one.topic_id, one.offset, one.leader_epoch};
        if (same) continue;
        if (request.topics.empty() || request.topics.back().topic != one.name.topic) {
            auto& topic = request.topics.emplace_back();
            topic.topic = one.name.topic;
            topic.topic_id = one.topic_id;
        }
        auto& partition = request.topics.back().partitions.emplace_back();
        partition.partition = one.name.partition;
        partition.current_leader_epoch = one.leader_epoch;
        partition.fetch_offset = Offset(one.offset);
        partition.partition_max_bytes = options_.partition_max_bytes;
    }
    for (auto at = node->known.begin(); at != node->known.end();) {
        if (still.contains(at->first)) {
            ++at;
            continue;
        }
        auto& list = request.forgotten_topics_data;
        if (list.empty() || list.back().topic != at->first.topic) {
            list.emplace_back().topic = at->first.topic;
            list.back().topic_id = at->second.topic_id;
        }
        list.back().partitions.push_back(at->first.partition);
        at = node->known.erase(at);
    }
    return request;
}

// False if the broker could not serve the request as a whole.
bool Consumer::take(Node* node, wire::FetchResponse& response, const std::vector<Wanted>& wanted) {
    if (response.error_code != ErrorCode::none) {
        node->session_id = node->session_epoch = 0;
        node->known.clear();
        const ErrorCode code = response.error_code;
        return code == ErrorCode::fetch_session_id_not_found ||
               code == ErrorCode::invalid_fetch_session_epoch ||
               code == ErrorCode::fetch_session_topic_id_error;
    }
    if (response.session_id != 0) {
        node->session_id = response.session_id;
        node->session_epoch = node->session_epoch == INT32_MAX ? 1 : node->session_epoch + 1;
    } else {
        node->session_id = node->session_epoch = 0;
    }
    for (auto& endpoint : response.node_endpoints) {
        brokers_.learn(endpoint.node_id, std::move(endpoint.host), endpoint.port);
    }
    for (auto& topic : response.responses) {
        for (auto& data : topic.partitions) {
            const auto one = std::find_if(wanted.begin(), wanted.end(), [&](const Wanted& w) {
                return w.name.partition == data.partition_index &&
                       (topic.topic.empty() ? w.topic_id == topic.topic_id
                                            : w.name.topic == topic.topic);
            });
            if (one != wanted.end()) take_partition(node, data, *one);
        }
    }
    return true;
}

void Consumer::take_failure(Node* node, const wire::FetchResponse::PartitionData& data,
                            const Wanted& wanted) {
    // The session sends no error twice: it is asked anew.
    node->known.erase(wanted.name);
    const ErrorCode code = data.error_code;
    const bool moved = is_moved(code);
    const bool leader_known =
        brokers_.leader_is(wanted.name.topic, wanted.name.partition, data.current_leader.leader_id,
                           data.current_leader.leader_epoch);
    {
        const auto lock = records_->lock();
        Assigned& partition = *wanted.partition;
        if (partition.version != wanted.version) return;
        if (code == ErrorCode::offset_out_of_range) {
            if (partition.preferred_replica != no_broker) {
                partition.preferred_replica = no_broker;
                return;
            }
            if (partition.ready.empty() || partition.reset_to != Assigned::no_reset) {
                // What was fetched before is still good; the rest begins where the policy says.
                records_->seek(lock, &partition, -1, options_.reset_to);
            }
            return;
        }
        partition.preferred_replica = no_broker;
        const Duration pause = !moved         ? options_.retry_backoff_max
                               : leader_known ? Duration()
                                              : options_.retry_backoff;
        partition.not_before = clock_.now() + pause;
    }
    if (!moved) {
        records_->fail(Error{code, "fetching " + text(wanted.name) + " at offset " +
                                       std::to_string(wanted.offset) + ": " +
                                       std::string(error_message(code))});
    } else if (!leader_known) {
        want_metadata();
    }
}

void Consumer::take_partition(Node* node, wire::FetchResponse::PartitionData& data,
                              const Wanted& wanted) {
    if (data.error_code != ErrorCode::none) {
        take_failure(node, data, wanted);
        return;
    }
    if (data.preferred_read_replica != no_broker) {
        node->known.erase(wanted.name);
        const auto lock = records_->lock();
        if (wanted.partition->version == wanted.version) {
            wanted.partition->preferred_replica = data.preferred_read_replica;
        }
        return;
    }
    std::optional<Bytes> bytes;
    if (data.records) bytes = data.records->flatten();
    std::int64_t next_offset = wanted.offset;
    std::vector<std::shared_ptr<FetchedBatch>> batches;
    if (bytes && !bytes->empty()) {
        auto decoded = decode(*bytes, wanted, data, &next_offset);
        if (!decoded.ok()) {
            node->known.erase(wanted.name);
            records_->fail(decoded.error());
            const auto lock = records_->lock();
            wanted.partition->not_before = clock_.now() + options_.retry_backoff_max;
            return;
        }
        batches = std::move(*decoded);
    }
    {
        const auto lock = records_->lock();
        Assigned& partition = *wanted.partition;
        if (partition.version != wanted.version) return;
        partition.fetch_offset = next_offset;
        if (data.high_watermark.value() >= 0)
            partition.high_watermark = data.high_watermark.value();
        partition.last_stable_offset = data.last_stable_offset.value();
        if (data.log_start_offset.value() >= 0) {
            partition.log_start_offset = data.log_start_offset.value();
        }
    }
    if (!batches.empty()) {
        records_->deliver(wanted.partition.get(), wanted.version, std::move(batches));
    }
}

Result<std::vector<std::shared_ptr<FetchedBatch>>> Consumer::decode(
    const Bytes& bytes, const Wanted& wanted, wire::FetchResponse::PartitionData& data,
    std::int64_t* next_offset) {
    std::vector<std::shared_ptr<FetchedBatch>> out;
    const auto wrong = [&](ErrorCode code, std::int64_t offset, const std::string& what) {
        return Error{code,
                     text(wanted.name) + " at offset " + std::to_string(offset) + ": " + what};
    };
    // Aborted transactions that begin at or before the batch at hand (KIP-98).
    auto aborted = std::move(data.aborted_transactions);
    if (aborted) {
        std::sort(aborted->begin(), aborted->end(),
                  [](const auto& a, const auto& b) { return a.first_offset < b.first_offset; });
    }
    std::size_t next_aborted = 0;
    std::set<ProducerId> dropped;
    record::BatchWalker walker(bytes);
    for (;;) {
        const std::size_t begin = walker.position();
        auto next = walker.next();
        if (!next.ok()) return wrong(next.error().code, *next_offset, next.error().message);
        if (!*next) break;
        const record::RecordBatchView& batch = **next;
        const std::int64_t base = batch.base_offset().value();
        if (batch.next_offset().value() <= wanted.offset) continue;
        if (options_.check_crcs && !batch.crc_is_right()) {
            return wrong(ErrorCode::corrupt_message, base, "the batch's checksum is wrong");
        }
        auto fetched = std::make_shared<FetchedBatch>();
        fetched->topic = wanted.partition->topic;
        fetched->partition = wanted.name.partition;
        fetched->base_offset = base;
        fetched->next_offset = batch.next_offset().value();
        fetched->base_timestamp = batch.base_timestamp().milliseconds;
        fetched->leader_epoch = batch.leader_epoch().value();
        if (batch.timestamp_type() == record::TimestampType::log_append_time) {
            fetched->append_time = batch.max_timestamp().milliseconds;
        }
        *next_offset = fetched->next_offset;
        while (options_.read_committed && aborted && next_aborted < aborted->size() &&
               (*aborted)[next_aborted].first_offset <= batch.last_offset()) {
            dropped.insert((*aborted)[next_aborted++].producer_id);
        }
        bool skipped = batch.is_control();
        if (options_.read_committed && batch.is_transactional() && !batch.is_control()) {
            skipped = dropped.contains(batch.producer_id());
        }
        if (batch.is_control()) {
            record::RecordReader markers(batch, batch.records());
            const auto marker = markers.next();
            if (marker.ok() && *marker && (*marker)->key &&
                record::control_record_type(*(*marker)->key) == record::ControlRecordType::abort) {
                dropped.erase(batch.producer_id());
            }
        }
        if (skipped) {  // Nothing to hand out, but the position moves.
            out.push_back(std::move(fetched));
            continue;
        }
        const Bytes whole = bytes.slice(begin, batch.size());
        const auto view = record::RecordBatchView::parse(whole);
        if (!view.ok()) return wrong(view.error().code, base, view.error().message);
        auto inflated = record::inflate_records(whole, *view, codecs_, largest_batch_bytes);
        if (!inflated.ok()) return wrong(inflated.error().code, base, inflated.error().message);
        // Every record is looked at once, so that the poller may trust them.
        const Bytes& records = *inflated;
        record::SpanCursor cursor(records.begin(), records.end());
        std::size_t first = 0;
        std::int32_t unwanted = 0;
        for (std::int32_t index = 0; index < batch.record_count(); ++index) {
            std::int32_t size = 0;
            const char* error = nullptr;
            record::RecordShape shape;
            if (!cursor.varint(size) || size < 0 ||
                static_cast<std::size_t>(size) > cursor.remaining()) {
                error = "is cut off";
            } else {
                record::SpanCursor body(cursor.at(), cursor.at() + size);
                record::NoParts parts;
                error = parse_record_body(body, shape, parts);
                cursor.skip(size);
            }
            if (error != nullptr) {
                return wrong(ErrorCode::invalid_record, base,
                             "record " + std::to_string(index) + " of the batch " + error);
            }
            if (base + shape.offset_delta < wanted.offset) {
                first = records.size() - cursor.remaining();
                ++unwanted;
            }
        }
        fetched->records = records.slice(first, records.size() - cursor.remaining() - first);
        fetched->record_count = std::max(batch.record_count() - unwanted, 0);
        out.push_back(std::move(fetched));
    }
    return out;
}

io::Task<void> Consumer::look_up(std::vector<std::pair<NamedPartition, std::int64_t>> lookups) {
    const Instant not_before = lookup_not_before_;
    io::Sleep pause(clock_, not_before);
    if (not_before > clock_.now()) co_await pause;
    std::vector<OffsetQuery> queries;
    for (const auto& [name, timestamp] : lookups) queries.push_back({name, timestamp});
    auto found = co_await list_offsets(std::move(queries), options_.request_timeout);
    looking_up_ = false;
    if (stopping_) co_return;
    if (!found.ok()) {
        ++lookup_failures_;
        lookup_not_before_ = clock_.now() + backoff(lookup_failures_);
        if (!is_moved(found.error().code)) records_->fail(found.error());
        want_metadata();
        wake_at(lookup_not_before_);
        co_return;
    }
    lookup_failures_ = 0;
    {
        const auto lock = records_->lock();
        for (std::size_t index = 0; index < lookups.size(); ++index) {
            Assigned* partition = records_->find(lock, lookups[index].first);
            if (partition == nullptr || partition->position >= 0) continue;
            if (partition->reset_to != lookups[index].second) continue;
            records_->seek(lock, partition, (*found)[index], partition->reset_to);
        }
    }
    pump();
}

io::Task<Result<std::vector<std::int64_t>>> Consumer::list_offsets(std::vector<OffsetQuery> queries,
                                                                   Duration timeout) {
    const Instant deadline = clock_.now() + timeout;
    std::vector<std::int64_t> offsets(queries.size(), -1);
    std::vector<bool> answered(queries.size(), false);
    Error last{ErrorCode::leader_not_available, "no partition has a leader"};
    for (int attempt = 0; !stopping_; ++attempt) {
        if (attempt > 0) {
            const Duration wait = std::min(options_.retry_backoff, Duration::milliseconds(50));
            if (clock_.now() + wait >= deadline) break;
            io::Sleep sleep(clock_, clock_.now() + wait);
            co_await sleep;
            std::set<std::string> topics;
            for (const auto& query : queries) topics.insert(query.partition.topic);
            std::vector<std::string> asked(topics.begin(), topics.end());
            auto refreshed = co_await brokers_.refresh(std::move(asked));
            if (!refreshed.ok()) {
                last = refreshed.error();
                continue;
            }
        }
        std::map<BrokerId, std::vector<std::size_t>> by_leader;
        bool complete = true;
        for (std::size_t index = 0; index < queries.size(); ++index) {
            if (answered[index]) continue;
            complete = false;
            const NamedPartition& name = queries[index].partition;
            const auto known = brokers_.partition(name.topic, name.partition);
            if (known && known->leader != no_broker) {
                by_leader[known->leader].push_back(index);
                continue;
            }
            const auto* topic = brokers_.topic(name.topic);
            const bool missing = topic != nullptr && topic->error == ErrorCode::none &&
                                 !topic->partitions.empty() && !known;
            last = missing ? Error{ErrorCode::unknown_topic_or_partition,
                                   "there is no partition " + text(name)}
                           : Error{ErrorCode::leader_not_available, text(name) + " has no leader"};
            if (topic != nullptr && topic->error != ErrorCode::none) {
                last = Error{topic->error,
                             name.topic + ": " + std::string(error_message(topic->error))};
            }
        }
        if (complete) co_return offsets;
        // Coroutines do not iterate over what others may change; this copy is ours.
        const std::vector<std::pair<BrokerId, std::vector<std::size_t>>> calls(by_leader.begin(),
                                                                               by_leader.end());
        for (std::size_t call = 0; call < calls.size(); ++call) {
            wire::ListOffsetsRequest request;
            request.replica_id = no_broker;
            request.isolation_level = options_.read_committed ? 1 : 0;
            request.timeout_ms =
                static_cast<std::int32_t>(options_.request_timeout.to_milliseconds());
            for (const std::size_t index : calls[call].second) {
                const NamedPartition& name = queries[index].partition;
                if (request.topics.empty() || request.topics.back().name != name.topic) {
                    request.topics.emplace_back().name = name.topic;
                }
                auto& partition = request.topics.back().partitions.emplace_back();
                partition.partition_index = name.partition;
                partition.timestamp = queries[index].timestamp;
            }
            const BrokerId broker = calls[call].first;
            auto response = co_await brokers_.call<wire::ListOffsetsResponse>(
                broker, std::move(request), deadline - clock_.now());
            if (!response.ok()) {
                last = response.error();
                continue;
            }
            for (const auto& topic : response->topics) {
                for (const auto& partition : topic.partitions) {
                    for (const std::size_t index : calls[call].second) {
                        const NamedPartition& name = queries[index].partition;
                        if (name.topic != topic.name ||
                            name.partition != partition.partition_index) {
                            continue;
                        }
                        if (partition.error_code == ErrorCode::none) {
                            offsets[index] = partition.offset.value();
                            answered[index] = true;
                            continue;
                        }
                        last = Error{
                            partition.error_code,
                            text(name) + ": " + std::string(error_message(partition.error_code))};
                        if (!is_moved(partition.error_code)) co_return last;
                    }
                }
            }
        }
        if (std::all_of(answered.begin(), answered.end(), [](bool one) { return one; })) {
            co_return offsets;
        }
    }
    co_return last;
}

io::Task<Result<std::size_t>> Consumer::partition_count(std::string topic, Duration timeout) {
    const Instant deadline = clock_.now() + timeout;
    Error last{ErrorCode::unknown_topic_or_partition, "there is no topic " + topic};
    for (;;) {
        std::vector<std::string> asked = {topic};
        auto refreshed = co_await brokers_.refresh(std::move(asked));
        if (!refreshed.ok()) last = refreshed.error();
        const auto* known = brokers_.topic(topic);
        if (refreshed.ok() && known != nullptr) {
            if (known->error == ErrorCode::none && !known->partitions.empty()) {
                co_return known->partitions.size();
            }
            if (known->error != ErrorCode::none) {
                last = Error{known->error, topic + ": " + std::string(error_message(known->error))};
                if (!is_retriable(known->error)) co_return last;
            }
        }
        const Instant next =
            clock_.now() + std::min(options_.retry_backoff, Duration::milliseconds(50));
        if (stopping_ || next >= deadline) co_return last;
        io::Sleep sleep(clock_, next);
        co_await sleep;
    }
}

io::Task<Result<std::vector<std::string>>> Consumer::topic_names() {
    auto refreshed = co_await brokers_.refresh_all();
    if (!refreshed.ok()) co_return refreshed.error();
    std::vector<std::string> names;
    for (const auto& [name, topic] : brokers_.topics()) {
        if (!topic.internal && topic.error == ErrorCode::none) names.push_back(name);
    }
    co_return names;
}

void Consumer::want_metadata() {
    metadata_wanted_ = true;
    if (refreshing_ || stopping_) return;
    refreshing_ = true;
    tasks_.start(refresh());
}

io::Task<void> Consumer::refresh() {
    while (metadata_wanted_ && !stopping_) {
        metadata_wanted_ = false;
        io::Sleep pause(clock_, refresh_not_before_);
        co_await pause;
        if (stopping_) break;
        std::set<std::string> topics;
        {
            const auto lock = records_->lock();
            for (const auto& [name, partition] : records_->assigned(lock)) {
                topics.insert(name.topic);
            }
        }
        std::vector<std::string> asked(topics.begin(), topics.end());
        auto refreshed = co_await brokers_.refresh(std::move(asked));
        if (stopping_) break;
        if (refreshed.ok()) {
            refresh_failures_ = 0;
            refreshed_ = clock_.now();
            refresh_not_before_ =
                refreshed_ + std::min(options_.retry_backoff, Duration::milliseconds(50));
            // What has no leader yet is asked for again.
            pump();
        } else {
            ++refresh_failures_;
            refresh_not_before_ = clock_.now() + backoff(refresh_failures_);
            metadata_wanted_ = true;
        }
    }
    refreshing_ = false;
}

Duration Consumer::backoff(int failures) {
    return retry_backoff(options_.retry_backoff, options_.retry_backoff_max, failures, &random_);
}

void Consumer::wake_at(Instant when) {
    if (stopping_ || when >= timer_at_) return;
    if (timer_ != 0) clock_.cancel(timer_);
    timer_at_ = when;
    timer_ = clock_.at(when, [this] {
        timer_ = 0;
        timer_at_ = Instant::never();
        pump();
    });
}

}  // namespace pabal::client
