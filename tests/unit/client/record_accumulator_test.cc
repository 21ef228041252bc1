#include "client/record_accumulator.h"

#include <gtest/gtest.h>

#include <set>

#include "client/partitioner.h"
#include "record/batch_builder.h"
#include "record/record_batch.h"

namespace pabal::client {
namespace {

class RecordAccumulatorTest : public testing::Test {
protected:
    std::shared_ptr<RecordAccumulator> make(RecordAccumulator::Options options) {
        made.push_back(std::make_shared<RecordAccumulator>(
            options, Prng(1), [this] { return now; }, [this] { ++wakes; }, [this] { ++tellings; }));
        return made.back();
    }
    // Deliveries hold on to their accumulator until it is closed.
    ~RecordAccumulatorTest() override {
        for (const auto& one : made) {
            one->close(Error{ErrorCode::network_exception, "closed"});
            const auto lock = one->lock();
            one->take_told(lock);
        }
    }
    // A topic with so many partitions.
    ProducedTopic* topic(RecordAccumulator& to, std::size_t partitions) {
        ProducedTopic* topic = nullptr;
        {
            const auto lock = to.lock();
            topic = to.topic(lock, "orders");
        }
        to.set_partitions("orders", partitions);
        return topic;
    }
    static RecordAccumulator::Appended append(RecordAccumulator& to, Lane* lane,
                                              std::string_view value) {
        const auto lock = to.lock();
        return to.append(lock, lane, WallTime{1000}, std::nullopt, as_bytes(value));
    }

