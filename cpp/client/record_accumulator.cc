#include "client/record_accumulator.h"

#include <algorithm>
#include <chrono>

#include "base/assert.h"
#include "base/varint.h"
#include "client/partitioner.h"

namespace pabal::client {
namespace {

// What a batch takes at first, before it is known how full those of its partition become.
constexpr std::size_t first_batch_bytes = 2048;
// Failures that are told apart; what comes beyond is counted with the last of them.
constexpr std::size_t failures_told = 64;

std::size_t sized_bytes_size(std::optional<ByteView> bytes) {
    if (!bytes) return 1;
    return varint_size(static_cast<std::int32_t>(bytes->size())) + bytes->size();
}

std::size_t headers_size(std::span<const record::RecordHeader> headers) {
    std::size_t size = varint_size(static_cast<std::int32_t>(headers.size()));
    for (const auto& header : headers) {
        size += sized_bytes_size(as_bytes(header.key)) + sized_bytes_size(header.value);
    }
    return size;
}

std::uint8_t* write_sized_bytes(std::uint8_t* to, std::optional<ByteView> bytes) {
    if (!bytes) return write_varint(to, -1);
    to = write_varint(to, static_cast<std::int32_t>(bytes->size()));
    if (!bytes->empty()) std::memcpy(to, bytes->data(), bytes->size());
    return to + bytes->size();
}

}  // namespace

RecordAccumulator::RecordAccumulator(Options options, Prng random, std::function<Instant()> now,
                                     std::function<void()> wake, std::function<void()> tell)
    : options_(options),
      random_(random),
      now_(std::move(now)),
      wake_(std::move(wake)),
      tell_(std::move(tell)) {}

RecordAccumulator::~RecordAccumulator() = default;

ProducedTopic* RecordAccumulator::topic(const Lock&, std::string_view name) {
    const auto found = topics_.find(name);
    if (found != topics_.end()) return found->second.get();
    auto topic = std::make_unique<ProducedTopic>();
    topic->name = std::make_shared<const std::string>(name);
    ProducedTopic* made = topic.get();
    topics_.emplace(std::string(name), std::move(topic));
    awaken();
    return made;
}

PartitionIndex RecordAccumulator::choose(const Lock&, ProducedTopic* topic,
                                         std::optional<ByteView> key) {
    const auto count = static_cast<std::uint32_t>(topic->lanes.size());
    ASSERT(count > 0, "a partition is chosen among some");
    if (options_.partitioning == Partitioning::round_robin) {
        return PartitionIndex(static_cast<std::int32_t>(topic->turn++ % count));
    }
    if (key && !options_.ignore_keys) {
        return PartitionIndex(static_cast<std::int32_t>((murmur2(*key) & INT32_MAX) % count));
    }
    if (topic->sticky < 0 || static_cast<std::uint32_t>(topic->sticky) >= count ||
        topic->sticky_bytes >= options_.batch_size) {
        topic->sticky = static_cast<std::int32_t>(random_.below(count));
        topic->sticky_bytes = 0;
    }
    return PartitionIndex(topic->sticky);
}

std::size_t RecordAccumulator::size_bound(std::optional<ByteView> key,
                                          std::optional<ByteView> value,
                                          std::span<const record::RecordHeader> headers) {
    return max_varint_size + 1 + max_varlong_size + max_varint_size + sized_bytes_size(key) +
           sized_bytes_size(value) + headers_size(headers);
}

bool RecordAccumulator::has_room(const Lock&, std::size_t bytes) const {
    return used_bytes_ + bytes <= options_.buffer_memory;
}

Batch* RecordAccumulator::begin(Lane* lane, std::size_t first_bytes) {
    auto batch = std::make_unique<Batch>();
    batch->id = next_id_++;
    batch->lane = lane;
    batch->delivery =
        std::make_shared<Delivery>(shared_from_this(), lane->topic->name, lane->partition);
    batch->content =
        Buffer(std::max(first_bytes, std::max(lane->usual_bytes,
                                              std::min(options_.batch_size, first_batch_bytes))));
    batch->began = now_();
    outstanding_.insert(batch->id);
    lane->open = std::move(batch);
    list(lane);
    awaken();
    return lane->open.get();
}

void RecordAccumulator::close_open(Lane* lane) {
    lane->usual_bytes = std::min(lane->open->content.size(), options_.batch_size);
    lane->closed.push_back(std::move(lane->open));
    awaken();
}

RecordAccumulator::Appended RecordAccumulator::append(
    const Lock&, Lane* lane, WallTime timestamp, std::optional<ByteView> key,
    std::optional<ByteView> value, std::span<const record::RecordHeader> headers) {
    const std::size_t key_size = sized_bytes_size(key);
    const std::size_t value_size = sized_bytes_size(value);
    const std::size_t headers_bytes = headers.empty() ? 1 : headers_size(headers);
    const std::size_t most = max_varint_size + 1 + max_varlong_size + max_varint_size + key_size +
                             value_size + headers_bytes;
    Batch* batch = lane->open.get();
    if (batch != nullptr && batch->size_bytes + most > options_.batch_size) {
        close_open(lane);
        batch = nullptr;
    }
    if (batch == nullptr) {
        batch = begin(lane, most);
        batch->base_timestamp = batch->max_timestamp = timestamp.milliseconds;
    } else if (batch->size_bytes + most > batch->content.size()) {
        Buffer larger(std::max(batch->size_bytes + most,
                               std::min(batch->content.size() * 4, options_.batch_size)));
        std::memcpy(larger.data(), batch->content.data(), batch->size_bytes);
        batch->content = std::move(larger);
    }
    const auto timestamp_delta =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(timestamp.milliseconds) -
                                  static_cast<std::uint64_t>(batch->base_timestamp));
    const std::size_t body = 1 + varlong_size(timestamp_delta) + varint_size(batch->record_count) +
                             key_size + value_size + headers_bytes;
    std::uint8_t* const begin_at = batch->content.data() + batch->size_bytes;
    std::uint8_t* at = write_varint(begin_at, static_cast<std::int32_t>(body));
    *at++ = 0;  // A record has no attributes yet.
    at = write_varlong(at, timestamp_delta);
    at = write_varint(at, batch->record_count);
    at = write_sized_bytes(at, key);
    at = write_sized_bytes(at, value);
    at = write_varint(at, static_cast<std::int32_t>(headers.size()));
    for (const auto& header : headers) {
        at = write_sized_bytes(at, as_bytes(header.key));
        at = write_sized_bytes(at, header.value);
    }
    const auto written = static_cast<std::size_t>(at - begin_at);
    batch->size_bytes += written;
    used_bytes_ += written;
    lane->topic->sticky_bytes += written;
    if (timestamp.milliseconds > batch->max_timestamp) {
        batch->max_timestamp = timestamp.milliseconds;
    }
    ++outstanding_records_;
    return {&batch->delivery, static_cast<std::uint32_t>(batch->record_count++)};
}

