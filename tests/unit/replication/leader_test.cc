// What a leader permits: epochs, bounds of reads, the high watermark.
#include "replication/leader.h"

#include <gtest/gtest.h>

namespace pabal::replication {
namespace {

constexpr BrokerId self{7};
constexpr LogBounds empty{Offset(0), Offset(0)};
constexpr Duration lag_max = Duration::seconds(30);

Instant at_second(std::int64_t seconds) {
    return Instant() + Duration::seconds(seconds);
}

Leadership led_by(BrokerId leader, std::int32_t epoch, std::vector<std::int32_t> others = {},
                  std::int32_t partition_epoch = 0) {
    Leadership leadership{leader, LeaderEpoch(epoch), PartitionEpoch(partition_epoch), {self}, {},
                          false};
    for (const auto id : others) leadership.replicas.push_back(BrokerId(id));
    leadership.in_sync = leadership.replicas;
    return leadership;
}

PartitionLeader leader_in_epoch(std::int32_t epoch, LogBounds log = empty,
                                std::vector<std::int32_t> others = {}) {
    PartitionLeader leader(self, log.start, log, lag_max);
    leader.lead(led_by(self, epoch, std::move(others)), log, log.end, Instant());
    return leader;
}

bool appended(PartitionLeader* leader, std::int64_t end) {
    return leader->appended(Offset(end), Offset(end), Instant());
}

FollowerFetch fetch_of(std::int32_t id, std::int64_t offset) {
    return {BrokerId(id), BrokerEpoch(1), Offset(offset), Offset(0), true};
}

ReadPlace at(std::int64_t offset) {
    return {Offset(offset)};
}

TEST(PartitionLeader, appends_only_while_it_leads) {
    PartitionLeader leader(self, Offset(0), empty, lag_max);
    EXPECT_EQ(leader.prepare(RequiredAcks::leader), ErrorCode::not_leader_or_follower);
    leader.lead(led_by(BrokerId(8), 3), empty, Offset(0), Instant());
    EXPECT_EQ(leader.prepare(RequiredAcks::leader), ErrorCode::not_leader_or_follower);
    leader.lead(led_by(self, 4), empty, Offset(0), Instant());
    EXPECT_EQ(leader.prepare(RequiredAcks::leader), ErrorCode::none);
    leader.resign();
    EXPECT_EQ(leader.prepare(RequiredAcks::leader), ErrorCode::not_leader_or_follower);
}

TEST(PartitionLeader, min_insync_replicas_binds_acks_all_only) {
    auto leader = leader_in_epoch(0, empty, {8});
    auto shrunk = led_by(self, 0, {8}, 1);
    shrunk.in_sync = {self};
    leader.lead(shrunk, empty, Offset(0), Instant());
    EXPECT_EQ(leader.prepare(RequiredAcks::all), ErrorCode::none);
    leader.set_min_in_sync_replicas(2);
    EXPECT_EQ(leader.prepare(RequiredAcks::all), ErrorCode::not_enough_replicas);
    EXPECT_EQ(leader.prepare(RequiredAcks::leader), ErrorCode::none);
    EXPECT_EQ(leader.prepare(RequiredAcks::none), ErrorCode::none);
    EXPECT_FALSE(appended(&leader, 3)) << "nothing is committed by too few (KIP-966)";
    EXPECT_EQ(leader.enough_replicas(), ErrorCode::not_enough_replicas_after_append);
}

TEST(PartitionLeader, no_more_replicas_are_asked_for_than_there_are) {
    auto leader = leader_in_epoch(0);
    leader.set_min_in_sync_replicas(2);
    EXPECT_EQ(leader.prepare(RequiredAcks::all), ErrorCode::none);
    EXPECT_TRUE(appended(&leader, 1));
}

TEST(PartitionLeader, news_of_an_older_epoch_is_no_news) {
    auto leader = leader_in_epoch(5);
    EXPECT_FALSE(leader.lead(led_by(BrokerId(8), 4), empty, Offset(0), Instant()));
    EXPECT_TRUE(leader.leads());
    EXPECT_FALSE(leader.lead(led_by(self, 5), empty, Offset(0), Instant())) << "nothing changed";
    EXPECT_TRUE(leader.lead(led_by(BrokerId(8), 6), empty, Offset(0), Instant()));
    EXPECT_FALSE(leader.leads());
}

TEST(PartitionLeader, the_high_watermark_follows_the_log_of_the_only_replica_in_sync) {
    auto leader = leader_in_epoch(0);
    EXPECT_TRUE(appended(&leader, 3));
    EXPECT_EQ(leader.high_watermark(), Offset(3));
    EXPECT_FALSE(appended(&leader, 3));
    EXPECT_FALSE(appended(&leader, 2)) << "it never goes back";
    EXPECT_EQ(leader.high_watermark(), Offset(3));
}

TEST(PartitionLeader, the_high_watermark_waits_while_others_are_in_sync) {
    auto leader = leader_in_epoch(0, empty, {8});
    EXPECT_FALSE(appended(&leader, 3));
    EXPECT_EQ(leader.high_watermark(), Offset(0));
    const LogBounds log{Offset(0), Offset(3)};
    EXPECT_TRUE(leader.fetched(fetch_of(8, 2), log, Instant()).high_watermark_moved);
    EXPECT_EQ(leader.high_watermark(), Offset(2));
    auto alone = led_by(self, 0, {8}, 1);
    alone.in_sync = {self};
    leader.judge([](const Follower&) { return false; }, Instant());
    leader.lead(alone, log, Offset(3), Instant());
    EXPECT_EQ(leader.high_watermark(), Offset(3)) << "the other left";
}

TEST(PartitionLeader, what_the_log_holds_is_committed_when_the_only_replica_takes_over) {
    PartitionLeader leader(self, Offset(2), {Offset(1), Offset(9)}, lag_max);
    EXPECT_EQ(leader.high_watermark(), Offset(2));
    leader.lead(led_by(self, 1), {Offset(1), Offset(9)}, Offset(9), Instant());
    EXPECT_EQ(leader.high_watermark(), Offset(9));
    EXPECT_EQ(PartitionLeader(self, Offset(20), {Offset(1), Offset(9)}, lag_max).high_watermark(),
              Offset(9));
    EXPECT_EQ(PartitionLeader(self, Offset(0), {Offset(4), Offset(9)}, lag_max).high_watermark(),
              Offset(4));
}

TEST(PartitionLeader, an_incarnation_of_the_past_is_not_heard) {
    auto leader = leader_in_epoch(0, empty, {8});
    auto fetch = fetch_of(8, 0);
    fetch.broker_epoch = BrokerEpoch(5);
    EXPECT_EQ(leader.fetched(fetch, empty, Instant()).error, ErrorCode::none);
    fetch.broker_epoch = BrokerEpoch(4);
    EXPECT_EQ(leader.fetched(fetch, empty, Instant()).error, ErrorCode::not_leader_or_follower);
    EXPECT_EQ(leader.fetched(fetch_of(9, 0), empty, Instant()).error,
              ErrorCode::not_leader_or_follower)
        << "no replica";
}

TEST(PartitionLeader, an_idle_follower_is_not_behind_the_moment_that_something_comes) {
    auto leader = leader_in_epoch(0, empty, {8});
    leader.fetched(fetch_of(8, 0), empty, at_second(1));
    leader.appended(Offset(1), Offset(1), at_second(3600));
    EXPECT_FALSE(leader.shrink({Offset(0), Offset(1)}, at_second(3601)));
    EXPECT_TRUE(leader.shrink({Offset(0), Offset(1)}, at_second(3631)));
}

TEST(PartitionLeader, fences_readers_by_epoch) {
    auto leader = leader_in_epoch(5);
    EXPECT_EQ(leader.check_leads(no_leader_epoch), ErrorCode::none);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(5)), ErrorCode::none);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(4)), ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(6)), ErrorCode::unknown_leader_epoch);
    leader.lead(led_by(BrokerId(8), 6), empty, Offset(0), Instant());
    EXPECT_EQ(leader.check_leads(no_leader_epoch), ErrorCode::not_leader_or_follower);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(5)), ErrorCode::fenced_leader_epoch);
}

