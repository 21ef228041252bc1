// Which sessions live, which are displaced, and that news are neither lost nor told twice.
#include "broker/fetch_sessions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace pabal::broker {
namespace {

Instant at(std::int64_t seconds) {
    return Instant() + Duration::seconds(seconds);
}

std::shared_ptr<FetchSession> session_of(int partitions) {
    auto session = std::make_shared<FetchSession>(false);
    for (int i = 0; i < partitions; ++i) session->want("topic", {}, PartitionIndex(i));
    return session;
}

TEST(FetchSessions, a_session_is_resumed_with_its_epoch_only) {
    FetchSessions sessions(2, Prng(1));
    const auto id = sessions.keep(session_of(1), at(0));
    ASSERT_GT(id, 0);
    EXPECT_EQ(sessions.resume(id + 1, 1, false, at(1)).error,
              ErrorCode::fetch_session_id_not_found);
    EXPECT_EQ(sessions.resume(id, 2, false, at(1)).error, ErrorCode::invalid_fetch_session_epoch);
    EXPECT_EQ(sessions.resume(id, 1, true, at(1)).error, ErrorCode::fetch_session_topic_id_error);
    ASSERT_EQ(sessions.resume(id, 1, false, at(1)).error, ErrorCode::none);
    EXPECT_EQ(sessions.resume(id, 1, false, at(1)).error, ErrorCode::invalid_fetch_session_epoch);
    EXPECT_EQ(sessions.resume(id, 2, false, at(1)).error, ErrorCode::none);
    sessions.close(id);
    EXPECT_EQ(sessions.resume(id, 3, false, at(1)).error, ErrorCode::fetch_session_id_not_found);
}

TEST(FetchSessions, epochs_wrap_to_one) {
    EXPECT_EQ(FetchSessions::next_epoch(0), 1);
    EXPECT_EQ(FetchSessions::next_epoch(1), 2);
    EXPECT_EQ(FetchSessions::next_epoch(INT32_MAX), 1);
    EXPECT_EQ(FetchSessions::next_epoch(-1), -1);
}

TEST(FetchSessions, there_is_room_for_so_many) {
    FetchSessions sessions(2, Prng(1));
    EXPECT_GT(sessions.keep(session_of(5), at(0)), 0);
    EXPECT_GT(sessions.keep(session_of(3), at(0)), 0);
    EXPECT_EQ(sessions.keep(session_of(100), at(10)), 0) << "all are young";
    EXPECT_EQ(sessions.size(), 2u);
    EXPECT_EQ(sessions.partition_count(), 8u);
    FetchSessions none(0, Prng(1));
    EXPECT_EQ(none.keep(session_of(1), at(0)), 0);
}

TEST(FetchSessions, what_was_not_used_for_two_minutes_goes_first) {
    FetchSessions sessions(2, Prng(1));
    const auto idle = sessions.keep(session_of(5), at(0));
    const auto used = sessions.keep(session_of(3), at(0));
    ASSERT_EQ(sessions.resume(used, 1, false, at(100)).error, ErrorCode::none);
    EXPECT_GT(sessions.keep(session_of(1), at(121)), 0);
    EXPECT_EQ(sessions.resume(idle, 1, false, at(122)).error,
              ErrorCode::fetch_session_id_not_found);
    EXPECT_EQ(sessions.resume(used, 2, false, at(122)).error, ErrorCode::none);
    EXPECT_EQ(sessions.evicted_count(), 1u);
}

TEST(FetchSessions, an_old_session_gives_way_to_a_larger_one) {
    FetchSessions sessions(2, Prng(1));
    const auto large = sessions.keep(session_of(5), at(0));
    const auto small = sessions.keep(session_of(3), at(0));
    ASSERT_EQ(sessions.resume(large, 1, false, at(121)).error, ErrorCode::none);
    ASSERT_EQ(sessions.resume(small, 1, false, at(121)).error, ErrorCode::none);
    EXPECT_EQ(sessions.keep(session_of(3), at(122)), 0) << "not larger";
    EXPECT_GT(sessions.keep(session_of(4), at(122)), 0);
    EXPECT_EQ(sessions.resume(small, 2, false, at(122)).error,
              ErrorCode::fetch_session_id_not_found);
    EXPECT_EQ(sessions.resume(large, 2, false, at(122)).error, ErrorCode::none);
}

TEST(FetchSessions, the_same_chance_gives_the_same_ids) {
    FetchSessions one(3, Prng(7));
    FetchSessions two(3, Prng(7));
    EXPECT_EQ(one.keep(session_of(1), at(0)), two.keep(session_of(1), at(0)));
}

// Against a list that does everything the slow way.
TEST(FetchSession, keeps_its_partitions_and_news_like_a_naive_list) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        Prng random(seed);
        FetchSession session(true);
        std::vector<std::int32_t> order;  // As first wanted.
        std::vector<std::int32_t> news;   // The longest waiting first.
        std::vector<std::int32_t> fresh;
        const TopicId topic;
        const auto drop = [](std::vector<std::int32_t>& list, std::int32_t value) {
            list.erase(std::remove(list.begin(), list.end(), value), list.end());
        };
        const auto has = [](const std::vector<std::int32_t>& list, std::int32_t value) {
            return std::find(list.begin(), list.end(), value) != list.end();
        };
        const auto nth_news = [&](std::size_t place) {
            auto* partition = session.first_news();
            for (std::size_t i = 0; i < place; ++i) partition = FetchSession::next_news(partition);
            return partition;
        };
        for (int step = 0; step < 500; ++step) {
            const auto index = static_cast<std::int32_t>(random.below(20));
            switch (random.below(5)) {
                case 0:
                case 1:
                    EXPECT_EQ(session.want("", topic, PartitionIndex(index))->index.value(), index);
                    if (!has(order, index)) order.push_back(index);
                    if (!has(news, index)) news.push_back(index);
                    if (!has(fresh, index)) fresh.push_back(index);
                    break;
                case 2:
                    EXPECT_EQ(session.forget("", topic, PartitionIndex(index)), has(order, index));
                    drop(order, index);
                    drop(news, index);
                    drop(fresh, index);
                    break;
                case 3:
                    if (news.empty()) break;
                    if (random.chance(1, 2)) {
                        auto* partition = nth_news(random.below(news.size()));
                        const auto value = partition->index.value();
                        session.remove_news(partition);
                        drop(news, value);
                    } else {
                        auto* partition = nth_news(random.below(news.size()));
                        const auto value = partition->index.value();
                        session.move_to_end(partition);
                        drop(news, value);
                        news.push_back(value);
                    }
                    break;
                default: {
                    std::vector<std::int32_t> taken;
                    for (auto* partition : session.take_fresh())
                        taken.push_back(partition->index.value());
                    ASSERT_EQ(taken, fresh) << "seed " << seed;
                    fresh.clear();
                }
            }
            std::vector<std::int32_t> have;
            for (auto* partition = session.first_news(); partition;
                 partition = FetchSession::next_news(partition))
                have.push_back(partition->index.value());
            ASSERT_EQ(have, news) << "seed " << seed << " step " << step;
            ASSERT_EQ(session.size(), order.size());
        }
        std::vector<std::int32_t> all;
        for (const auto* partition : session.in_order()) all.push_back(partition->index.value());
        EXPECT_EQ(all, order);
    }
}

}  // namespace
}  // namespace pabal::broker