void RecordAccumulator::wait(std::uint64_t seen, Duration limit) {
    Lock lock(mutex_);
    if (changes_ != seen) return;
    ++waiting_;
    condition_.wait_for(lock, std::chrono::nanoseconds(limit.to_nanoseconds()),
                        [&] { return changes_ != seen; });
    --waiting_;
}

std::uint64_t RecordAccumulator::flush(const Lock&) {
    flushed_before_ = next_id_;
    awaken();
    return next_id_;
}

bool RecordAccumulator::ended_before(const Lock&, std::uint64_t id) const {
    return outstanding_.empty() || *outstanding_.begin() >= id;
}

void RecordAccumulator::hurry(const Lock&, const Delivery* delivery) {
    const auto found = topics_.find(*delivery->topic);
    const auto index = static_cast<std::size_t>(delivery->partition.value());
    if (found == topics_.end() || index >= found->second->lanes.size()) return;
    Batch* open = found->second->lanes[index].open.get();
    if (open == nullptr || open->delivery.get() != delivery || open->hurried) return;
    open->hurried = true;
    awaken();
}

std::vector<std::shared_ptr<Delivery>> RecordAccumulator::take_told(const Lock&) {
    return std::exchange(told_, {});
}

std::vector<RecordAccumulator::Failure> RecordAccumulator::take_failures(const Lock&) {
    return std::exchange(failures_, {});
}

RecordAccumulator::Work RecordAccumulator::survey() {
    Lock lock(mutex_);
    awake_ = false;
    Work work;
    for (auto& [name, topic] : topics_) {
        if (topic->wanted) work.unknown_topics.push_back(name);
    }
    std::erase_if(listed_, [](Lane* lane) {
        lane->listed = lane->open != nullptr || !lane->closed.empty();
        return !lane->listed;
    });
    work.lanes = listed_;
    return work;
}

