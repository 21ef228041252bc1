// Topics come and go: what was created is listed until somebody asks for its end.
#include <algorithm>
#include <deque>
#include <set>

#include "io/gate.h"
#include "sim/workloads/load.h"
#include "wire/create_topics.h"
#include "wire/delete_topics.h"
#include "wire/metadata.h"

namespace pabal::sim {
namespace {

constexpr Duration patience = Duration::seconds(5);
constexpr Duration last_look_patience = Duration::seconds(30);
constexpr std::size_t most_topics = 12;  // Of one client; then the oldest goes.

class ChangeTopics final : public Workload {
public:
    ChangeTopics(Load& load, WorkloadSpec spec) : load_(load), spec_(std::move(spec)) {}

    void start() override {
        for (int i = 0; i < spec_.clients; ++i) {
            ++busy_;
            seats_.push_back(std::make_unique<Seat>());
            seats_.back()->client = &load_.add_client();
            seats_.back()->client->run(work(this, seats_.back().get()));
        }
    }
    int busy() const override { return busy_; }
    std::uint64_t progress() const override { return changes_; }
    std::string name() const override { return "changers of topics"; }

private:
    struct Seat {
        Client* client = nullptr;
        std::deque<std::string> created;  // Answered; their end was not asked for.
        int last = 0;
    };

    static io::Task<void> work(ChangeTopics* self, Seat* seat) {
        while (!self->load_.stopping) {
            const Instant until = seat->client->after(seat->client->draw(self->spec_.pause));
            io::Sleep sleep(seat->client->clock(), until);
            co_await sleep;
            if (seat->client->random().chance(1, 3)) {
                co_await look(self, seat, &seat->client->wire());
            } else if (seat->created.size() >= most_topics) {
                co_await remove_oldest(self, seat);
            } else {
                co_await create(self, seat);
            }
        }
        if (seat->client->route().broker_count() > 1) co_await look_at_last(self, seat);
        --self->busy_;
    }

    static io::Task<void> create(ChangeTopics* self, Seat* seat) {
        const std::string name =
            "side-" + std::to_string(seat->client->id()) + "-" + std::to_string(++seat->last);
        wire::CreateTopicsRequest request;
        request.timeout_ms = static_cast<std::int32_t>(patience.to_milliseconds());
        wire::CreateTopicsRequest::CreatableTopic topic;
        topic.name = name;
        topic.num_partitions = static_cast<std::int32_t>(seat->client->random().between(1, 3));
        topic.replication_factor = self->replication_factor();
        request.topics.push_back(std::move(topic));
        auto answer =
            co_await seat->client->wire().ask<wire::CreateTopicsResponse>(request, 7, patience);
        if (!answer.ok() || answer->topics.size() != 1) co_return;
        if (answer->topics[0].error_code != ErrorCode::none) co_return;
        ++self->changes_;
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
            co_await seat->client->wire().ask<wire::DeleteTopicsResponse>(request, 6, patience);
        if (answer.ok()) ++self->changes_;
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
        const bool must = seat->client->route().broker_count() == 1;
        bool all = true;
        for (const auto& name : seat->created) {
            if (listed.contains(name)) continue;
            all = false;
            if (must) self->load_.ledger.each([&](Checker& one) { one.topic_missing(name); });
        }
        co_return all;
    }

    static io::Task<void> look_at_last(ChangeTopics* self, Seat* seat) {
        auto& route = seat->client->route();
        const Instant deadline = seat->client->after(last_look_patience);
        for (std::size_t id = 0; id < route.broker_count(); ++id) {
            auto* broker = &route.broker(BrokerId(static_cast<std::int32_t>(id)));
            bool all = false;
            while (!all && !self->load_.abandoned && seat->client->clock().now() < deadline) {
                const Instant until = seat->client->after(Duration::milliseconds(50));
                io::Sleep sleep(seat->client->clock(), until);
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

    Load& load_;
    WorkloadSpec spec_;
    std::vector<std::unique_ptr<Seat>> seats_;
    int busy_ = 0;
    std::uint64_t changes_ = 0;
};

}  // namespace

std::unique_ptr<Workload> make_change_topics(Load& load, const WorkloadSpec& spec) {
    return std::make_unique<ChangeTopics>(load, spec);
}

}  // namespace pabal::sim
