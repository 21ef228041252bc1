// The quorum among faults, seed by seed: what it promises holds, it goes on when the faults end,
// and the rules would be seen to be broken if they were.
#include <gtest/gtest.h>

#include "base/probe.h"
#include "tests/unit/raft/quorum_world.h"

namespace pabal::raft {
namespace {

// Empty if all went well.
std::string live(WorldOptions options, Duration duration) {
    QuorumWorld world(options);
    world.run_for(duration);
    if (!world.violation().empty()) return world.violation();
    world.heal();
    const Offset before = world.committed();
    const bool goes_on = world.run_until(
        [&] {
            if (world.leader() >= 0 && world.committed() <= before + 5) world.propose();
            return world.committed() > before + 5 && world.everybody_has(world.committed());
        },
        Duration::seconds(10));
    if (!world.violation().empty()) return world.violation();
    return goes_on ? "" : "liveness: nothing is committed everywhere after the faults ended";
}

WorldOptions options(std::uint64_t seed) {
    WorldOptions options;
    options.seed = seed;
    options.voters = seed % 3 == 0 ? 5 : 3;
    options.observers = seed % 4 == 0 ? 1 : 0;
    options.snapshots = seed % 2 == 0;
    return options;
}

// Three nodes vote at first, and two more may be made voters.
WorldOptions changing(std::uint64_t seed) {
    WorldOptions options;
    options.seed = seed;
    options.voters = seed % 3 == 0 ? 1 : 3;
    options.observers = 2;
    options.snapshots = seed % 2 == 0;
    options.dynamic = true;
    return options;
}

TEST(RandomQuorum, keeps_its_promises_while_its_voters_change) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed)
        ASSERT_EQ(live(changing(seed), Duration::seconds(20)), "") << "seed " << seed;
}

TEST(RandomQuorum, changes_its_voters_often) {
    int changes = 0;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        QuorumWorld world(changing(seed));
        world.run_for(Duration::seconds(20));
        changes += world.changes_of_voters();
    }
    EXPECT_GT(changes, 50);
}

TEST(RandomQuorum, keeps_its_promises_among_faults) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed)
        ASSERT_EQ(live(options(seed), Duration::seconds(20)), "") << "seed " << seed;
}

#ifdef PABAL_PROBES
TEST(RandomQuorum, would_notice_a_quorum_that_breaks_them) {
    for (const char* broken :
         {"vote-is-given-twice", "vote-for-a-shorter-log", "vote-is-not-saved",
          "commit-without-a-majority", "commit-of-earlier-epochs", "divergence-goes-unnoticed",
          "fetch-vouches-for-what-is-not-durable", "late-answers-are-believed"}) {
        probe::begin(broken);
        std::string noticed;
        std::uint64_t seed = 1;
        for (; seed <= 400 && noticed.empty(); ++seed)
            noticed = live(options(seed), Duration::seconds(20));
        probe::end();
        EXPECT_NE(noticed, "") << broken << " went unnoticed";
        RecordProperty(broken, noticed + " in seed " + std::to_string(seed - 1));
    }
}

TEST(RandomQuorum, would_notice_voters_that_change_wrongly) {
    for (const char* broken : {"voters-change-two-at-a-time"}) {
        probe::begin(broken);
        std::string noticed;
        std::uint64_t seed = 1;
        for (; seed <= 400 && noticed.empty(); ++seed)
            noticed = live(changing(seed), Duration::seconds(20));
        probe::end();
        EXPECT_NE(noticed, "") << broken << " went unnoticed";
        RecordProperty(broken, noticed + " in seed " + std::to_string(seed - 1));
    }
}
#endif

TEST(ElectionTimes, of_a_fresh_quorum_are_short) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        QuorumWorld world({seed, 3, 0, false, false});
        ASSERT_TRUE(world.run_until([&] { return world.committed() > Offset(0); },
                                    Duration::milliseconds(150)))
            << "seed " << seed << " " << world.violation();
    }
}

TEST(ElectionTimes, after_a_death_that_was_noticed_are_short) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        QuorumWorld world({seed, 3, 0, false, false});
        world.run_for(Duration::seconds(1));
        const int dead = world.leader();
        ASSERT_GE(dead, 0);
        const Offset before = world.committed();
        world.tell_of_death(dead);
        world.kill(dead);
        EXPECT_TRUE(world.run_until([&] { return world.committed() > before; },
                                    Duration::milliseconds(200)))
            << "seed " << seed << " " << world.violation();
    }
}

TEST(ElectionTimes, after_an_orderly_end_are_short) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        QuorumWorld world({seed, 3, 0, false, false});
        world.run_for(Duration::seconds(1));
        const int old = world.resign_leader();
        ASSERT_GE(old, 0);
        EXPECT_TRUE(world.run_until([&] { return world.leader() >= 0 && world.leader() != old; },
                                    Duration::milliseconds(100)))
            << "seed " << seed;
    }
}

TEST(ElectionTimes, a_quiet_quorum_keeps_its_leader) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        QuorumWorld world({seed, 5, 1, false, false});
        world.run_for(Duration::seconds(60));
        EXPECT_EQ(world.violation(), "");
        EXPECT_LE(world.elections(), 2) << "seed " << seed;
    }
}

}  // namespace
}  // namespace pabal::raft
