#include "sim/client/route.h"

#include "sim/cluster/server.h"
#include "wire/find_coordinator.h"
#include "wire/metadata.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(2);
constexpr int metadata_version = 12;

}  // namespace

Route::Route(io::Clock& clock, io::Network& network, std::vector<std::string> hosts,
             std::string client_id, Prng random, std::function<void(const Partition&, Leader)> told)
    : random_(random), told_(std::move(told)) {
    for (auto& host : hosts) {
        brokers_.push_back(std::make_unique<WireClient>(
            clock, network, io::Address{std::move(host), broker_port}, client_id));
    }
    if (brokers_.size() > 1) another();
}

WireClient& Route::another() {
    current_ = random_.below(brokers_.size());
    return *brokers_[current_];
}

WireClient& Route::any() {
    auto& broker = *brokers_[current_];
    return brokers_.size() > 1 && broker.has_failed() ? another() : broker;
}

Leader Route::leader_of(const Partition& partition) const {
    const auto entry = leaders_.find(partition);
    return entry == leaders_.end() ? Leader() : entry->second;
}

void Route::forget(const Partition& partition) {
    leaders_.erase(partition);
}

io::Task<WireClient*> Route::to_leader(Partition partition) {
    if (brokers_.size() == 1) co_return brokers_.front().get();
    const auto known = leaders_.find(partition);
    if (known != leaders_.end()) co_return &broker(known->second.broker);
    wire::MetadataRequest request;
    wire::MetadataRequest::MetadataRequestTopic wanted;
    wanted.name = partition.topic;
    request.topics.emplace().push_back(std::move(wanted));
    request.allow_auto_topic_creation = false;
    // Not always the same: a broker that is cut off knows no better for a while.
    auto& asked = another();
    auto answer = co_await asked.ask<wire::MetadataResponse>(request, metadata_version, patience);
    if (!answer.ok() || answer->topics.size() != 1) co_return nullptr;
    for (const auto& told : answer->topics[0].partitions) {
        const Partition place{partition.topic, told.partition_index.value()};
        if (!is_known(told.leader_id)) continue;
        const Leader leader{told.leader_id, told.leader_epoch};
        told_(place, leader);
        // A broker that is cut off tells of a leader from before (KIP-320).
        auto& newest = newest_.try_emplace(place, leader.epoch).first->second;
        if (leader.epoch < newest) continue;
        newest = leader.epoch;
        leaders_[place] = leader;
    }
    const auto found = leaders_.find(partition);
    co_return found == leaders_.end() ? nullptr : &broker(found->second.broker);
}

io::Task<WireClient*> Route::to_coordinator(std::string key, Coordinated what) {
    const auto known = coordinators_.find({what, key});
    if (brokers_.size() > 1 && known != coordinators_.end()) co_return &broker(known->second);
    wire::FindCoordinatorRequest request;
    request.key_type = static_cast<std::int8_t>(what);
    request.coordinator_keys.push_back(key);
    const int version = static_cast<int>(random_.between(4, 6));
    auto& asked = brokers_.size() > 1 ? another() : *brokers_.front();
    auto answer = co_await asked.ask<wire::FindCoordinatorResponse>(request, version, patience);
    if (!answer.ok() || answer->coordinators.size() != 1) co_return nullptr;
    const auto& found = answer->coordinators[0];
    if (found.error_code != ErrorCode::none || !is_known(found.node_id)) co_return nullptr;
    coordinators_[{what, key}] = found.node_id;
    co_return &broker(found.node_id);
}

}  // namespace pabal::sim