std::unique_ptr<Batch> RecordAccumulator::pull(Lane* lane, Instant now, Instant* due) {
    Lock lock(mutex_);
    if (lane->closed.empty() && lane->open) {
        const Batch& open = *lane->open;
        const Instant ripe = open.began + options_.linger;
        const bool short_of_memory = used_bytes_ * 8 > options_.buffer_memory * 7;
        if (ripe > now && !open.hurried && open.id >= flushed_before_ && !short_of_memory) {
            *due = ripe;
            return nullptr;
        }
        lane->closed.push_back(std::move(lane->open));
    }
    if (lane->closed.empty()) return nullptr;
    auto batch = std::move(lane->closed.front());
    lane->closed.pop_front();
    return batch;
}

void RecordAccumulator::set_partitions(const std::string& name, std::size_t count) {
    Lock lock(mutex_);
    const auto found = topics_.find(name);
    if (found == topics_.end()) return;
    ProducedTopic& topic = *found->second;
    topic.wanted = false;
    topic.error.reset();
    while (topic.lanes.size() < count) {
        Lane& lane = topic.lanes.emplace_back();
        lane.topic = &topic;
        lane.partition = PartitionIndex(static_cast<std::int32_t>(topic.lanes.size() - 1));
    }
    changed();
}

void RecordAccumulator::set_error(const std::string& name, Error error) {
    Lock lock(mutex_);
    const auto found = topics_.find(name);
    if (found == topics_.end()) return;
    found->second->error = std::move(error);
    changed();
}

std::vector<std::string> RecordAccumulator::topic_names() {
    Lock lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, topic] : topics_) names.push_back(name);
    return names;
}

void RecordAccumulator::complete(std::unique_ptr<Batch> batch, std::int64_t base_offset,
                                 WallTime append_time) {
    Lock lock(mutex_);
    batch->delivery->base_offset = base_offset;
    batch->delivery->append_time = append_time;
    end(std::move(batch));
}

void RecordAccumulator::fail(std::unique_ptr<Batch> batch, Error error) {
    Lock lock(mutex_);
    Delivery& delivery = *batch->delivery;
    const auto known = std::find_if(failures_.begin(), failures_.end(), [&](const Failure& told) {
        return told.topic == delivery.topic && told.partition == delivery.partition &&
               told.error.code == error.code;
    });
    const auto count = static_cast<std::size_t>(batch->record_count);
    if (known != failures_.end()) {
        known->record_count += count;
    } else if (failures_.size() >= failures_told) {
        failures_.back().record_count += count;
    } else {
        failures_.push_back({delivery.topic, delivery.partition, error, count});
    }
    delivery.code = error.code;
    delivery.message = std::move(error.message);
    end(std::move(batch));
}

void RecordAccumulator::end(std::unique_ptr<Batch> batch) {
    outstanding_.erase(batch->id);
    outstanding_records_ -= static_cast<std::size_t>(batch->record_count);
    used_bytes_ -= batch->size_bytes;
    batch->delivery->done.store(true, std::memory_order_release);
    if (batch->delivery->watched) {
        told_.push_back(batch->delivery);
        if (told_.size() == 1) tell_();
    }
    changed();
}

std::vector<std::unique_ptr<Batch>> RecordAccumulator::take_begun_before(Instant instant) {
    Lock lock(mutex_);
    std::vector<std::unique_ptr<Batch>> old;
    for (Lane* lane : listed_) {
        while (!lane->closed.empty() && lane->closed.front()->began <= instant) {
            old.push_back(std::move(lane->closed.front()));
            lane->closed.pop_front();
        }
        if (lane->open && lane->closed.empty() && lane->open->began <= instant) {
            old.push_back(std::move(lane->open));
        }
    }
    return old;
}

Instant RecordAccumulator::earliest() {
    Lock lock(mutex_);
    Instant earliest = Instant::never();
    for (const Lane* lane : listed_) {
        const Batch* first = lane->closed.empty() ? lane->open.get() : lane->closed.front().get();
        if (first != nullptr) earliest = std::min(earliest, first->began);
    }
    return earliest;
}

void RecordAccumulator::close(Error why) {
    {
        Lock lock(mutex_);
        closed_ = true;
        changed();
    }
    for (auto& batch : take_begun_before(Instant::never())) fail(std::move(batch), why);
}

void RecordAccumulator::list(Lane* lane) {
    if (lane->listed) return;
    lane->listed = true;
    listed_.push_back(lane);
}

void RecordAccumulator::awaken() {
    if (awake_ || closed_) return;
    awake_ = true;
    wake_();
}

void RecordAccumulator::changed() {
    ++changes_;
    if (waiting_ > 0) condition_.notify_all();
}

}  // namespace pabal::client
