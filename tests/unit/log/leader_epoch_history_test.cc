#include "log/leader_epoch_history.h"

#include <gtest/gtest.h>

namespace pabal::log {
namespace {

using Entry = LeaderEpochHistory::Entry;

LeaderEpochHistory history() {
    LeaderEpochHistory made;
    made.assign(LeaderEpoch(2), Offset(10));
    made.assign(LeaderEpoch(3), Offset(20));
    made.assign(LeaderEpoch(6), Offset(40));
    return made;
}

TEST(LeaderEpochHistoryTest, AnswersWhereAnEpochEnded) {
    const auto known = history();
    EXPECT_EQ(known.end_of(LeaderEpoch(1), Offset(50)), (Entry{LeaderEpoch(1), Offset(10)}));
    EXPECT_EQ(known.end_of(LeaderEpoch(2), Offset(50)), (Entry{LeaderEpoch(2), Offset(20)}));
    EXPECT_EQ(known.end_of(LeaderEpoch(3), Offset(50)), (Entry{LeaderEpoch(3), Offset(40)}));
    EXPECT_EQ(known.end_of(LeaderEpoch(5), Offset(50)), (Entry{LeaderEpoch(3), Offset(40)}));
    EXPECT_EQ(known.end_of(LeaderEpoch(6), Offset(50)), (Entry{LeaderEpoch(6), Offset(50)}));
    EXPECT_EQ(known.end_of(LeaderEpoch(7), Offset(50)), std::nullopt);
    EXPECT_EQ(known.end_of(LeaderEpoch(-1), Offset(50)), std::nullopt);
    EXPECT_EQ(LeaderEpochHistory().end_of(LeaderEpoch(0), Offset(0)), std::nullopt);
}

TEST(LeaderEpochHistoryTest, NewFactsReplaceThoseThatContradictThem) {
    auto known = history();
    EXPECT_FALSE(known.assign(LeaderEpoch(6), Offset(45)));
    EXPECT_TRUE(known.assign(LeaderEpoch(7), Offset(30)));
    EXPECT_EQ(known.entries(), (std::vector<Entry>{{LeaderEpoch(2), Offset(10)},
                                                   {LeaderEpoch(3), Offset(20)},
                                                   {LeaderEpoch(7), Offset(30)}}));
    EXPECT_TRUE(known.assign(LeaderEpoch(3), Offset(50)));
    EXPECT_EQ(known.latest(), LeaderEpoch(3));
}

TEST(LeaderEpochHistoryTest, TruncatesAtBothEnds) {
    auto known = history();
    EXPECT_FALSE(known.truncate_from_end(Offset(41)));
    EXPECT_TRUE(known.truncate_from_end(Offset(40)));
    EXPECT_EQ(known.latest(), LeaderEpoch(3));
    EXPECT_FALSE(known.truncate_from_start(Offset(9)));
    EXPECT_FALSE(known.truncate_from_start(Offset(10)));
    EXPECT_TRUE(known.truncate_from_start(Offset(25)));
    EXPECT_EQ(known.entries(), (std::vector<Entry>{{LeaderEpoch(3), Offset(25)}}));
    EXPECT_EQ(known.epoch_of(Offset(24)), std::nullopt);
    EXPECT_EQ(known.epoch_of(Offset(25)), LeaderEpoch(3));
}

TEST(LeaderEpochHistoryTest, ReadsAndWritesKafkasText) {
    EXPECT_EQ(history().text(), "0\n3\n2 10\n3 20\n6 40\n");
    const auto parsed = LeaderEpochHistory::parse("0\n3\n2 10\n3 20\n6 40\n");
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->entries(), history().entries());
    for (const char* bad : {"", "0\n", "1\n0\n", "0\n2\n1 1\n", "0\n1\n1\n", "0\n1\n1 x\n",
                            "0\n1\n-1 5\n", "0\n1\n1 2 3\n", "0\n1\n99999999999 2\n"}) {
        EXPECT_FALSE(LeaderEpochHistory::parse(bad).ok()) << bad;
    }
}

}  // namespace
}  // namespace pabal::log
