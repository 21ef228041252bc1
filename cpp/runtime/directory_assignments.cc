#include "runtime/directory_assignments.h"

#include <algorithm>

#include "base/assert.h"
#include "base/log.h"
#include "io/clock.h"
#include "io/gate.h"
#include "runtime/controller_link.h"
#include "wire/assign_replicas_to_dirs.h"

namespace pabal::runtime {
namespace {

constexpr Duration retry_pause = Duration::milliseconds(100);
constexpr Duration patience = Duration::seconds(10);
// Kafka's limit for one request.
constexpr std::size_t most_at_once = 2250;

}  // namespace

DirectoryAssignments::DirectoryAssignments(io::Clock* clock, BrokerId self, ControllerLink* link,
                                           const Logger* log, std::function<BrokerEpoch()> epoch)
    : clock_(clock), self_(self), link_(link), log_(log), epoch_(std::move(epoch)) {}

DirectoryAssignments::~DirectoryAssignments() {
    ASSERT(!running_, "stop() ends the assignments");
}

void DirectoryAssignments::tell(const TopicPartition& partition, DirectoryId directory) {
    if (stopped_) return;
    untold_[partition] = directory;
    if (running_) return;
    running_ = true;
    io::detach(run());
}

wire::AssignReplicasToDirsRequest DirectoryAssignments::request() const {
    std::map<DirectoryId, std::map<TopicId, std::vector<PartitionIndex>>> sorted;
    std::size_t count = 0;
    for (const auto& [partition, directory] : untold_) {
        if (++count > most_at_once) break;
        sorted[directory][partition.topic].push_back(partition.partition);
    }
    wire::AssignReplicasToDirsRequest request;
    request.broker_id = self_;
    request.broker_epoch = epoch_();
    for (const auto& [id, topics] : sorted) {
        auto& directory = request.directories.emplace_back();
        directory.id = id;
        for (const auto& [topic_id, partitions] : topics) {
            auto& topic = directory.topics.emplace_back();
            topic.topic_id = topic_id;
            for (PartitionIndex index : partitions)
                topic.partitions.emplace_back().partition_index = index;
        }
    }
    return request;
}

// What the controller refuses, a partition that is gone, needs no telling any more.
void DirectoryAssignments::take(const wire::AssignReplicasToDirsResponse& response) {
    for (const auto& directory : response.directories) {
        for (const auto& topic : directory.topics) {
            for (const auto& partition : topic.partitions) {
                const auto told =
                    untold_.find(TopicPartition{topic.topic_id, partition.partition_index});
                if (told != untold_.end() && told->second == directory.id) untold_.erase(told);
            }
        }
    }
}

io::Task<void> DirectoryAssignments::wait(Instant until) {
    io::Gate gate(*clock_);
    waiters_.push_back(&gate);
    auto opened = co_await gate.opened(until);
    static_cast<void>(opened);
    std::erase(waiters_, &gate);
}

io::Task<void> DirectoryAssignments::run() {
    // What is found out in one turn is told together.
    io::Turn turn(*clock_);
    co_await turn;
    while (!stopped_ && !untold_.empty()) {
        if (epoch_() != BrokerEpoch(-1)) {
            wire::AssignReplicasToDirsRequest asked = request();
            const Instant deadline = clock_->now() + patience;
            auto response = co_await link_->call<wire::AssignReplicasToDirsResponse>(
                std::move(asked), deadline);
            const bool taken = response.ok() && response->error_code == ErrorCode::none;
            if (taken) {
                take(*response);
                continue;
            }
            if (log_ && response.ok())
                log_->warning("the controller did not take where replicas lie",
                              {{"error", error_name(response->error_code)}});
        }
        const Instant until = clock_->now() + retry_pause;
        if (!stopped_) co_await wait(until);
    }
    running_ = false;
    for (io::Gate* gate : waiters_) gate->open();
}

io::Task<void> DirectoryAssignments::stop() {
    stopped_ = true;
    for (io::Gate* gate : waiters_) gate->open();
    while (running_) {
        const Instant never = Instant::never();
        co_await wait(never);
    }
}

}  // namespace pabal::runtime
