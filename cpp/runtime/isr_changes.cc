#include "runtime/isr_changes.h"

#include <algorithm>

#include "base/log.h"
#include "io/gate.h"
#include "io/ports.h"
#include "metadata/cluster_image.h"
#include "runtime/partitions.h"

namespace pabal::runtime {
namespace {

constexpr Duration call_time = Duration::seconds(2);
constexpr Duration first_pause = Duration::milliseconds(20);
constexpr Duration longest_pause = Duration::milliseconds(500);
constexpr std::int8_t recovered = 0;

// Whether the controller has decided, as opposed to having been unable to.
bool is_decision(ErrorCode error) {
    switch (error) {
        case ErrorCode::none:
        case ErrorCode::fenced_leader_epoch:
        case ErrorCode::ineligible_replica:
        case ErrorCode::invalid_request:
        case ErrorCode::invalid_update_version:
        case ErrorCode::new_leader_elected:
        case ErrorCode::operation_not_attempted:
        case ErrorCode::unknown_topic_id:
        case ErrorCode::unknown_topic_or_partition: return true;
        default: return false;
    }
}

}  // namespace

IsrChanges::IsrChanges(io::Ports* ports, Partitions* partitions, BrokerId self, const Logger* log,
                       Ask ask)
    : ports_(ports), partitions_(partitions), self_(self), log_(log), ask_(std::move(ask)) {}

IsrChanges::~IsrChanges() {
    ASSERT(!running_, "it is stopped before it goes");
}

void IsrChanges::want(std::shared_ptr<Partition> partition) {
    if (stopping_ || !wanted_ids_.insert(partition->id()).second) return;
    wanted_.push_back(std::move(partition));
    if (running_) return;
    running_ = true;
    io::detach(run());
}

io::Task<void> IsrChanges::run() {
    std::vector<Pending> pending;
    Duration wait = first_pause;
    while (!stopping_ && (!wanted_.empty() || !pending.empty())) {
        // Whatever this turn of the shard brings up goes along.
        io::Turn turn(ports_->clock);
        co_await turn;
        if (stopping_) break;
        std::vector<std::shared_ptr<Partition>> wanted;
        wanted.swap(wanted_);
        wanted_ids_.clear();
        std::erase_if(pending,
                      [](const Pending& each) { return !each.partition->awaits(each.change); });
        for (auto& partition : wanted) {
            if (auto change = partition->next_isr_change())
                pending.push_back({std::move(partition), std::move(*change)});
        }
        if (pending.empty()) continue;
        auto request = request_of(pending);
        const auto deadline = ports_->clock.now() + call_time;
        auto response = co_await ask_(std::move(request), deadline);
        if (stopping_) break;
        auto error = response.ok() ? response->error_code : response.error().code;
        if (error == ErrorCode::none) take(*response, &pending);
        if (error == ErrorCode::none && pending.empty()) {
            wait = first_pause;
            continue;
        }
        log_->debug("the controller did not decide about in-sync replicas; it is asked again",
                    {{"error", error_name(error)}, {"partitions", pending.size()}});
        co_await pause(wait);
        wait = std::min(wait + wait, longest_pause);
    }
    running_ = false;
    for (auto* gate : run_ended_) gate->open();
}

io::Task<void> IsrChanges::pause(Duration duration) {
    io::Gate gate(ports_->clock);
    pausing_ = &gate;
    const auto until = ports_->clock.now() + duration;
    co_await gate.opened(until);
    pausing_ = nullptr;
}

wire::AlterPartitionRequest IsrChanges::request_of(const std::vector<Pending>& pending) const {
    wire::AlterPartitionRequest request;
    const auto& image = partitions_->image();
    const auto epoch_of = [&](BrokerId id) {
        const auto* broker = image ? image->broker(id) : nullptr;
        return broker ? broker->epoch : BrokerEpoch(-1);
    };
    request.broker_id = self_;
    request.broker_epoch = epoch_of(self_);
    for (const auto& [partition, change] : pending) {
        const auto& id = partition->id();
        auto topic = std::find_if(request.topics.begin(), request.topics.end(),
                                  [&](const auto& each) { return each.topic_id == id.topic; });
        if (topic == request.topics.end()) {
            request.topics.emplace_back();
            topic = request.topics.end() - 1;
            topic->topic_id = id.topic;
        }
        auto& data = topic->partitions.emplace_back();
        data.partition_index = id.partition;
        data.leader_epoch = change.leader_epoch;
        data.partition_epoch = change.partition_epoch;
        data.leader_recovery_state = recovered;
        for (const auto& member : change.in_sync) {
            // The incarnation whose fetches were seen (KIP-903); ours is known here alone.
            data.new_isr_with_epochs.push_back(
                {member.id, member.id == self_ ? request.broker_epoch : member.epoch});
        }
    }
    return request;
}

void IsrChanges::take(const wire::AlterPartitionResponse& response, std::vector<Pending>* pending) {
    std::erase_if(*pending, [&](const Pending& each) {
        const auto& id = each.partition->id();
        for (const auto& topic : response.topics) {
            if (topic.topic_id != id.topic) continue;
            for (const auto& data : topic.partitions) {
                if (data.partition_index != id.partition) continue;
                if (!is_decision(data.error_code)) return false;
                replication::IsrAnswer answer;
                answer.error = data.error_code;
                answer.state.leader = data.leader_id;
                answer.state.epoch = data.leader_epoch;
                answer.state.partition_epoch = data.partition_epoch;
                answer.state.in_sync = data.isr;
                answer.state.recovering = data.leader_recovery_state != recovered;
                each.partition->isr_answered(each.change, answer);
                return true;
            }
        }
        return false;
    });
}

io::Task<void> IsrChanges::stop() {
    stopping_ = true;
    if (pausing_) pausing_->open();
    if (!running_) co_return;
    io::Gate gate(ports_->clock);
    run_ended_.push_back(&gate);
    co_await gate.opened(Instant::never());
    std::erase(run_ended_, &gate);
    wanted_.clear();
}

}  // namespace pabal::runtime
