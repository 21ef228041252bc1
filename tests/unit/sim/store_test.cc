// What the simulated store keeps in a crash, by kind of death and durability.
#include "sim/store.h"

#include <gtest/gtest.h>

#include <set>

namespace pabal::sim {
namespace {

struct Kept {
    int rebuildable = 0;
    int logged = 0;
    int synced = 0;
};

// Ten of each kind in turn, then the crash; -1 where what is left is no prefix.
Kept crash(std::uint64_t seed, bool power, StoreSabotage sabotage = {}) {
    Scheduler scheduler(seed);
    auto image = std::make_shared<StoreImage>(scheduler, "s");
    image->sabotage = sabotage;
    auto store = std::make_unique<Store>(image);
    for (int i = 0; i < 30; ++i) {
        const auto durability = static_cast<io::Durability>(i % 3);
        io::StoreBatch batch;
        batch.put(std::to_string(i % 3) + "-" + std::to_string(i / 3), "v");
        EXPECT_TRUE(store->write(batch, durability).ok());
    }
    // The last batches of two kinds come after the last sync.
    for (int i = 10; i < 15; ++i) {
        for (int kind = 0; kind < 2; ++kind) {
            io::StoreBatch batch;
            batch.put(std::to_string(kind) + "-" + std::to_string(i), "v");
            EXPECT_TRUE(store->write(batch, static_cast<io::Durability>(kind)).ok());
        }
    }
    store->die();
    if (power) {
        image->power_lost();
    } else {
        image->process_died();
    }
    EXPECT_FALSE(store->get("0-0").ok());
    Store opened(image);
    int counts[3];
    for (int kind = 0; kind < 3; ++kind) {
        int count = 0;
        while (*opened.get(std::to_string(kind) + "-" + std::to_string(count))) ++count;
        int all = 0;
        EXPECT_TRUE(
            opened.scan(std::to_string(kind) + "-", [&](auto, auto) { return ++all > 0; }).ok());
        counts[kind] = all == count ? count : -1;
    }
    return {counts[0], counts[1], counts[2]};
}

TEST(SimStore, a_kill_keeps_all_that_was_logged_and_a_prefix_of_the_rest) {
    std::set<int> kept;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const auto after = crash(seed, false);
        EXPECT_EQ(after.logged, 15);
        EXPECT_EQ(after.synced, 10);
        EXPECT_GE(after.rebuildable, 0);
        kept.insert(after.rebuildable);
    }
    EXPECT_GT(kept.size(), 10u);
}

TEST(SimStore, a_loss_of_power_keeps_what_was_synced_and_prefixes_of_the_rest) {
    std::set<int> kept;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const auto after = crash(seed, true);
        EXPECT_GE(after.logged, 10) << "logged before the last sync";
        EXPECT_EQ(after.synced, 10);
        EXPECT_GE(after.rebuildable, 0);
        kept.insert(after.logged);
    }
    EXPECT_GT(kept.size(), 3u);
}

TEST(SimStore, sabotage_breaks_each_promise) {
    StoreSabotage no_log;
    no_log.loses_logged = true;
    EXPECT_EQ(crash(1, false, no_log).logged, 0);
    StoreSabotage lying_sync;
    lying_sync.loses_synced = true;
    EXPECT_EQ(crash(1, true, lying_sync).synced, 0);
    StoreSabotage suffix;
    suffix.keeps_suffix = true;
    EXPECT_EQ(crash(1, false, suffix).rebuildable, -1);
}

TEST(SimStore, an_orderly_end_keeps_everything) {
    Scheduler scheduler(1);
    auto image = std::make_shared<StoreImage>(scheduler, "s");
    {
        Store store(image);
        io::StoreBatch batch;
        batch.put("k", "v");
        ASSERT_TRUE(store.write(batch, io::Durability::rebuildable).ok());
    }
    image->power_lost();
    Store store(image);
    EXPECT_EQ(*store.get("k"), "v");
}

}  // namespace
}  // namespace pabal::sim
