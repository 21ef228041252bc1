#include "runtime/transaction_markers.h"

#include <algorithm>
#include <utility>

#include "io/gate.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "record/control_record.h"
#include "runtime/group_coordinator.h"
#include "runtime/partitions.h"
#include "runtime/peers.h"

namespace pabal::runtime {
namespace {

using replication::RequiredAcks;

constexpr Duration retry_pause = Duration::milliseconds(20);
// How long a leader waits for its followers, and whoever asks it for the answer.
constexpr Duration write_timeout = Duration::seconds(5);
constexpr Duration call_timeout = Duration::seconds(10);
constexpr std::size_t most_markers_in_request = 1'000;
// From this version on a marker carries an epoch above those of the records that it ends (KIP-890).
constexpr std::int8_t version_with_epoch_bump = 2;

std::size_t count(const transaction::Partitions& partitions) {
    std::size_t sum = 0;
    for (const auto& [topic, indexes] : partitions) sum += indexes.size();
    return sum;
}

void remove(transaction::Partitions* from, const std::string& topic, PartitionIndex index) {
    const auto found = from->find(topic);
    if (found == from->end()) return;
    found->second.erase(index);
    if (found->second.empty()) from->erase(found);
}

}  // namespace

// A transaction of which not all partitions have the marker.
struct TransactionMarkers::Ending {
    transaction::Markers markers;  // Its partitions are those that are left.
    std::shared_ptr<CoordinatorLog> coordinator;
    std::function<void()> done;

