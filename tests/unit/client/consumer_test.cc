#include "client/consumer.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/unit/client/scripted_broker.h"
#include "wire/consumer_group_heartbeat.h"
#include "wire/find_coordinator.h"
#include "wire/list_offsets.h"
#include "wire/offset_fetch.h"

namespace pabal::client {
namespace {

// Does not hold still while a step runs, as the system's clock does not and the simulator's does:
// every look at it finds it a little further.
class RestlessClock final : public io::Clock {
public:
    explicit RestlessClock(io::Clock* clock) : clock_(*clock) {}

    Instant now() const override {
        ahead_ = ahead_ + Duration::microseconds(5);
        return clock_.now() + ahead_;
    }
    Instant policy_now() const override { return now(); }
    WallTime wall_now() const override { return clock_.wall_now(); }
    io::TimerId at(Instant when, std::function<void()> action) override {
        return clock_.at(when, std::move(action));
    }
    io::TimerId at_policy(Instant when, std::function<void()> action) override {
        return at(when, std::move(action));
    }
    void cancel(io::TimerId timer) override { clock_.cancel(timer); }
    void post(std::function<void()> action) override { clock_.post(std::move(action)); }

private:
    io::Clock& clock_;
    mutable Duration ahead_;
};

// Has the topic "orders" with one partition, which is empty.
class EmptyTopic final : public ScriptedBroker {
public:
    using ScriptedBroker::ScriptedBroker;

private:
    std::vector<Served> served() const override {
        return {{wire::MetadataRequest::api_key, 3, 12}, {wire::ListOffsetsRequest::api_key, 1, 7}};
    }
    bool answer(wire::ApiKey api, int version, wire::Reader*, wire::Writer* writer) override {
        if (api == wire::MetadataRequest::api_key) {
            encode(*writer, itself(1), version);
            return true;
        }
        wire::ListOffsetsResponse response;
        auto& topic = response.topics.emplace_back();
        topic.name = "orders";
        topic.partitions.emplace_back().offset = Offset(0);
        encode(*writer, response, version);
        return true;
    }
};

// Coordinates the group "readers", and changes its mind while the member asks where to begin.
class FickleCoordinator final : public ScriptedBroker {
public:
    using ScriptedBroker::ScriptedBroker;

    bool given_up = false;  // The member told that it owns nothing.

private:
    std::vector<Served> served() const override {
        return {{wire::MetadataRequest::api_key, 3, 12},
                {wire::FindCoordinatorRequest::api_key, 4, 4},
                {wire::OffsetFetchRequest::api_key, 8, 9},
                {wire::ConsumerGroupHeartbeatRequest::api_key, 0, 1}};
    }
    bool answer(wire::ApiKey api, int version, wire::Reader* reader,
                wire::Writer* writer) override {
        if (api == wire::MetadataRequest::api_key) {
            encode(*writer, itself(1), version);
        } else if (api == wire::FindCoordinatorRequest::api_key) {
            wire::FindCoordinatorResponse response;
            auto& coordinator = response.coordinators.emplace_back();
            coordinator.key = "readers";
            coordinator.node_id = BrokerId(0);
            coordinator.host = "broker";
            coordinator.port = port;
            encode(*writer, response, version);
        } else if (api == wire::OffsetFetchRequest::api_key) {
            wire::OffsetFetchResponse response;
            auto& group = response.groups.emplace_back();
            group.group_id = "readers";
            if (beats_ < 2) group.error_code = ErrorCode::coordinator_load_in_progress;
            encode(*writer, response, version);
        } else {
            wire::ConsumerGroupHeartbeatRequest request;
            EXPECT_TRUE(decode(*reader, request, version).ok());
            const bool joins = request.member_epoch == 0;
            if (!joins && request.topic_partitions) {
                given_up = request.topic_partitions->empty();
            }
            wire::ConsumerGroupHeartbeatResponse response;
            response.member_id = request.member_id;
            response.member_epoch = 1;
            response.heartbeat_interval_ms = 5000;
            if (joins || beats_ == 1) response.assignment.emplace();
            if (joins) {
                auto& topic = response.assignment->topic_partitions.emplace_back();
                topic.topic_id = TopicId(Uuid{{1}});
                topic.partitions = {PartitionIndex(0)};
            }
            ++beats_;
            encode(*writer, response, version);
        }
        return true;
    }

    int beats_ = 0;
};

template <class Broker>
class ConsumerOf : public testing::Test {
protected:
    ConsumerOf() {
        broker.serve();
        Consumer::Options options;
        options.group.group_id = std::is_same_v<Broker, FickleCoordinator> ? "readers" : "";
        options.brokers.bootstrap = {{"broker", ScriptedBroker::port}};
        options.reset_to = -2;
        records =
            std::make_shared<FetchedRecords>([this] { clock.post([this] { consumer->pump(); }); });
        consumer = std::make_unique<Consumer>(&clock, &client->ports().network, Prng(1),
                                              std::move(options), records);
    }
    ~ConsumerOf() override {
        bool stopped = false;
        io::detach(stop(consumer.get(), &stopped));
        EXPECT_TRUE(soon([&] { return stopped; }));
        consumer.reset();
        broker.stop();
        EXPECT_TRUE(soon([&] { return broker.is_idle(); }));
    }
    static io::Task<void> stop(Consumer* consumer, bool* stopped) {
        co_await consumer->stop();
        *stopped = true;
    }
    bool soon(const std::function<bool()>& done) {
        return scheduler.run_until(done, scheduler.now() + Duration::seconds(30));
    }

    sim::Scheduler scheduler{1};
    sim::Network network{scheduler};
    sim::Machine broker_machine{scheduler, network, "broker", 1 << 20, sim::Skew()};
    sim::Machine client_machine{scheduler, network, "client", 1 << 20, sim::Skew()};
    std::unique_ptr<sim::Process> broker_process = broker_machine.boot();
    std::unique_ptr<sim::Process> client = client_machine.boot();
    RestlessClock clock{&client->clock()};
    Broker broker{broker_process.get()};
    std::shared_ptr<FetchedRecords> records;
    std::unique_ptr<Consumer> consumer;
};

using ConsumerTest = ConsumerOf<EmptyTopic>;
using MemberTest = ConsumerOf<FickleCoordinator>;

// No wait that was to begin in a moment still lies ahead when it is looked at: had metadata been
// asked for with the records' lock held, this would hang.
TEST_F(ConsumerTest, metadata_is_asked_for_without_the_lock) {
    records->assign({{"orders", PartitionIndex(0)}}, -2);
    EXPECT_TRUE(soon([&] {
        const auto lock = records->lock();
        return records->find(lock, {"orders", PartitionIndex(0)})->position == 0;
    }));
}

// The coordinator gives the partition to nobody else until it is told.
TEST_F(MemberTest, what_is_taken_back_before_it_was_read_is_given_up) {
    consumer->group().subscribe({"orders"}, "");
    EXPECT_TRUE(soon([&] { return broker.given_up; }));
}

}  // namespace
}  // namespace pabal::client