TEST(PartitionLeader, bounds_reads_by_the_log_and_by_what_is_committed) {
    const LogBounds log{Offset(10), Offset(20)};
    auto leader = leader_in_epoch(0, log);
    const auto read = [&](std::int64_t offset, Isolation isolation) {
        return leader.readable(at(offset), isolation, log, Offset(15), std::nullopt);
    };
    EXPECT_EQ(read(9, Isolation::read_uncommitted).error, ErrorCode::offset_out_of_range);
    EXPECT_EQ(read(10, Isolation::read_uncommitted).error, ErrorCode::none);
    EXPECT_EQ(read(10, Isolation::read_uncommitted).bound, Offset(20));
    EXPECT_EQ(read(10, Isolation::read_committed).bound, Offset(15));
    EXPECT_EQ(read(20, Isolation::read_uncommitted).error, ErrorCode::none);
    EXPECT_EQ(read(21, Isolation::read_uncommitted).error, ErrorCode::offset_out_of_range);
}

TEST(PartitionLeader, an_offset_above_the_high_watermark_is_not_out_of_range) {
    const LogBounds log{Offset(0), Offset(20)};
    PartitionLeader leader(self, Offset(12), log, lag_max);
    leader.lead(led_by(self, 0, {8}), log, log.end, Instant());
    const auto read = [&](Reader reader) {
        return leader.readable(at(15), Isolation::read_uncommitted, log, Offset(12), std::nullopt,
                               reader);
    };
    EXPECT_EQ(read(Reader::consumer).error, ErrorCode::none);
    EXPECT_EQ(read(Reader::consumer).bound, Offset(12));
    EXPECT_EQ(read(Reader::follower).bound, Offset(20));
    // As a follower it does not know whether that is committed (KIP-392).
    leader.lead(led_by(BrokerId(8), 1, {8}), log, log.end, Instant());
    EXPECT_EQ(read(Reader::any_replica).error, ErrorCode::offset_not_available);
    EXPECT_EQ(read(Reader::consumer).error, ErrorCode::not_leader_or_follower);
    EXPECT_EQ(read(Reader::follower).error, ErrorCode::not_leader_or_follower);
    EXPECT_TRUE(leader.committed(Offset(16), log));
    EXPECT_EQ(read(Reader::any_replica).bound, Offset(16));
    EXPECT_FALSE(leader.committed(Offset(14), log)) << "what was committed stays so";
}

