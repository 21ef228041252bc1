#include "client/producer.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "record/record.h"
#include "record/record_batch.h"
#include "tests/unit/client/scripted_broker.h"
#include "wire/init_producer_id.h"
#include "wire/produce.h"

namespace pabal::client {
namespace {

// Keeps one partition in memory, and fails as it is told. It judges sequences as Kafka does.
class PartitionInMemory final : public ScriptedBroker {
public:
    using ScriptedBroker::ScriptedBroker;

    // What happens to the n-th Produce, from 0; `none` appends.
    std::function<ErrorCode(int number)> outcome = [](int) { return ErrorCode::none; };
    // Whether the connection breaks after the n-th Produce was dealt with, before it is answered.
    std::function<bool(int number)> breaks = [](int) { return false; };

    std::vector<std::string> values;
    int produces = 0;
    int producer_ids = 0;

private:
    std::vector<Served> served() const override {
        return {{wire::MetadataRequest::api_key, 3, 12},
                {wire::ProduceRequest::api_key, 3, 12},
                {wire::InitProducerIdRequest::api_key, 3, 4}};
    }

    bool answer(wire::ApiKey api, int version, wire::Reader* reader,
                wire::Writer* writer) override {
        if (api == wire::MetadataRequest::api_key) {
            encode(*writer, itself(1), version);
        } else if (api == wire::InitProducerIdRequest::api_key) {
            wire::InitProducerIdResponse response;
            response.producer_id = ProducerId(70 + producer_ids++);
            encode(*writer, response, version);
        } else {
            wire::ProduceRequest request;
            EXPECT_TRUE(decode(*reader, request, version).ok());
            const int number = produces++;
            wire::ProduceResponse response;
            auto& topic = response.responses.emplace_back();
            topic.name = request.topic_data[0].name;
            auto& partition = topic.partition_responses.emplace_back();
            partition.error_code = outcome(number);
            if (partition.error_code == ErrorCode::none) {
                partition.error_code =
                    append(*request.topic_data[0].partition_data[0].records->flatten(), &partition);
            }
            if (breaks(number)) return false;
            encode(*writer, response, version);
        }
        return true;
    }

    ErrorCode append(const Bytes& bytes,
                     wire::ProduceResponse::PartitionProduceResponse* partition) {
        const auto batch = record::RecordBatchView::parse(bytes);
        EXPECT_TRUE(batch.ok() && batch->crc_is_right());
        if (batch->producer_epoch() > epoch_ || batch->producer_id() != producer_id_) {
            producer_id_ = batch->producer_id();
            epoch_ = batch->producer_epoch();
            next_sequence_ = 0;
        }
        if (batch->base_sequence() < next_sequence_) {
            return ErrorCode::duplicate_sequence_number;
        }
        if (batch->base_sequence() > next_sequence_) {
            return ErrorCode::out_of_order_sequence_number;
        }
        next_sequence_ = record::sequence_after(next_sequence_, batch->record_count());
        partition->base_offset = Offset(static_cast<std::int64_t>(values.size()));
        record::RecordReader records(*batch, batch->records());
        for (;;) {
            const auto next = records.next();
            EXPECT_TRUE(next.ok());
            if (!*next) break;
            values.emplace_back(as_text(*(*next)->value));
        }
        return ErrorCode::none;
    }

    ProducerId producer_id_ = no_producer_id;
    ProducerEpoch epoch_ = no_producer_epoch;
    std::int32_t next_sequence_ = 0;
};

class ProducerTest : public testing::Test {
protected:
    explicit ProducerTest(std::uint64_t seed = 1) : scheduler(seed) {
        broker.serve();
        options.brokers.bootstrap = {{"broker", ScriptedBroker::port}};
    }
    ~ProducerTest() override {
        bool stopped = false;
        io::detach(stop(producer.get(), &stopped));
        EXPECT_TRUE(soon([&] { return stopped; }));
        producer.reset();
        broker.stop();
        EXPECT_TRUE(soon([&] { return broker.is_idle(); }));
    }
    static io::Task<void> stop(Producer* producer, bool* stopped) {
        co_await producer->stop();
        *stopped = true;
    }
    void start() {
        RecordAccumulator::Options collecting;
        collecting.batch_size = 100;
        collecting.linger = Duration();
        accumulator = std::make_shared<RecordAccumulator>(
            collecting, Prng(1), [this] { return client->clock().now(); },
            [this] { client->clock().post([this] { producer->pump(); }); }, [] {});
        producer = std::make_unique<Producer>(&client->clock(), &client->ports().network, Prng(2),
                                              options, accumulator);
    }
    bool soon(const std::function<bool()>& done) {
        return scheduler.run_until(done, scheduler.now() + Duration::seconds(300));
    }
    // Sends numbers, each in a batch of its own.
    void send(int count) {
        ProducedTopic* topic = nullptr;
        {
            const auto lock = accumulator->lock();
            topic = accumulator->topic(lock, "orders");
        }
        ASSERT_TRUE(soon([&] { return !topic->lanes.empty(); }));
        const auto lock = accumulator->lock();
        for (int number = 0; number < count; ++number) {
            const std::string value = std::to_string(sent++) + std::string(60, ' ');
            deliveries.push_back(
                *accumulator
                     ->append(lock, &topic->lanes[0], WallTime{1}, std::nullopt, as_bytes(value))
                     .delivery);
        }
    }
    bool all_done() {
        for (const auto& delivery : deliveries) {
            if (!delivery->done.load()) return false;
        }
        return true;
    }
    std::vector<int> arrived() const {
        std::vector<int> numbers;
        for (const auto& value : broker.values) numbers.push_back(std::stoi(value));
        return numbers;
    }
    std::vector<int> numbers(int count) const {
        std::vector<int> all(static_cast<std::size_t>(count));
        for (int number = 0; number < count; ++number)
            all[static_cast<std::size_t>(number)] = number;
        return all;
    }

