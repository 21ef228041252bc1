#include "client/fetched_records.h"

#include <algorithm>
#include <chrono>

#include "base/varint.h"

namespace pabal::client {
namespace {

// Errors that nobody has polled for yet.
constexpr std::size_t most_errors = 100;
// A poller that took this much lets the shard fetch again.
constexpr std::size_t worth_waking_bytes = 64 << 10;

// Where the record at `at` ends; the records were checked when they were fetched.
std::size_t end_of_record(const FetchedBatch& batch, std::size_t at) {
    const std::uint8_t* begin = batch.records.data();
    std::int32_t size = 0;
    const std::uint8_t* body = read_varint(begin + at, begin + batch.records.size(), size);
    return static_cast<std::size_t>(body - begin) + static_cast<std::size_t>(size);
}

std::int64_t offset_of_record(const FetchedBatch& batch, std::size_t at) {
    const std::uint8_t* end = batch.records.data() + batch.records.size();
    std::int32_t number = 0;
    std::int64_t timestamp = 0;
    const std::uint8_t* from = read_varint(batch.records.data() + at, end, number);
    from = read_varlong(from + 1, end, timestamp);
    read_varint(from, end, number);
    return batch.base_offset + number;
}

}  // namespace

void FetchedRecords::wait(std::uint64_t seen, Duration limit) {
    Lock lock(mutex_);
    if (changes_ != seen) return;
    ++waiting_;
    condition_.wait_for(lock, std::chrono::nanoseconds(limit.to_nanoseconds()),
                        [&] { return changes_ != seen; });
    --waiting_;
}

void FetchedRecords::changed() {
    ++changes_;
    if (waiting_ > 0) condition_.notify_all();
}

std::vector<FetchedSlice> FetchedRecords::take(const Lock&, std::size_t most) {
    std::vector<FetchedSlice> slices;
    // The partition behind the one that was served last comes first.
    auto from = last_served_ ? all_.upper_bound(*last_served_) : all_.begin();
    bool wake = false;
    for (std::size_t count = 0; count < all_.size() && most > 0; ++count, ++from) {
        if (from == all_.end()) from = all_.begin();
        Assigned& partition = *from->second;
        if (partition.paused || partition.ready.empty()) continue;
        last_served_ = from->first;
        while (most > 0 && !partition.ready.empty()) {
            const std::shared_ptr<FetchedBatch> batch = partition.ready.front();
            FetchedSlice slice{batch, batch->at, batch->at, 0};
            const auto left = static_cast<std::size_t>(batch->record_count - batch->taken);
            if (left <= most) {
                slice.end = batch->records.size();
                slice.record_count = static_cast<std::int32_t>(left);
            } else {
                while (slice.record_count < static_cast<std::int32_t>(most)) {
                    slice.end = end_of_record(*batch, slice.end);
                    ++slice.record_count;
                }
            }
            batch->at = slice.end;
            batch->taken += slice.record_count;
            most -= static_cast<std::size_t>(slice.record_count);
            if (batch->taken == batch->record_count) {
                partition.position = batch->next_offset;
                partition.ready_bytes -= batch->records.size();
                partition.ready.pop_front();
                wake = wake || partition.ready_bytes < worth_waking_bytes ||
                       batch->records.size() >= worth_waking_bytes;
            } else {
                partition.position = offset_of_record(*batch, batch->at);
            }
            partition.leader_epoch = batch->leader_epoch;
            if (slice.record_count > 0) slices.push_back(std::move(slice));
        }
    }
    if (wake) wake_();
    return slices;
}

std::optional<Error> FetchedRecords::take_error(const Lock&) {
    if (errors_.empty()) return std::nullopt;
    std::optional<Error> error = std::move(errors_.front());
    errors_.pop_front();
    return error;
}

Assigned* FetchedRecords::find(const Lock&, const NamedPartition& partition) {
    const auto found = all_.find(partition);
    return found == all_.end() ? nullptr : found->second.get();
}

void FetchedRecords::seek(const Lock&, Assigned* partition, std::int64_t offset,
                          std::int64_t reset_to) {
    ++partition->version;
    partition->position = offset;
    partition->reset_to = reset_to;
    partition->leader_epoch = -1;
    partition->ready.clear();
    partition->ready_bytes = 0;
    changed();
    wake_();
}

void FetchedRecords::nudge(const Lock&) {
    changed();
    wake_();
}

void FetchedRecords::rebalance_done(const Lock&) {
    rebalance_.reset();
    changed();
    wake_();
}

void FetchedRecords::assign(const std::vector<NamedPartition>& partitions, std::int64_t reset_to) {
    Lock lock(mutex_);
    for (auto at = all_.begin(); at != all_.end();) {
        const bool stays =
            std::find(partitions.begin(), partitions.end(), at->first) != partitions.end();
        if (stays) {
            ++at;
            continue;
        }
        ++at->second->version;
        at = all_.erase(at);
    }
    lock.unlock();
    for (const auto& partition : partitions) add(partition, -1, reset_to);
}

void FetchedRecords::add(const NamedPartition& partition, std::int64_t position,
                         std::int64_t reset_to) {
    Lock lock(mutex_);
    auto& place = all_[partition];
    if (place) return;
    place = std::make_shared<Assigned>();
    place->topic = std::make_shared<const std::string>(partition.topic);
    place->partition = partition.partition;
    place->version = 1;
    place->position = position;
    place->reset_to = reset_to;
    changed();
    wake_();
}

void FetchedRecords::remove(const NamedPartition& partition) {
    Lock lock(mutex_);
    const auto found = all_.find(partition);
    if (found == all_.end()) return;
    ++found->second->version;
    all_.erase(found);
    changed();
}

void FetchedRecords::deliver(Assigned* partition, std::uint64_t version,
                             std::vector<std::shared_ptr<FetchedBatch>> batches) {
    Lock lock(mutex_);
    if (partition->version != version) return;
    for (auto& batch : batches) {
        partition->ready_bytes += batch->records.size();
        partition->ready.push_back(std::move(batch));
    }
    changed();
}

void FetchedRecords::fail(Error error) {
    Lock lock(mutex_);
    if (errors_.size() < most_errors) errors_.push_back(std::move(error));
    changed();
}

void FetchedRecords::propose(Rebalance rebalance) {
    Lock lock(mutex_);
    rebalance_ = std::move(rebalance);
    changed();
}

bool FetchedRecords::is_rebalancing() {
    Lock lock(mutex_);
    return rebalance_.has_value();
}

void FetchedRecords::close() {
    Lock lock(mutex_);
    closed_ = true;
    changed();
}

}  // namespace pabal::client