    std::vector<std::shared_ptr<RecordAccumulator>> made;
    Instant now = Instant::from_nanoseconds(1'000'000'000);
    int wakes = 0;
    int tellings = 0;
};

TEST_F(RecordAccumulatorTest, EncodesAsTheBuilderOfBatchesDoes) {
    auto to = make({});
    Lane* lane = &topic(*to, 1)->lanes[0];
    record::RecordBatchBuilder builder;
    const std::string header_value = "v";
    const record::RecordHeader headers[] = {{"h", as_bytes(header_value)}, {"null", std::nullopt}};
    const std::pair<std::optional<std::string>, std::optional<std::string>> samples[] = {
        {"key", "value"}, {std::nullopt, "x"}, {"", std::nullopt}, {std::string(300, 'k'), ""}};
    std::int64_t timestamp = 5000;
    for (const auto& [key, value] : samples) {
        const auto view = [](const std::optional<std::string>& text) {
            return text ? std::optional<ByteView>(as_bytes(*text)) : std::nullopt;
        };
        const auto lock = to->lock();
        to->append(lock, lane, WallTime{timestamp}, view(key), view(value), headers);
        builder.append(WallTime{timestamp}, view(key), view(value), headers);
        timestamp -= 700;  // Producers may go back in time.
    }
    Instant due;
    auto batch = to->pull(lane, now + Duration::seconds(1), &due);
    ASSERT_TRUE(batch);
    const Bytes built = builder.build();
    const ByteView expected = built.view().subspan(record::header_size);
    ASSERT_EQ(batch->size_bytes, expected.size());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch->content.data()));
    EXPECT_EQ(batch->record_count, 4);
    EXPECT_EQ(batch->base_timestamp, 5000);
    EXPECT_EQ(batch->max_timestamp, 5000);
    to->complete(std::move(batch), 0, WallTime{});
}

TEST_F(RecordAccumulatorTest, ABatchLingersUnlessItIsFullOrSomebodyWaits) {
    RecordAccumulator::Options options;
    options.batch_size = 200;
    options.linger = Duration::milliseconds(10);
    auto to = make(options);
    Lane* lane = &topic(*to, 1)->lanes[0];
    const auto first = *append(*to, lane, "a").delivery;
    Instant due;
    EXPECT_FALSE(to->pull(lane, now, &due));
    EXPECT_EQ(due, now + options.linger);
    {
        const auto lock = to->lock();
        to->hurry(lock, first.get());
    }
    auto batch = to->pull(lane, now, &due);
    ASSERT_TRUE(batch);
    to->complete(std::move(batch), 7, WallTime{});
    EXPECT_TRUE(first->done.load());
    EXPECT_EQ(first->base_offset, 7);

    append(*to, lane, std::string(150, 'x'));
    append(*to, lane, std::string(150, 'x'));
    batch = to->pull(lane, now, &due);
    ASSERT_TRUE(batch);  // The first one is full.
    EXPECT_EQ(batch->record_count, 1);
    to->complete(std::move(batch), 8, WallTime{});
    EXPECT_FALSE(to->pull(lane, now, &due));
    std::uint64_t all = 0;
    {
        const auto lock = to->lock();
        all = to->flush(lock);
        EXPECT_FALSE(to->ended_before(lock, all));
    }
    batch = to->pull(lane, now, &due);
    ASSERT_TRUE(batch);
    to->fail(std::move(batch), Error{ErrorCode::message_too_large, "large"});
    const auto lock = to->lock();
    EXPECT_TRUE(to->ended_before(lock, all));
    const auto failures = to->take_failures(lock);
    ASSERT_EQ(failures.size(), 1u);
    EXPECT_EQ(failures[0].record_count, 1u);
    EXPECT_EQ(failures[0].error.message, "large");
    EXPECT_EQ(to->outstanding_records(lock), 0u);
}

TEST_F(RecordAccumulatorTest, MemoryIsBoundedAndComesBack) {
    RecordAccumulator::Options options;
    options.buffer_memory = 1000;
    auto to = make(options);
    Lane* lane = &topic(*to, 1)->lanes[0];
    append(*to, lane, std::string(900, 'x'));
    {
        const auto lock = to->lock();
        EXPECT_FALSE(to->has_room(lock, 200));
    }
    Instant due;
    auto batch = to->pull(lane, now, &due);  // Short of memory, nothing lingers.
    ASSERT_TRUE(batch);
    to->complete(std::move(batch), 0, WallTime{});
    const auto lock = to->lock();
    EXPECT_TRUE(to->has_room(lock, 900));
}

TEST_F(RecordAccumulatorTest, KeysChooseByMurmur2AndOthersStayForABatch) {
    RecordAccumulator::Options options;
    options.batch_size = 500;
    auto to = make(options);
    ProducedTopic* orders = topic(*to, 5);
    const auto lock = to->lock();
    for (const std::string key : {"a", "b", "table-7", ""}) {
        EXPECT_EQ(to->choose(lock, orders, as_bytes(key)), partition_for_key(as_bytes(key), 5));
    }
    std::set<PartitionIndex> chosen;
    int changes = 0;
    PartitionIndex last(-1);
    const std::string value(100, 'x');
    for (int count = 0; count < 500; ++count) {
        const PartitionIndex partition = to->choose(lock, orders, std::nullopt);
        changes += partition != last;
        last = partition;
        chosen.insert(partition);
        Lane* lane = &orders->lanes[static_cast<std::size_t>(partition.value())];
        to->append(lock, lane, WallTime{1}, std::nullopt, as_bytes(value));
    }
    EXPECT_EQ(chosen.size(), 5u);
    EXPECT_LT(changes, 150);
}

TEST_F(RecordAccumulatorTest, WhoeverIsWatchedIsToldOf) {
    auto to = make({});
    Lane* lane = &topic(*to, 1)->lanes[0];
    const auto delivery = *append(*to, lane, "a").delivery;
    {
        const auto lock = to->lock();
        delivery->watched = true;
    }
    to->close(Error{ErrorCode::network_exception, "closed"});
    EXPECT_EQ(tellings, 1);
    EXPECT_TRUE(delivery->done.load());
    const auto lock = to->lock();
    EXPECT_EQ(to->take_told(lock).size(), 1u);
    EXPECT_TRUE(to->is_closed(lock));
}

}  // namespace
}  // namespace pabal::client