    sim::Scheduler scheduler;
    sim::Network network{scheduler};
    sim::Machine broker_machine{scheduler, network, "broker", 1 << 20, sim::Skew()};
    sim::Machine client_machine{scheduler, network, "client", 1 << 20, sim::Skew()};
    std::unique_ptr<sim::Process> broker_process = broker_machine.boot();
    std::unique_ptr<sim::Process> client = client_machine.boot();
    PartitionInMemory broker{broker_process.get()};
    Producer::Options options;
    std::shared_ptr<RecordAccumulator> accumulator;
    std::unique_ptr<Producer> producer;
    std::vector<std::shared_ptr<Delivery>> deliveries;
    int sent = 0;
};

TEST_F(ProducerTest, SeveralRequestsAreUnderWay) {
    start();
    send(50);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    EXPECT_EQ(arrived(), numbers(50));
    EXPECT_GT(broker.most_waiting, 1);
    EXPECT_LE(broker.most_waiting, 5);
    EXPECT_EQ(broker.producer_ids, 1);
    for (std::size_t number = 0; number < deliveries.size(); ++number) {
        EXPECT_EQ(deliveries[number]->base_offset, static_cast<std::int64_t>(number));
    }
}

TEST_F(ProducerTest, TheOrderSurvivesErrorsThatPass) {
    broker.outcome = [](int number) {
        if (number % 7 == 2) return ErrorCode::not_leader_or_follower;
        if (number % 11 == 5) return ErrorCode::not_enough_replicas;
        return ErrorCode::none;
    };
    start();
    send(60);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    EXPECT_EQ(arrived(), numbers(60));
    for (const auto& delivery : deliveries) EXPECT_EQ(delivery->code, ErrorCode::none);
}

TEST_F(ProducerTest, ALostAnswerMakesNoDuplicate) {
    broker.breaks = [](int number) { return number == 3 || number == 12 || number == 13; };
    start();
    send(40);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    EXPECT_EQ(arrived(), numbers(40));
    for (const auto& delivery : deliveries) EXPECT_EQ(delivery->code, ErrorCode::none);
}

TEST_F(ProducerTest, ABatchThatIsRefusedForGoodDoesNotHoldUpTheOthers) {
    broker.outcome = [](int number) {
        return number == 4 ? ErrorCode::message_too_large : ErrorCode::none;
    };
    start();
    send(20);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    std::vector<int> expected = numbers(20);
    expected.erase(expected.begin() + 4);
    EXPECT_EQ(arrived(), expected);
    EXPECT_EQ(deliveries[4]->code, ErrorCode::message_too_large);
    EXPECT_EQ(deliveries[5]->code, ErrorCode::none);
}

TEST_F(ProducerTest, WhatIsNotDeliveredInTimeFailsAndTheRestGoesOn) {
    bool refusing = true;
    broker.outcome = [&](int) {
        return refusing ? ErrorCode::not_enough_replicas : ErrorCode::none;
    };
    options.delivery_timeout = Duration::seconds(3);
    start();
    send(5);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    for (const auto& delivery : deliveries) {
        EXPECT_EQ(delivery->code, ErrorCode::request_timed_out);
        EXPECT_NE(delivery->message.find("delivery.timeout.ms"), std::string::npos);
    }
    refusing = false;
    deliveries.clear();
    send(5);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    EXPECT_EQ(arrived(), (std::vector<int>{5, 6, 7, 8, 9}));
}

TEST_F(ProducerTest, AProducerThatWasForgottenBeginsAnew) {
    broker.outcome = [](int number) {
        return number == 6 ? ErrorCode::unknown_producer_id : ErrorCode::none;
    };
    start();
    send(20);
    ASSERT_TRUE(soon([&] { return all_done(); }));
    EXPECT_EQ(arrived(), numbers(20));
}

class ProducerSeedTest : public ProducerTest, public testing::WithParamInterface<std::uint64_t> {
protected:
    ProducerSeedTest() : ProducerTest(GetParam()) {}
};

TEST_P(ProducerSeedTest, EachRecordArrivesOnceInItsPlaceWhateverPasses) {
    Prng random(GetParam());
    broker.outcome = [&](int) {
        const ErrorCode codes[] = {ErrorCode::not_leader_or_follower, ErrorCode::request_timed_out,
                                   ErrorCode::not_enough_replicas,
                                   ErrorCode::unknown_topic_or_partition};
        return random.chance(1, 5) ? codes[random.below(4)] : ErrorCode::none;
    };
    broker.breaks = [&](int) { return random.chance(1, 12); };
    options.max_in_flight = static_cast<int>(random.between(1, 5));
    start();
    for (int round = 0; round < 4; ++round) {
        send(25);
        scheduler.run_for(Duration::milliseconds(random.between(0, 20)));
    }
    ASSERT_TRUE(soon([&] { return all_done(); }));
    EXPECT_EQ(arrived(), numbers(100));
    for (const auto& delivery : deliveries) EXPECT_EQ(delivery->code, ErrorCode::none);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ProducerSeedTest, testing::Range<std::uint64_t>(0, 100));

}  // namespace
}  // namespace pabal::client
