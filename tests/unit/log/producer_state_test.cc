#include "log/producer_state.h"

#include <gtest/gtest.h>

#include "log/partition_log.h"

namespace pabal::log {
namespace {

constexpr Duration day = Duration::seconds(24 * 3600);
constexpr WallTime now{1'000'000'000};

struct Step {
    int line;
    std::int64_t producer;
    int epoch;
    std::int32_t base_sequence;
    std::int32_t last_sequence;
    const char* outcome;  // "ok", "duplicate of N", or an error's name.
    AppendOrigin origin = AppendOrigin::client;
    bool transactional = false;
};

// What a partition answers to these batches, one after the other.
void play(const std::vector<Step>& steps) {
    ProducerState state;
    std::int64_t next = 0;
    for (const Step& step : steps) {
        SCOPED_TRACE("line " + std::to_string(step.line));
        ProducerBatch batch;
        batch.producer = ProducerId(step.producer);
        batch.epoch = ProducerEpoch(static_cast<std::int16_t>(step.epoch));
        batch.base_sequence = step.base_sequence;
        batch.last_sequence = step.last_sequence;
        const std::int64_t count =
            (std::int64_t{step.last_sequence} - step.base_sequence) & INT32_MAX;
        batch.base_offset = Offset(next);
        batch.last_offset = Offset(next + count);
        batch.max_timestamp = now.milliseconds;
        batch.transactional = step.transactional;

        std::string outcome = "ok";
        if (step.origin == AppendOrigin::client) {
            if (const auto known = state.duplicate_of(batch))
                outcome = "duplicate of " + std::to_string(known->base_offset.value());
        }
        if (outcome == "ok") {
            const auto status = state.check(batch, step.origin);
            if (!status.ok()) {
                switch (status.error().code) {
                    case ErrorCode::out_of_order_sequence_number: outcome = "gap"; break;
                    case ErrorCode::invalid_producer_epoch: outcome = "fenced"; break;
                    case ErrorCode::invalid_txn_state: outcome = "state"; break;
                    default: outcome = status.error().message;
                }
            }
        }
        EXPECT_EQ(outcome, step.outcome);
        if (outcome == "ok") {
            state.appended(batch);
            next += count + 1;
        }
    }
}

TEST(ProducerStateTest, SequencesMustFollowOneAnother) {
    play({
        {__LINE__, 1, 0, 0, 4, "ok"},  // offsets 0-4
        {__LINE__, 1, 0, 5, 5, "ok"},  // 5
        {__LINE__, 1, 0, 7, 7, "gap"},
        {__LINE__, 1, 0, 6, 9, "ok"},   // 6-9
        {__LINE__, 1, 0, 8, 9, "gap"},  // Half of a batch is no duplicate.
        {__LINE__, 1, 0, 6, 9, "duplicate of 6"},
        {__LINE__, 1, 0, 0, 4, "duplicate of 0"},
        {__LINE__, 2, 0, 0, 0, "ok"},    // Another producer has its own numbers.
        {__LINE__, 3, 5, 77, 78, "ok"},  // A history may begin anywhere (KAFKA-5793).
        {__LINE__, 3, 5, 79, 79, "ok"},
    });
}

TEST(ProducerStateTest, RemembersFiveBatches) {
    play({
        {__LINE__, 1, 0, 0, 0, "ok"},
        {__LINE__, 1, 0, 1, 1, "ok"},
        {__LINE__, 1, 0, 2, 2, "ok"},
        {__LINE__, 1, 0, 3, 3, "ok"},
        {__LINE__, 1, 0, 4, 4, "ok"},
        {__LINE__, 1, 0, 0, 0, "duplicate of 0"},
        {__LINE__, 1, 0, 5, 5, "ok"},
        {__LINE__, 1, 0, 0, 0, "gap"},
        {__LINE__, 1, 0, 1, 1, "duplicate of 1"},
    });
}

TEST(ProducerStateTest, SequencesWrapAround) {
    play({
        {__LINE__, 1, 0, INT32_MAX - 2, INT32_MAX - 1, "ok"},
        {__LINE__, 1, 0, INT32_MAX, 1, "ok"},  // Three records: the largest, 0 and 1.
        {__LINE__, 1, 0, 2, 2, "ok"},
        {__LINE__, 1, 0, INT32_MAX, 1, "duplicate of 2"},
    });
    play({
        {__LINE__, 1, 0, 5, INT32_MAX, "ok"},
        {__LINE__, 1, 0, 1, 1, "gap"},
        {__LINE__, 1, 0, 0, 0, "ok"},
    });
}

TEST(ProducerStateTest, EpochsFenceAndBeginAgainAtZero) {
    play({
        {__LINE__, 1, 1, 0, 0, "ok"},
        {__LINE__, 1, 0, 1, 1, "fenced"},
        {__LINE__, 1, 2, 1, 1, "gap"},
        {__LINE__, 1, 2, 0, 0, "ok"},
        {__LINE__, 1, 1, 0, 0, "fenced"},  // Duplicates of an older epoch are none.
        {__LINE__, 1, 2, 0, 0, "duplicate of 1"},
    });
}

TEST(ProducerStateTest, CoordinatorsAreAskedForTheirEpochOnly) {
    constexpr auto coordinator = AppendOrigin::coordinator;
    play({
        {__LINE__, 1, 1, -1, -1, "ok", coordinator, true},
        {__LINE__, 1, 1, -1, -1, "ok", coordinator, true},
        {__LINE__, 1, 0, -1, -1, "fenced", coordinator, true},
        {__LINE__, 1, 1, 0, 0, "ok", AppendOrigin::client, true},
        {__LINE__, 1, 1, 1, 1, "state", AppendOrigin::client, false},
    });
}

ProducerBatch data(std::int64_t producer, std::int64_t base, std::int64_t last, int sequence) {
    ProducerBatch batch;
    batch.producer = ProducerId(producer);
    batch.epoch = ProducerEpoch(0);
    batch.base_sequence = sequence;
    batch.last_sequence = sequence + static_cast<int>(last - base);
    batch.base_offset = Offset(base);
    batch.last_offset = Offset(last);
    batch.max_timestamp = now.milliseconds;
    batch.transactional = true;
    return batch;
}

ProducerBatch end(std::int64_t producer, std::int64_t offset, bool abort,
                  int coordinator_epoch = 0) {
    ProducerBatch batch = data(producer, offset, offset, -1);
    batch.marker = ProducerBatch::Marker{abort, coordinator_epoch};
    return batch;
}

TEST(ProducerStateTest, OpenTransactionsHoldTheStableOffsetBack) {
    ProducerState state;
    EXPECT_EQ(state.first_unstable_offset(Offset(0)), std::nullopt);
    state.appended(data(1, 0, 4, 0));
    state.appended(data(2, 5, 9, 0));
    EXPECT_EQ(state.first_unstable_offset(Offset(10)), Offset(0));

    auto completed = state.appended(end(1, 10, true));
    ASSERT_TRUE(completed.has_value());
    EXPECT_TRUE(completed->aborted);
    EXPECT_EQ(completed->first_offset, Offset(0));
    EXPECT_EQ(completed->last_offset, Offset(10));
    EXPECT_EQ(completed->last_stable_offset, Offset(5));
    // Decided, but the marker is not replicated before the high watermark has passed it.
    EXPECT_EQ(state.first_unstable_offset(Offset(10)), Offset(0));
    EXPECT_EQ(state.first_unstable_offset(Offset(11)), Offset(5));

    completed = state.appended(end(2, 11, false));
    ASSERT_TRUE(completed.has_value());
    EXPECT_FALSE(completed->aborted);
    EXPECT_EQ(completed->last_stable_offset, Offset(12));
    state.forget_completed_below(Offset(11));
    EXPECT_EQ(state.first_unstable_offset(Offset(11)), Offset(5));
    EXPECT_EQ(state.first_unstable_offset(Offset(12)), std::nullopt);

    EXPECT_EQ(state.appended(end(2, 12, false)), std::nullopt) << "it ended nothing";
}

TEST(ProducerStateTest, OldCoordinatorsAreFenced) {
    ProducerState state;
    state.appended(data(1, 0, 0, 0));
    state.appended(end(1, 1, false, 7));
    const auto status = state.check(end(1, 2, false, 6), AppendOrigin::coordinator);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::transaction_coordinator_fenced);
    EXPECT_TRUE(state.check(end(1, 2, false, 7), AppendOrigin::coordinator).ok());
}

TEST(ProducerStateTest, SnapshotsKeepTheLastBatchAndOpenTransactions) {
    ProducerState state;
    state.appended(data(1, 0, 4, 0));
    state.appended(data(1, 5, 6, 5));
    state.appended(data(9, 7, 7, 0));
    state.appended(end(9, 8, true, 3));
    const std::string snapshot = state.snapshot();
    EXPECT_EQ(snapshot.size(), 10u + 2 * 46);

    ProducerState loaded;
    ASSERT_TRUE(loaded.load_snapshot(as_bytes(snapshot), now, day).ok());
    EXPECT_EQ(loaded.snapshot(), snapshot);
    EXPECT_EQ(loaded.first_unstable_offset(Offset(100)), Offset(0));
    EXPECT_EQ(loaded.duplicate_of(data(1, 50, 51, 5))->base_offset, Offset(5));
    EXPECT_EQ(loaded.duplicate_of(data(1, 50, 54, 0)), std::nullopt);
    const auto producers = loaded.active_producers();
    ASSERT_EQ(producers.size(), 2u);
    EXPECT_EQ(producers[0].last_sequence, 6);
    EXPECT_EQ(producers[0].transaction_start, Offset(0));
    EXPECT_EQ(producers[1].coordinator_epoch, 3);

    for (std::size_t i = 0; i < snapshot.size(); ++i) {
        std::string damaged = snapshot;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        EXPECT_FALSE(ProducerState().load_snapshot(as_bytes(damaged), now, day).ok()) << i;
        EXPECT_FALSE(ProducerState().load_snapshot(as_bytes(snapshot.substr(0, i)), now, day).ok())
            << i;
    }
}

TEST(ProducerStateTest, IdleProducersAreForgottenButNotThoseInATransaction) {
    ProducerState state;
    state.appended(data(1, 0, 0, 0));
    auto plain = data(2, 1, 1, 0);
    plain.transactional = false;
    state.appended(plain);
    const WallTime later{now.milliseconds + day.to_milliseconds()};
    state.forget_expired(WallTime{later.milliseconds - 1}, day);
    EXPECT_EQ(state.producer_count(), 2u);
    const std::string snapshot = state.snapshot();
    state.forget_expired(later, day);
    EXPECT_EQ(state.producer_count(), 1u);
    ProducerState loaded;
    ASSERT_TRUE(loaded.load_snapshot(as_bytes(snapshot), later, day).ok());
    EXPECT_EQ(loaded.producer_count(), 1u);
}

}  // namespace
}  // namespace pabal::log
