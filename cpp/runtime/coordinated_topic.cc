#include "runtime/coordinated_topic.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/assert.h"
#include "base/utf16.h"
#include "runtime/partitions.h"

namespace pabal::runtime {

PartitionIndex coordinating_partition(std::string_view id, std::int32_t partition_count) {
    std::uint32_t hash = 0;
    each_utf16_unit(id, [&](std::uint16_t unit) { hash = hash * 31 + unit; });
    const std::int64_t signed_hash = static_cast<std::int32_t>(hash);
    // Kafka's absolute value of the one number that has none is 0.
    const std::int64_t absolute = signed_hash == INT32_MIN ? 0 : std::abs(signed_hash);
    return PartitionIndex(static_cast<std::int32_t>(absolute % partition_count));
}

CoordinatedTopic::CoordinatedTopic(io::Ports* ports, Partitions* partitions, Options options,
                                   Make make, const Logger* log)
    : ports_(ports), partitions_(partitions), options_(options), make_(std::move(make)), log_(log) {
    schedule_expiry();
}

CoordinatedTopic::~CoordinatedTopic() {
    ASSERT(held_.empty() && loading_count_ == 0, "the coordinator is stopped before it goes");
}

// --- which partitions are ours

void CoordinatedTopic::follow() {
    const Topic* topic = partitions_->topic(options_.topic);
    partition_count_ = topic ? static_cast<std::int32_t>(topic->image->partitions.size()) : 0;
    for (const Pointer& each : held()) {
        if (!topic || !topic->partition(each->index_)) unload(each, ErrorCode::not_coordinator);
    }
    for (std::int32_t i = 0; i < partition_count_; ++i) {
        const PartitionIndex index(i);
        if (topic->partition(index)) follow(index, topic->partition(index)->shared_from_this());
    }
}

void CoordinatedTopic::follow(PartitionIndex index, const std::shared_ptr<Partition>& partition) {
    const bool leads = partition->log() && partition->leads();
    if (const Pointer known = find(index)) {
        if (leads && known->log_->epoch() == partition->leader_epoch()) return;
        unload(known, ErrorCode::not_coordinator);
    }
    if (!leads) return;
    auto log = std::make_shared<CoordinatorLog>(ports_, partition, partition->leader_epoch());
    const Pointer made = make_(index, std::move(log));
    held_[index] = made;
    ++loading_count_;
    io::detach(load(made));
}

void CoordinatedTopic::unload(const Pointer& partition, ErrorCode error) {
    held_.erase(partition->index_);
    ports_->clock.cancel(partition->timer_);
    partition->timer_ = 0;
    // Answers that wait for the log first: they were given first.
    partition->log_->close(error);
    partition->abandon(error);
    for (io::Gate* gate : partition->waiting_) gate->open();
    partition->waiting_.clear();
}

io::Task<void> CoordinatedTopic::load(Pointer partition) {
    const Instant began = ports_->clock.now();
    CoordinatorLog::Replay replay = [this, partition](const record::KeyValue& record, Offset offset,
                                                      ProducerId producer) {
        Status replayed = partition->replay(record, offset, producer);
        if (!replayed.ok()) {
            log_->error("passed over a record of a coordinator that cannot be read",
                        {{"topic", options_.topic},
                         {"partition", partition->index_},
                         {"offset", offset},
                         {"reason", replayed.error().message}});
        }
    };
    CoordinatorLog::TransactionEnded ended = [partition](ProducerId producer, bool committed) {
        partition->transaction_ended(producer, committed);
    };
    Status status = co_await CoordinatorLog::load(partition->log_, replay, ended);
    if (!partition->log_->closed()) {
        if (status.ok()) {
            partition->loaded_ = true;
            partition->begin();
            const Duration taken = ports_->clock.now() - began;
            log_->debug("loaded a partition of a coordinator",
                        {{"topic", options_.topic},
                         {"partition", partition->index_},
                         {"ids", partition->id_count()},
                         {"microseconds", taken.to_nanoseconds() / 1000}});
            arm(partition);
            for (io::Gate* gate : partition->waiting_) gate->open();
            partition->waiting_.clear();
        } else {
            log_->error("cannot load a partition of a coordinator; it is not served here",
                        {{"topic", options_.topic},
                         {"partition", partition->index_},
                         {"reason", status.error().message}});
            unload(partition, ErrorCode::not_coordinator);
        }
    }
    --loading_count_;
    if (loading_count_ == 0 && idle_waiter_) idle_waiter_->open();
}

void CoordinatedTopic::reload(const Pointer& failed) {
    if (find(failed->index_) != failed) return;
    log_->warning("a partition of a coordinator could not be written; loading it again",
                  {{"topic", options_.topic}, {"partition", failed->index_}});
    unload(failed, ErrorCode::not_coordinator);
    const Topic* topic = partitions_->topic(options_.topic);
    Partition* partition = topic ? topic->partition(failed->index_) : nullptr;
    if (partition) follow(failed->index_, partition->shared_from_this());
}

void CoordinatedTopic::stop() {
    stopped_ = true;
    ports_->clock.cancel(expiry_timer_);
    while (!held_.empty()) {
        const Pointer first = held_.begin()->second;
        unload(first, ErrorCode::not_coordinator);
    }
}

io::Task<void> CoordinatedTopic::ended() {
    if (loading_count_ == 0) co_return;
    io::Gate gate(ports_->clock);
    idle_waiter_ = &gate;
    co_await gate.opened(Instant::never());
    idle_waiter_ = nullptr;
}

CoordinatedTopic::Pointer CoordinatedTopic::find(std::string_view id) const {
    if (partition_count_ == 0) return nullptr;
    return find(coordinating_partition(id, partition_count_));
}

CoordinatedTopic::Pointer CoordinatedTopic::find(PartitionIndex index) const {
    const auto found = held_.find(index);
    return found == held_.end() ? nullptr : found->second;
}

std::vector<CoordinatedTopic::Pointer> CoordinatedTopic::held() const {
    std::vector<Pointer> all;
    for (const auto& [index, partition] : held_) all.push_back(partition);
    return all;
}

std::size_t CoordinatedTopic::id_count() const {
    std::size_t count = 0;
    for (const auto& [index, partition] : held_) count += partition->id_count();
    return count;
}

io::Task<Result<CoordinatedTopic::Pointer>> CoordinatedTopic::serving(std::string id) {
    Pointer partition = find(id);
    if (!partition)
        co_return Error{ErrorCode::not_coordinator, "this broker does not coordinate " + id};
    if (partition->loaded_) co_return partition;
    ErrorCode error = co_await loaded(partition);
    if (error != ErrorCode::none)
        co_return Error{error, "the partition of " + id + " is being loaded"};
    co_return partition;
}

io::Task<ErrorCode> CoordinatedTopic::loaded(Pointer partition) {
    if (!partition->loaded_) {
        io::Gate gate(ports_->clock);
        partition->waiting_.push_back(&gate);
        Instant deadline = ports_->clock.now() + options_.load_patience;
        bool opened = co_await gate.opened(deadline);
        if (!opened) std::erase(partition->waiting_, &gate);
    }
    if (partition->log_->closed()) co_return ErrorCode::not_coordinator;
    co_return partition->loaded_ ? ErrorCode::none : ErrorCode::coordinator_load_in_progress;
}

// --- carrying out what the machines ask

void CoordinatedTopic::write(const Pointer& partition, std::vector<record::KeyValue> records,
                             Done done) {
    CoordinatorLog::write(partition->log_, std::move(records),
                          [this, partition, done = std::move(done)](ErrorCode error) {
                              if (done) done(error);
                              if (error != ErrorCode::none) reload(partition);
                          });
}

io::Task<ErrorCode> CoordinatedTopic::written(Pointer partition,
                                              std::vector<record::KeyValue> records, Done done,
                                              CoordinatorLog::Producer producer) {
    auto outcome = std::make_shared<Outcome>(ports_->clock);
    CoordinatorLog::write(partition->log_, std::move(records),
                          tell(partition, outcome, std::move(done)), producer);
    return known(outcome);
}

io::Task<ErrorCode> CoordinatedTopic::marker_written(Pointer partition,
                                                     CoordinatorLog::Marker marker) {
    auto outcome = std::make_shared<Outcome>(ports_->clock);
    CoordinatorLog::write_marker(partition->log_, marker, tell(partition, outcome, nullptr));
    return known(outcome);
}

CoordinatedTopic::Done CoordinatedTopic::tell(const Pointer& partition,
                                              const std::shared_ptr<Outcome>& outcome, Done done) {
    return [this, partition, outcome, done = std::move(done)](ErrorCode error) {
        outcome->error = error;
        outcome->known = true;
        outcome->gate.open();
        if (done) done(error);
        if (error != ErrorCode::none) reload(partition);
    };
}

io::Task<ErrorCode> CoordinatedTopic::known(std::shared_ptr<Outcome> outcome) {
    if (!outcome->known) {
        Instant deadline = ports_->clock.now() + options_.write_patience;
        co_await outcome->gate.opened(deadline);
    }
    co_return outcome->known ? outcome->error : ErrorCode::coordinator_not_available;
}

void CoordinatedTopic::arm(const Pointer& partition) {
    // Nobody asks a machine that was left, and whoever left it cancelled its timer.
    if (partition->log_->closed()) return;
    const Instant due = partition->deadline();
    if (due == partition->timer_due_ && partition->timer_ != 0) return;
    // A timer that comes too early finds nothing to do and is set anew.
    if (partition->timer_ != 0 && partition->timer_due_ < due) return;
    ports_->clock.cancel(partition->timer_);
    partition->timer_ = 0;
    partition->timer_due_ = due;
    if (due == Instant::never()) return;
    partition->timer_ = ports_->clock.at_policy(due, [this, partition] { elapsed(partition); });
}

void CoordinatedTopic::elapsed(const Pointer& partition) {
    partition->timer_ = 0;
    partition->timer_due_ = Instant::never();
    partition->elapsed();
    arm(partition);
}

void CoordinatedTopic::schedule_expiry() {
    const Instant due = ports_->clock.policy_now() + options_.expiry_interval;
    expiry_timer_ = ports_->clock.at_policy(due, [this] { expire(); });
}

void CoordinatedTopic::expire() {
    for (const Pointer& each : held()) {
        if (each->loaded_) each->expire();
    }
    schedule_expiry();
}

}  // namespace pabal::runtime