TEST(PartitionLeader, tells_where_a_readers_past_parts_from_the_log) {
    const LogBounds log{Offset(5), Offset(20)};
    auto leader = leader_in_epoch(4, log);
    ReadPlace place{Offset(18), LeaderEpoch(4), LeaderEpoch(3)};
    const auto read = [&](std::optional<EpochEnd> known) {
        return leader.readable(place, Isolation::read_uncommitted, log, Offset(20), known);
    };
    EXPECT_EQ(read(EpochEnd{LeaderEpoch(3), Offset(18)}).error, ErrorCode::none);
    EXPECT_FALSE(read(EpochEnd{LeaderEpoch(3), Offset(18)}).diverging);
    const EpochEnd shorter{LeaderEpoch(3), Offset(17)};
    EXPECT_EQ(read(shorter).diverging, shorter);
    const EpochEnd older{LeaderEpoch(2), Offset(19)};
    EXPECT_EQ(read(older).diverging, older);
    EXPECT_EQ(read(std::nullopt).error, ErrorCode::offset_out_of_range);
    place.offset = Offset(4);
    EXPECT_EQ(read(older).error, ErrorCode::offset_out_of_range);
    EXPECT_FALSE(read(older).diverging);
}

}  // namespace
}  // namespace pabal::replication
