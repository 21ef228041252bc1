#include "runtime/checkpoints.h"

#include <algorithm>

#include "base/big_endian.h"
#include "base/log.h"
#include "base/probe.h"
#include "io/gate.h"
#include "io/ports.h"
#include "runtime/broker_store.h"

namespace pabal::runtime {
namespace {

// Format of keys and values, then which family of keys.
constexpr char format = 1;
constexpr char family = 'p';
constexpr std::size_t key_size = 2 + 16 + 4;
constexpr std::size_t value_size = 1 + 3 * 8;
constexpr std::size_t value_size_with_standing = value_size + 5 * 8 + 1;

template <class Integer>
void put(std::string& text, Integer value) {
    std::uint8_t bytes[sizeof(Integer)];
    store_big_endian(bytes, value);
    text.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

template <class Integer>
Integer take(std::string_view& text) {
    const auto value = load_big_endian<Integer>(reinterpret_cast<const std::uint8_t*>(text.data()));
    text.remove_prefix(sizeof(Integer));
    return value;
}

}  // namespace

std::string checkpoint_key(const TopicPartition& partition) {
    std::string key;
    key.reserve(key_size);
    key += format;
    key += family;
    key.append(reinterpret_cast<const char*>(partition.topic.value().bytes.data()), 16);
    put(key, partition.partition.value());
    return key;
}

std::optional<TopicPartition> parse_checkpoint_key(std::string_view key) {
    if (key.size() != key_size || key[0] != format || key[1] != family) return std::nullopt;
    Uuid id;
    std::memcpy(id.bytes.data(), key.data() + 2, 16);
    key.remove_prefix(18);
    return TopicPartition{TopicId(id), PartitionIndex(take<std::int32_t>(key))};
}

std::string checkpoint_value(const log::LogCheckpoint& checkpoint) {
    std::string value;
    value.reserve(value_size_with_standing);
    value += checkpoint.standing ? '\1' : '\0';
    put(value, checkpoint.log_start_offset.value());
    put(value, checkpoint.recovery_point.value());
    put(value, checkpoint.high_watermark.value());
    if (const auto& standing = checkpoint.standing) {
        put(value, standing->end_offset.value());
        put(value, standing->segment_base.value());
        put(value, standing->segment_size);
        put(value, standing->max_timestamp);
        put(value, standing->max_timestamp_offset.value());
        value += standing->has_producers ? '\1' : '\0';
    }
    return value;
}

std::optional<log::LogCheckpoint> parse_checkpoint_value(std::string_view value) {
    if (value.size() != value_size && value.size() != value_size_with_standing) return std::nullopt;
    const bool has_standing = value.size() == value_size_with_standing;
    if (value[0] != (has_standing ? '\1' : '\0')) return std::nullopt;
    value.remove_prefix(1);
    log::LogCheckpoint checkpoint;
    checkpoint.log_start_offset = Offset(take<std::int64_t>(value));
    checkpoint.recovery_point = Offset(take<std::int64_t>(value));
    checkpoint.high_watermark = Offset(take<std::int64_t>(value));
    if (has_standing) {
        log::LogStanding standing;
        standing.end_offset = Offset(take<std::int64_t>(value));
        standing.segment_base = Offset(take<std::int64_t>(value));
        standing.segment_size = take<std::int64_t>(value);
        standing.max_timestamp = take<std::int64_t>(value);
        standing.max_timestamp_offset = Offset(take<std::int64_t>(value));
        standing.has_producers = value[0] != '\0';
        checkpoint.standing = standing;
    }
    return checkpoint;
}

Checkpoints::Checkpoints(io::Ports* ports, BrokerStore* store, const Logger* log)
    : ports_(ports), store_(store), log_(log) {}

Checkpoints::~Checkpoints() {
    ASSERT(!writing_, "checkpoints are drained before they go");
}

io::Task<IoResult<std::map<TopicPartition, log::LogCheckpoint>>> Checkpoints::load() {
    using Loaded = std::map<TopicPartition, log::LogCheckpoint>;
    const auto opened = co_await store_->opened();
    if (!opened.ok()) co_return IoResult<Loaded>(opened.error());
    io::Store* store = *opened;
    Loaded loaded;
    IoStatus status;
    std::string damaged;
    std::function<void()> work = [store, &loaded, &status, &damaged] {
        const std::string prefix = {format, family};
        status = store->scan(prefix, [&](std::string_view key, std::string_view value) {
            const auto partition = parse_checkpoint_key(key);
            const auto checkpoint = parse_checkpoint_value(value);
            if (partition && checkpoint) {
                loaded.emplace(*partition, *checkpoint);
            } else {
                damaged = "a key of " + std::to_string(key.size()) + " bytes with a value of " +
                          std::to_string(value.size()) + " bytes is no checkpoint";
            }
            return true;
        });
    };
    co_await ports_->disk.run(work);
    if (!status.ok()) co_return IoResult<Loaded>(status.error());
    // What is left of a damaged one is told by the log itself, at the price of reading it.
    if (!damaged.empty()) {
        log_->warning("the store holds a damaged checkpoint; it is ignored",
                      {{"store", store_->directory()}, {"what", damaged}});
    }
    co_return IoResult<Loaded>(std::move(loaded));
}

void Checkpoints::save(const TopicPartition& partition, const log::LogCheckpoint& checkpoint) {
    changes_[partition] = checkpoint;
    ++saved_version_;
    start_writing();
}

void Checkpoints::remove(const TopicPartition& partition) {
    changes_[partition] = std::nullopt;
    ++saved_version_;
    start_writing();
}

io::Task<IoStatus> Checkpoints::synced() {
    if (synced_version_ >= saved_version_) co_return IoStatus();
    io::Gate gate(ports_->clock);
    Waiter waiter{saved_version_, &gate, IoStatus()};
    sync_waiters_.push_back(&waiter);
    start_writing();
    co_await gate.opened(Instant::never());
    co_return std::move(waiter.status);
}

io::Task<void> Checkpoints::drained() {
    if (!writing_) co_return;
    io::Gate gate(ports_->clock);
    drain_waiters_.push_back(&gate);
    co_await gate.opened(Instant::never());
}

void Checkpoints::halt() {
    halted_ = true;
    if (!writing_) end_waits(IoStatus(IoError{0, "the node is being killed"}));
}

void Checkpoints::start_writing() {
    if (writing_) return;
    if (halted_) {
        end_waits(IoStatus(IoError{0, "the node is being killed"}));
        return;
    }
    writing_ = true;
    io::detach(write_while_needed());
}

io::Task<void> Checkpoints::write_while_needed() {
    // Lets what is saved in the same turn into the same batch.
    io::Turn turn(ports_->clock);
    co_await turn;
    IoStatus status;
    while (!halted_ && (!changes_.empty() || !sync_waiters_.empty())) {
        const auto opened = co_await store_->opened();
        if (!opened.ok()) {
            status = opened.error();
            break;
        }
        if (halted_) break;
        io::Store* store = *opened;
        io::StoreBatch batch;
        for (const auto& [partition, checkpoint] : changes_) {
            if (checkpoint) {
                batch.put(checkpoint_key(partition), checkpoint_value(*checkpoint));
            } else {
                batch.remove(checkpoint_key(partition));
            }
        }
        changes_.clear();
        const auto version = saved_version_;
        const bool sync = !sync_waiters_.empty();
        const auto durability = sync && !SABOTAGED("log-start-is-not-synced")
                                    ? io::Durability::synced
                                    : io::Durability::logged;
        std::function<void()> work = [store, durability, &batch, &status] {
            if (batch.empty()) {
                status = store->flush();
            } else {
                status = store->write(batch, durability);
            }
        };
        co_await ports_->disk.run(work);
        if (!status.ok()) break;
        if (sync) synced_version_ = version;
        std::vector<Waiter*> later;
        for (auto* waiter : sync_waiters_) {
            if (waiter->version <= synced_version_) {
                waiter->gate->open();
            } else {
                later.push_back(waiter);
            }
        }
        sync_waiters_.swap(later);
    }
    writing_ = false;
    if (halted_) status = IoError{0, "the node is being killed"};
    if (!status.ok()) {
        end_waits(status);
        if (!halted_) {
            log_->error("cannot write to the store",
                        {{"store", store_->directory()}, {"why", status.error().message}});
        }
    }
    for (auto* gate : drain_waiters_) gate->open();
    drain_waiters_.clear();
}

void Checkpoints::end_waits(const IoStatus& status) {
    for (auto* waiter : sync_waiters_) {
        waiter->status = status;
        waiter->gate->open();
    }
    sync_waiters_.clear();
}

}  // namespace pabal::runtime
