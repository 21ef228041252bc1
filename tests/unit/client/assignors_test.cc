#include "client/assignors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/prng.h"

namespace pabal::client {
namespace {

using Counts = std::map<std::string, std::int32_t>;
using Members = std::vector<MemberSubscription>;

MemberSubscription member(std::string id, std::vector<std::string> topics) {
    MemberSubscription one;
    one.member_id = std::move(id);
    one.topics = std::move(topics);
    return one;
}

std::string text(const std::vector<NamedPartition>& partitions) {
    std::string out;
    for (const auto& partition : partitions) {
        out += (out.empty() ? "" : " ") + partition.topic +
               std::to_string(partition.partition.value());
    }
    return out;
}

std::map<std::string, std::string> texts(const Assignments& assignments) {
    std::map<std::string, std::string> out;
    for (const auto& [id, partitions] : assignments) out[id] = text(partitions);
    return out;
}

using Texts = std::map<std::string, std::string>;

// As Kafka's documentation has it: two topics of three partitions, two members.
TEST(Assignors, RangeDividesEachTopic) {
    const Members members = {member("C1", {"t", "u"}), member("C0", {"t", "u"})};
    EXPECT_EQ(texts(assign(Assignor::range, members, {{"t", 3}, {"u", 3}})),
              (Texts{{"C0", "t0 t1 u0 u1"}, {"C1", "t2 u2"}}));
}

TEST(Assignors, RoundRobinDealsOneByOne) {
    const Members members = {member("C0", {"t", "u"}), member("C1", {"t", "u"})};
    EXPECT_EQ(texts(assign(Assignor::round_robin, members, {{"t", 3}, {"u", 3}})),
              (Texts{{"C0", "t0 t2 u1"}, {"C1", "t1 u0 u2"}}));
}

// As Kafka's documentation has it: three topics of one, two and three partitions.
TEST(Assignors, RoundRobinSkipsThoseWhoDoNotRead) {
    const Members members = {member("C0", {"t"}), member("C1", {"t", "u"}),
                             member("C2", {"t", "u", "v"})};
    EXPECT_EQ(texts(assign(Assignor::round_robin, members, {{"t", 1}, {"u", 2}, {"v", 3}})),
              (Texts{{"C0", "t0"}, {"C1", "u0"}, {"C2", "u1 v0 v1 v2"}}));
}

TEST(Assignors, StaticMembersComeFirstByTheirOwnNames) {
    Members members = {member("a", {"t"}), member("b", {"t"}), member("c", {"t"})};
    members[1].instance_id = "z";
    members[2].instance_id = "y";
    EXPECT_EQ(texts(assign(Assignor::range, members, {{"t", 3}})),
              (Texts{{"a", "t2"}, {"b", "t1"}, {"c", "t0"}}));
}

TEST(Assignors, WhatDoesNotExistIsNobodys) {
    const Members members = {member("a", {"no"}), member("b", {})};
    for (const Assignor assignor :
         {Assignor::range, Assignor::round_robin, Assignor::sticky, Assignor::cooperative_sticky}) {
        EXPECT_EQ(texts(assign(assignor, members, {{"t", 3}})), (Texts{{"a", ""}, {"b", ""}}));
    }
}

TEST(Assignors, StickyLeavesEverybodyWhatItHasAsFarAsThatIsFair) {
    const Counts counts = {{"t", 6}};
    Members members = {member("a", {"t"}), member("b", {"t"})};
    auto first = assign(Assignor::sticky, members, counts);
    for (auto& one : members) {
        one.owned = first[one.member_id];
        one.generation = 1;
    }
    members.push_back(member("c", {"t"}));
    const auto second = assign(Assignor::sticky, members, counts);
    for (const auto& one : members) {
        EXPECT_EQ(second.at(one.member_id).size(), 2u);
        if (one.owned.empty()) continue;
        for (const auto& partition : second.at(one.member_id)) {
            EXPECT_TRUE(std::count(one.owned.begin(), one.owned.end(), partition));
        }
    }
}

TEST(Assignors, TheLaterClaimIsRightAndADisputedOneNobodys) {
    Members members = {member("a", {"t"}), member("b", {"t"})};
    const NamedPartition zero{"t", PartitionIndex(0)};
    const NamedPartition one{"t", PartitionIndex(1)};
    members[0].owned = {zero};
    members[0].generation = 1;
    members[1].owned = {zero, one};
    members[1].generation = 2;
    EXPECT_EQ(texts(assign(Assignor::sticky, members, {{"t", 3}})),
              (Texts{{"a", "t2"}, {"b", "t0 t1"}}));
    members[0].generation = 2;
    EXPECT_EQ(texts(assign(Assignor::sticky, members, {{"t", 2}})),
              (Texts{{"a", "t0"}, {"b", "t1"}}));
}

TEST(Assignors, CooperativeGivesNobodyWhatAnotherHasYetToGiveUp) {
    Members members = {member("a", {"t"}), member("b", {"t"})};
    for (int index = 0; index < 4; ++index) {
        members[0].owned.push_back({"t", PartitionIndex(index)});
    }
    members[0].generation = 1;
    const auto first = assign(Assignor::cooperative_sticky, members, {{"t", 4}});
    EXPECT_EQ(first.at("a").size(), 2u);
    EXPECT_TRUE(first.at("b").empty());
    members[0].owned = first.at("a");
    members[0].generation = 2;
    const auto second = assign(Assignor::cooperative_sticky, members, {{"t", 4}});
    EXPECT_EQ(second.at("a"), first.at("a"));
    EXPECT_EQ(second.at("b").size(), 2u);
}

// Whatever members, topics and pasts there are: each partition of a topic that somebody reads has
// one reader, who subscribed to it; and nobody has two fewer than somebody who could give it one.
TEST(Assignors, AlwaysAssignEverythingOnceAndFairly) {
    Prng random(42);
    for (int round = 0; round < 300; ++round) {
        Counts counts;
        for (const char* topic : {"t", "u", "v"}) {
            if (random.between(0, 3) > 0) counts[topic] = static_cast<int>(random.between(1, 9));
        }
        Members members;
        const auto size = random.between(1, 6);
        for (std::int64_t index = 0; index < size; ++index) {
            auto one = member("m" + std::to_string(index), {});
            for (const char* topic : {"t", "u", "v"}) {
                if (random.between(0, 2) > 0) one.topics.push_back(topic);
            }
            one.generation = static_cast<std::int32_t>(random.between(-1, 3));
            for (std::int64_t owned = random.between(0, 8); owned > 0; --owned) {
                one.owned.push_back({random.between(0, 1) ? "t" : "u",
                                     PartitionIndex(static_cast<int>(random.between(0, 10)))});
            }
            members.push_back(std::move(one));
        }
        for (const Assignor assignor : {Assignor::range, Assignor::round_robin, Assignor::sticky}) {
            const auto assignments = assign(assignor, members, counts);
            std::set<NamedPartition> seen;
            for (const auto& one : members) {
                for (const auto& partition : assignments.at(one.member_id)) {
                    EXPECT_TRUE(seen.insert(partition).second);
                    EXPECT_TRUE(std::count(one.topics.begin(), one.topics.end(), partition.topic));
                }
            }
            std::size_t wanted = 0;
            for (const auto& [topic, count] : counts) {
                const bool read = std::any_of(members.begin(), members.end(), [&](const auto& one) {
                    return std::count(one.topics.begin(), one.topics.end(), topic) > 0;
                });
                if (read) wanted += static_cast<std::size_t>(count);
            }
            EXPECT_EQ(seen.size(), wanted);
            if (assignor != Assignor::sticky) continue;
            for (const auto& one : members) {
                const auto load = assignments.at(one.member_id).size();
                for (const auto& [other, partitions] : assignments) {
                    for (const auto& partition : partitions) {
                        if (!std::count(one.topics.begin(), one.topics.end(), partition.topic))
                            continue;
                        EXPECT_LT(partitions.size(), load + 2);
                    }
                }
            }
        }
    }
}

}  // namespace
}  // namespace pabal::client
