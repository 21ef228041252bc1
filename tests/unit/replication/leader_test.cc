// What a leader permits: epochs, bounds of reads, the high watermark.
#include "replication/leader.h"

#include <gtest/gtest.h>

namespace pabal::replication {
namespace {

constexpr BrokerId self{7};
constexpr LogBounds empty{Offset(0), Offset(0)};

PartitionLeader leader_in_epoch(std::int32_t epoch, LogBounds log = empty,
                                std::int32_t in_sync = 1) {
    PartitionLeader leader(self, log.start, log);
    leader.lead({self, LeaderEpoch(epoch), in_sync}, log);
    return leader;
}

ReadPlace at(std::int64_t offset) {
    return {Offset(offset)};
}

TEST(PartitionLeader, appends_only_while_it_leads) {
    PartitionLeader leader(self, Offset(0), empty);
    EXPECT_EQ(leader.prepare(RequiredAcks::leader, 1), ErrorCode::not_leader_or_follower);
    leader.lead({BrokerId(8), LeaderEpoch(3), 1}, empty);
    EXPECT_EQ(leader.prepare(RequiredAcks::leader, 1), ErrorCode::not_leader_or_follower);
    leader.lead({self, LeaderEpoch(4), 1}, empty);
    EXPECT_EQ(leader.prepare(RequiredAcks::leader, 1), ErrorCode::none);
    leader.resign();
    EXPECT_EQ(leader.prepare(RequiredAcks::leader, 1), ErrorCode::not_leader_or_follower);
}

TEST(PartitionLeader, min_insync_replicas_binds_acks_all_only) {
    auto leader = leader_in_epoch(0);
    EXPECT_EQ(leader.prepare(RequiredAcks::all, 1), ErrorCode::none);
    EXPECT_EQ(leader.prepare(RequiredAcks::all, 2), ErrorCode::not_enough_replicas);
    EXPECT_EQ(leader.prepare(RequiredAcks::leader, 2), ErrorCode::none);
    EXPECT_EQ(leader.prepare(RequiredAcks::none, 2), ErrorCode::none);
}

TEST(PartitionLeader, news_of_an_older_epoch_is_no_news) {
    auto leader = leader_in_epoch(5);
    EXPECT_FALSE(leader.lead({BrokerId(8), LeaderEpoch(4), 1}, empty));
    EXPECT_TRUE(leader.leads());
    EXPECT_FALSE(leader.lead({self, LeaderEpoch(5), 1}, empty)) << "nothing changed";
    EXPECT_TRUE(leader.lead({BrokerId(8), LeaderEpoch(6), 1}, empty));
    EXPECT_FALSE(leader.leads());
}

TEST(PartitionLeader, the_high_watermark_follows_the_log_of_the_only_replica_in_sync) {
    auto leader = leader_in_epoch(0);
    EXPECT_TRUE(leader.appended(Offset(3)));
    EXPECT_EQ(leader.high_watermark(), Offset(3));
    EXPECT_FALSE(leader.appended(Offset(3)));
    EXPECT_FALSE(leader.appended(Offset(2))) << "it never goes back";
    EXPECT_EQ(leader.high_watermark(), Offset(3));
}

TEST(PartitionLeader, the_high_watermark_waits_while_others_are_in_sync) {
    auto leader = leader_in_epoch(0, empty, 2);
    EXPECT_FALSE(leader.appended(Offset(3)));
    EXPECT_EQ(leader.high_watermark(), Offset(0));
    leader.lead({self, LeaderEpoch(0), 1}, {Offset(0), Offset(3)});
    EXPECT_EQ(leader.high_watermark(), Offset(3)) << "the other left";
}

TEST(PartitionLeader, what_the_log_holds_is_committed_when_the_only_replica_takes_over) {
    PartitionLeader leader(self, Offset(2), {Offset(1), Offset(9)});
    EXPECT_EQ(leader.high_watermark(), Offset(2));
    leader.lead({self, LeaderEpoch(1), 1}, {Offset(1), Offset(9)});
    EXPECT_EQ(leader.high_watermark(), Offset(9));
    EXPECT_EQ(PartitionLeader(self, Offset(20), {Offset(1), Offset(9)}).high_watermark(),
              Offset(9));
    EXPECT_EQ(PartitionLeader(self, Offset(0), {Offset(4), Offset(9)}).high_watermark(), Offset(4));
}

TEST(PartitionLeader, fences_readers_by_epoch) {
    auto leader = leader_in_epoch(5);
    EXPECT_EQ(leader.check_leads(no_leader_epoch), ErrorCode::none);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(5)), ErrorCode::none);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(4)), ErrorCode::fenced_leader_epoch);
    EXPECT_EQ(leader.check_leads(LeaderEpoch(6)), ErrorCode::unknown_leader_epoch);
    leader.lead({BrokerId(8), LeaderEpoch(6), 1}, empty);
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
    PartitionLeader leader(self, Offset(12), log);
    leader.lead({self, LeaderEpoch(0), 2}, log);
    const auto readable =
        leader.readable(at(15), Isolation::read_uncommitted, log, Offset(12), std::nullopt);
    EXPECT_EQ(readable.error, ErrorCode::none);
    EXPECT_EQ(readable.bound, Offset(12));
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
