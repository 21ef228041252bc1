#include "broker/topic_creation.h"

#include <algorithm>

#include "broker/refusals.h"
#include "io/gate.h"
#include "metadata/broker_config.h"
#include "runtime/controller_link.h"
#include "runtime/group_coordinator.h"
#include "runtime/transaction_coordinator.h"
#include "wire/create_topics.h"

namespace pabal::broker {

struct TopicCreation::Creation {
    std::vector<std::string> names;
    std::map<std::string, ErrorCode> refused;
    std::vector<io::Gate*> waiting;
    bool done = false;
};

TopicCreation::TopicCreation(io::Clock* clock, runtime::ControllerLink* link,
                             const metadata::BrokerConfig* config, const Logger* log)
    : clock_(clock), link_(link), config_(config), log_(log) {}

TopicCreation::~TopicCreation() {
    ASSERT(running_.empty(), "the link ends all creations before it goes");
}

io::Task<std::map<std::string, ErrorCode>> TopicCreation::create(std::vector<std::string> names,
                                                                 Instant deadline) {
    std::vector<std::shared_ptr<Creation>> awaited;
    auto fresh = std::make_shared<Creation>();
    for (std::string& name : names) {
        auto found = running_.find(name);
        if (found == running_.end()) {
            running_.emplace(name, fresh);
            fresh->names.push_back(name);
        } else if (found->second != fresh &&
                   std::find(awaited.begin(), awaited.end(), found->second) == awaited.end()) {
            awaited.push_back(found->second);
        }
    }
    if (!fresh->names.empty()) {
        awaited.push_back(fresh);
        io::detach(carry_out(fresh));
    }
    std::map<std::string, ErrorCode> refused;
    for (std::shared_ptr<Creation> creation : awaited) {
        if (!creation->done) {
            io::Gate gate(*clock_);
            creation->waiting.push_back(&gate);
            bool opened = co_await gate.opened(deadline);
            if (!opened) {
                auto place = std::find(creation->waiting.begin(), creation->waiting.end(), &gate);
                if (place != creation->waiting.end()) creation->waiting.erase(place);
            }
        }
        refused.insert(creation->refused.begin(), creation->refused.end());
    }
    co_return refused;
}

wire::CreateTopicsRequest TopicCreation::request_for(const std::vector<std::string>& names) const {
    wire::CreateTopicsRequest request;
    for (const std::string& name : names) {
        auto& topic = request.topics.emplace_back();
        topic.name = name;
        topic.num_partitions = -1;
        topic.replication_factor = -1;
        const bool of_groups = name == runtime::group_topic;
        if (!of_groups && name != runtime::transaction_topic) continue;
        const std::string prefix = of_groups ? "offsets.topic." : "transaction.state.log.";
        topic.num_partitions =
            static_cast<std::int32_t>(config_->integer(prefix + "num.partitions"));
        auto replicas = config_->integer(prefix + "replication.factor");
        if (!config_->is_set(prefix + "replication.factor")) {
            // A single broker coordinates too. Those that are down just now count: their replicas
            // wait for them.
            const auto brokers = static_cast<std::int64_t>(link_->image()->brokers().size());
            replicas = std::clamp<std::int64_t>(brokers, 1, replicas);
        }
        topic.replication_factor = static_cast<std::int16_t>(replicas);
        const auto set = [&](std::string setting, std::string value) {
            auto& config = topic.configs.emplace_back();
            config.name = std::move(setting);
            config.value = std::move(value);
        };
        set("compression.type", of_groups ? "producer" : "uncompressed");
        constexpr std::int64_t least_segment_bytes = 1 << 20;  // A topic's segment.bytes has it.
        set("segment.bytes", std::to_string(std::max(config_->integer(prefix + "segment.bytes"),
                                                     least_segment_bytes)));
        set("cleanup.policy", "compact");
        if (of_groups) continue;
        set("unclean.leader.election.enable", "false");
        auto in_sync = config_->integer("transaction.state.log.min.isr");
        if (!config_->is_set("transaction.state.log.min.isr"))
            in_sync = std::min(in_sync, replicas);
        set("min.insync.replicas", std::to_string(in_sync));
    }
    return request;
}

io::Task<void> TopicCreation::carry_out(std::shared_ptr<Creation> creation) {
    wire::CreateTopicsRequest request = request_for(creation->names);
    const Instant deadline = clock_->now() + Duration::seconds(30);
    runtime::ControllerLink::Client client;
    client.version = wire::CreateTopicsRequest::max_version;
    auto answered =
        co_await link_->forward<wire::CreateTopicsResponse>(request, std::move(client), deadline);
    const wire::CreateTopicsResponse response =
        answered.ok() ? std::move(*answered) : refusal(request, answered.error());
    for (const auto& topic : response.topics) {
        if (topic.error_code == ErrorCode::none) {
            log_->info("created a topic that a client asked for",
                       {{"topic", topic.name}, {"partitions", topic.num_partitions}});
        } else if (topic.error_code != ErrorCode::topic_already_exists) {
            creation->refused[topic.name] = topic.error_code;
            log_->warning("could not create a topic that a client asked for",
                          {{"topic", topic.name},
                           {"error", error_name(topic.error_code)},
                           {"reason", topic.error_message.value_or("")}});
        }
    }
    for (const std::string& name : creation->names) running_.erase(name);
    creation->done = true;
    std::vector<io::Gate*> waiting = std::move(creation->waiting);
    creation->waiting.clear();
    for (io::Gate* gate : waiting) gate->open();
    if (running_.empty() && idle_waiter_) idle_waiter_->open();
}

io::Task<void> TopicCreation::idle() {
    if (running_.empty()) co_return;
    io::Gate gate(*clock_);
    idle_waiter_ = &gate;
    co_await gate.opened(Instant::never());
    idle_waiter_ = nullptr;
}

}  // namespace pabal::broker
