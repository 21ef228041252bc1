// Topics come and go: what was created is listed until somebody asks for its end.
#include <algorithm>
#include <deque>
#include <set>

#include "io/gate.h"
#include "sim/workloads/crew.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/metadata.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);
constexpr Duration last_look_patience = Duration::seconds(30);
constexpr std::size_t most_topics = 12;  // Of one client; then the oldest goes.

struct Seat : PlainSeat {
    using PlainSeat::PlainSeat;

    std::deque<std::string> created;  // Answered; their end was not asked for.
    int last = 0;
};

class ChangeTopics final : public Crew<Seat> {
public:
    using Crew::Crew;

    std::string name() const override { return "changers of topics"; }

private:
    io::Task<void> step(Seat* seat) override {
        if (seat->client.random().chance(1, 3)) {
            co_await look(this, seat, &seat->client.wire());
        } else if (seat->created.size() >= most_topics) {
            co_await remove_oldest(this, seat);
        } else {
            co_await create(this, seat);
        }
    }
    io::Task<void> finish(Seat* seat) override {
        if (seat->client.route().broker_count() > 1) co_await look_at_last(this, seat);
    }

    static io::Task<void> create(ChangeTopics* self, Seat* seat) {
        const std::string name =
            "side-" + std::to_string(seat->client.id()) + "-" + std::to_string(++seat->last);
        wire::CreateTopicsRequest request;
        request.timeout_ms = static_cast<std::int32_t>(patience.to_milliseconds());
        wire::CreateTopicsRequest::CreatableTopic topic;
        topic.name = name;
        topic.num_partitions = static_cast<std::int32_t>(seat->client.random().between(1, 3));
        topic.replication_factor = self->replication_factor();
        request.topics.push_back(std::move(topic));
        auto answer =
            co_await seat->client.wire().ask<wire::CreateTopicsResponse>(request, 7, patience);
        if (!answer.ok() || answer->topics.size() != 1) co_return;
        if (answer->topics[0].error_code != ErrorCode::none) co_return;
        ++self->progress_;
        seat->created.push_back(name);
        self->load_.ledger.each([&](Checker& checker) { checker.topic_created(name); });
    }

    static io::Task<void> remove_oldest(ChangeTopics* self, Seat* seat) {
        wire::DeleteTopicsRequest request;
        request.timeout_ms = static_cast<std::int32_t>(patience.to_milliseconds());
        wire::DeleteTopicsRequest::DeleteTopicState topic;
        topic.name = seat->created.front();
        request.topics.push_back(std::move(topic));
        seat->created.pop_front();
        auto answer =
            co_await seat->client.wire().ask<wire::DeleteTopicsResponse>(request, 6, patience);
        if (answer.ok()) ++self->progress_;
    }

    // All of ours are listed: by a lonely broker at once, in a cluster by each of them at last.
    // False if one is not, or nobody answers.
    static io::Task<bool> look(ChangeTopics* self, Seat* seat, WireClient* broker) {
        wire::MetadataRequest request;
        request.topics.reset();
        request.allow_auto_topic_creation = false;
        auto answer = co_await broker->ask<wire::MetadataResponse>(request, 12, patience);
        if (!answer.ok()) co_return false;
        std::set<std::string> listed;
        for (const auto& topic : answer->topics) listed.insert(topic.name.value_or(""));
        const bool must = seat->client.route().broker_count() == 1;
        bool all = true;
        for (const auto& name : seat->created) {
            if (listed.contains(name)) continue;
            all = false;
            if (must) self->load_.ledger.each([&](Checker& one) { one.topic_missing(name); });
        }
        co_return all;
    }

    static io::Task<void> look_at_last(ChangeTopics* self, Seat* seat) {
        auto& route = seat->client.route();
        const Instant deadline = seat->client.after(last_look_patience);
        for (std::size_t id = 0; id < route.broker_count(); ++id) {
            auto* broker = &route.broker(BrokerId(static_cast<std::int32_t>(id)));
            bool all = false;
            while (!all && !self->load_.abandoned && seat->client.clock().now() < deadline) {
                const Instant until = seat->client.after(Duration::milliseconds(50));
                io::Sleep sleep(seat->client.clock(), until);
                co_await sleep;
                auto listed = co_await look(self, seat, broker);
                all = listed;
            }
            if (all || self->load_.abandoned || seat->created.empty()) continue;
            const std::string name = seat->created.front();
            self->load_.ledger.each([&](Checker& checker) { checker.topic_missing(name); });
        }
    }

    std::int16_t replication_factor() const {
        return static_cast<std::int16_t>(std::min<std::size_t>(load_.broker_hosts.size(), 3));
    }
};

}  // namespace

std::unique_ptr<Workload> make_change_topics(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<ChangeTopics>(load, spec);
}

}  // namespace pabal::sim