    bool is_wanted() const { return !coordinator->closed() && done; }
    void end_if_all_have_it() {
        if (!markers.partitions.empty() || !is_wanted()) return;
        const auto told = std::exchange(done, nullptr);
        told();
    }
};

// Partitions of one transaction that one broker leads.
struct TransactionMarkers::Errand {
    std::shared_ptr<Ending> ending;
    transaction::Partitions partitions;
};

struct TransactionMarkers::Destination {
    std::vector<Errand> queue;
    bool sending = false;
};

// A marker that is not committed yet, and where its answer stands.
struct TransactionMarkers::Awaited {
    std::size_t marker = 0;
    std::size_t topic = 0;
    std::size_t place = 0;
    std::shared_ptr<Partition> partition;  // Null: the coordinator of groups writes it.
    Offset end;
    bool awaits_flush = false;
    std::uint32_t reign = 0;
};

TransactionMarkers::TransactionMarkers(io::Ports* ports, const metadata::BrokerConfig* config,
                                       Partitions* partitions, GroupCoordinator* groups,
                                       Peers* peers, const Logger* log)
    : ports_(ports),
      config_(config),
      partitions_(partitions),
      groups_(groups),
      peers_(peers),
      log_(log) {}

TransactionMarkers::~TransactionMarkers() {
    ASSERT(running_ == 0, "markers are stopped before they go");
}

// --- as the coordinator

void TransactionMarkers::send(transaction::Markers markers,
                              std::shared_ptr<CoordinatorLog> coordinator,
                              std::function<void()> done) {
    auto ending = std::make_shared<Ending>();
    ending->markers = std::move(markers);
    ending->coordinator = std::move(coordinator);
    ending->done = std::move(done);
    const transaction::Partitions all = ending->markers.partitions;
    distribute(ending, all);
}

void TransactionMarkers::distribute(const std::shared_ptr<Ending>& ending,
                                    const transaction::Partitions& to) {
    if (stopped_ || !ending->is_wanted()) return;
    std::map<BrokerId, Errand> errands;
    Errand leaderless{ending, {}};
    for (const auto& [name, indexes] : to) {
        const auto topic = image_ ? image_->topic(name) : nullptr;
        for (const PartitionIndex index : indexes) {
            const auto* partition = topic ? topic->partition(index) : nullptr;
            if (!partition) {
                // What was written to it is gone with it.
                remove(&ending->markers.partitions, name, index);
            } else if (partition->leader == no_broker) {
                leaderless.partitions[name].insert(index);
            } else {
                Errand& errand = errands[partition->leader];
                errand.ending = ending;
                errand.partitions[name].insert(index);
            }
        }
    }
    for (auto& [broker, errand] : errands) queue(broker, std::move(errand));
    if (!leaderless.partitions.empty()) try_later(ending, std::move(leaderless.partitions));
    ending->end_if_all_have_it();
}

void TransactionMarkers::queue(BrokerId broker, Errand errand) {
    std::unique_ptr<Destination>& known = destinations_[broker];
    if (!known) known = std::make_unique<Destination>();
    known->queue.push_back(std::move(errand));
    if (known->sending) return;
    known->sending = true;
    ++running_;
    // What else this turn brings goes along.
    ports_->clock.post([this, broker] { io::detach(send_queued(broker)); });
}

io::Task<void> TransactionMarkers::send_queued(BrokerId broker) {
    Destination* destination = destinations_[broker].get();
    while (!stopped_) {
        std::vector<Errand>& waiting = destination->queue;
        std::vector<Errand> errands;
        const std::size_t taken = std::min(waiting.size(), most_markers_in_request);
        const auto end = waiting.begin() + static_cast<std::ptrdiff_t>(taken);
        errands.assign(std::make_move_iterator(waiting.begin()), std::make_move_iterator(end));
        waiting.erase(waiting.begin(), end);
        std::erase_if(errands, [](const Errand& each) { return !each.ending->is_wanted(); });
        if (taken == 0) break;
        if (errands.empty()) continue;
        wire::WriteTxnMarkersRequest request;
        for (const Errand& errand : errands) {
            const transaction::Markers& markers = errand.ending->markers;
            auto& marker = request.markers.emplace_back();
            marker.producer_id = markers.producer.id;
            marker.producer_epoch = markers.producer.epoch;
            marker.transaction_result = markers.commit;
            marker.coordinator_epoch = errand.ending->coordinator->epoch().value();
            marker.transaction_version = static_cast<std::int8_t>(markers.transaction_version);
            for (const auto& [topic, indexes] : errand.partitions) {
                auto& named = marker.topics.emplace_back();
                named.name = topic;
                named.partition_indexes.assign(indexes.begin(), indexes.end());
            }
        }
        auto response = co_await deliver(broker, std::move(request));
        for (Errand& errand : errands) {
            if (response.ok()) take(&errand, *response);
            if (!errand.partitions.empty()) {
                try_later(errand.ending, std::move(errand.partitions));
            } else {
                errand.ending->end_if_all_have_it();
            }
        }
    }
    destination->sending = false;
    --running_;
    if (running_ == 0 && idle_waiter_) idle_waiter_->open();
}

io::Task<Result<wire::WriteTxnMarkersResponse>> TransactionMarkers::deliver(
    BrokerId broker, wire::WriteTxnMarkersRequest request) {
    if (broker == config_->node_id()) {
        auto written = co_await write(std::move(request));
        co_return written;
    }
    const auto* known = image_->broker(broker);
    const auto* endpoint = known ? known->endpoint(config_->inter_broker_listener()) : nullptr;
    if (!endpoint) {
        co_return Error{ErrorCode::broker_not_available,
                        "broker " + std::to_string(broker.value()) + " is not registered"};
    }
    io::Address address{endpoint->host, endpoint->port};
    const Instant deadline = ports_->clock.now() + call_timeout;
    auto response = co_await peers_->call<wire::WriteTxnMarkersResponse>(
        std::move(address), Purpose::markers, std::move(request), deadline);
    co_return response;
}

// Takes the partitions out of `errand` that need no further try.
void TransactionMarkers::take(Errand* errand, const wire::WriteTxnMarkersResponse& response) {
    Ending& ending = *errand->ending;
    for (const auto& marker : response.markers) {
        if (marker.producer_id != ending.markers.producer.id) continue;
        for (const auto& topic : marker.topics) {
            for (const auto& answered : topic.partitions) {
                const ErrorCode error = answered.error_code;
                if (error == ErrorCode::transaction_coordinator_fenced) {
                    log_->info("another broker coordinates a transaction now",
                               {{"transactional_id", ending.markers.producer.transactional_id}});
                    ending.done = nullptr;
                    errand->partitions.clear();
                    return;
                }
                // A later epoch of the producer has ended whatever was open there.
                const bool has_it =
                    error == ErrorCode::none || error == ErrorCode::invalid_producer_epoch;
                if (!has_it) continue;
                remove(&errand->partitions, topic.name, answered.partition_index);
                remove(&ending.markers.partitions, topic.name, answered.partition_index);
            }
        }
    }
}

void TransactionMarkers::try_later(std::shared_ptr<Ending> ending,
                                   transaction::Partitions partitions) {
    if (stopped_ || !ending->is_wanted()) return;
    log_->debug("markers of a transaction are tried again",
                {{"transactional_id", ending->markers.producer.transactional_id},
                 {"partitions", count(partitions)}});
    later_.push_back({std::move(ending), std::move(partitions)});
    if (retry_timer_ != 0) return;
    retry_timer_ = ports_->clock.at(ports_->clock.now() + retry_pause, [this] { try_again(); });
}

void TransactionMarkers::try_again() {
    ports_->clock.cancel(retry_timer_);
    retry_timer_ = 0;
    for (const Errand& errand : std::exchange(later_, {}))
        distribute(errand.ending, errand.partitions);
}

void TransactionMarkers::learn(std::shared_ptr<const metadata::ClusterImage> image) {
    image_ = std::move(image);
    if (!later_.empty()) try_again();
}

void TransactionMarkers::stop() {
    stopped_ = true;
    ports_->clock.cancel(retry_timer_);
    retry_timer_ = 0;
    later_.clear();
}

io::Task<void> TransactionMarkers::ended() {
    if (running_ == 0) co_return;
    io::Gate gate(ports_->clock);
    idle_waiter_ = &gate;
    co_await gate.opened(Instant::never());
    idle_waiter_ = nullptr;
}

// --- as the leader of partitions

ErrorCode TransactionMarkers::append(const wire::WriteTxnMarkersRequest::WritableTxnMarker& marker,
                                     const std::string& topic, PartitionIndex index,
                                     Awaited* awaited) {
    const Topic* known = partitions_->topic(topic);
    Partition* partition = known ? known->partition(index) : nullptr;
    if (!partition) {
        return known && known->image->partition(index) ? ErrorCode::not_leader_or_follower
                                                       : ErrorCode::unknown_topic_or_partition;
    }
    const ErrorCode error = partition->check_leads(no_leader_epoch);
    if (error != ErrorCode::none) return error;
    // A marker that was late must not end the producer's next transaction.
    if (marker.transaction_version >= version_with_epoch_bump &&
        partition->has_open_transaction(marker.producer_id, marker.producer_epoch))
        return ErrorCode::invalid_producer_epoch;
    const auto type = marker.transaction_result ? record::ControlRecordType::commit
                                                : record::ControlRecordType::abort;
    const Bytes batch =
        record::end_transaction_marker(type, marker.producer_id, marker.producer_epoch,
                                       marker.coordinator_epoch, ports_->clock.wall_now());
    const AppendOutcome appended =
        partition->append_trusted(batch, RequiredAcks::all, log::AppendOrigin::coordinator);
    if (partition->must_wait(appended, RequiredAcks::all)) {
        awaited->partition = partition->shared_from_this();
        awaited->end = appended.end_offset;
        awaited->awaits_flush = appended.awaits_flush;
        awaited->reign = appended.reign;
    }
    return appended.error;
}

io::Task<wire::WriteTxnMarkersResponse> TransactionMarkers::write(
    wire::WriteTxnMarkersRequest request) {
    using PartitionResult = wire::WriteTxnMarkersResponse::WritableTxnMarkerPartitionResult;
    wire::WriteTxnMarkersResponse response;
    const Instant deadline = ports_->clock.now() + write_timeout;
    std::vector<Awaited> awaited;
    for (const auto& marker : request.markers) {
        auto& result = response.markers.emplace_back();
        result.producer_id = marker.producer_id;
        for (const auto& topic : marker.topics) {
            auto& topic_result = result.topics.emplace_back();
            topic_result.name = topic.name;
            for (const PartitionIndex index : topic.partition_indexes) {
                PartitionResult& answered = topic_result.partitions.emplace_back();
                answered.partition_index = index;
                Awaited wait;
                wait.marker = response.markers.size() - 1;
                wait.topic = result.topics.size() - 1;
                wait.place = topic_result.partitions.size() - 1;
                const bool of_groups = topic.name == group_topic;
                if (!of_groups) answered.error_code = append(marker, topic.name, index, &wait);
                if (of_groups || wait.partition) awaited.push_back(std::move(wait));
            }
        }
    }
    for (const Awaited& wait : awaited) {
        ErrorCode error = ErrorCode::none;
        if (wait.partition) {
            error = co_await wait.partition->acknowledged(wait.end, wait.awaits_flush, wait.reign,
                                                          RequiredAcks::all, deadline);
        } else {
            const auto& marker = request.markers[wait.marker];
            const PartitionIndex index = marker.topics[wait.topic].partition_indexes[wait.place];
            CoordinatorLog::Marker end;
            end.producer = {marker.producer_id, marker.producer_epoch};
            end.coordinator_epoch = marker.coordinator_epoch;
            end.commit = marker.transaction_result;
            end.bumps_epoch = marker.transaction_version >= version_with_epoch_bump;
            error = co_await groups_->end_transaction(index, end);
        }
        auto& topic = response.markers[wait.marker].topics[wait.topic];
        topic.partitions[wait.place].error_code = error;
    }
    co_return response;
}

}  // namespace pabal::runtime
