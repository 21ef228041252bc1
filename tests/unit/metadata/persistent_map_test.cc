#include "metadata/persistent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/prng.h"

namespace pabal::metadata {
namespace {

using Map = PersistentMap<int, std::string>;
using Twin = std::map<int, std::string>;

void expect_equal(const Map& map, const Twin& twin) {
    ASSERT_EQ(map.size(), twin.size());
    auto expected = twin.begin();
    for (const auto& [key, value] : map) {
        ASSERT_EQ(key, expected->first);
        ASSERT_EQ(value, expected->second);
        ++expected;
    }
    ASSERT_TRUE(expected == twin.end());
}

// Random changes on several copies, each with a std::map beside it.
TEST(PersistentMap, copies_do_not_see_each_others_changes) {
    Prng random(1);
    for (int round = 0; round < 20; ++round) {
        std::vector<std::pair<Map, Twin>> versions(1);
        for (int step = 0; step < 600; ++step) {
            auto& [map, twin] = versions[random.below(versions.size())];
            const int key = static_cast<int>(random.below(80));
            const std::string value = std::to_string(step);
            switch (random.below(6)) {
                case 0:
                case 1:
                    map.insert_or_assign(key, value);
                    twin[key] = value;
                    break;
                case 2: ASSERT_EQ(map.erase(key), twin.erase(key) == 1); break;
                case 3:
                    if (std::string* found = map.edit(key)) *found += "!";
                    if (auto found = twin.find(key); found != twin.end()) found->second += "!";
                    break;
                case 4: {
                    auto first = map.lower_bound(key);
                    auto expected = twin.lower_bound(key);
                    ASSERT_EQ(first == map.end(), expected == twin.end());
                    if (expected != twin.end()) {
                        ASSERT_EQ(first->first, expected->first);
                    }
                    break;
                }
                default:
                    if (versions.size() < 6) {
                        auto copy = versions[random.below(versions.size())];
                        versions.push_back(std::move(copy));
                    }
            }
        }
        for (const auto& [map, twin] : versions) expect_equal(map, twin);
    }
}

TEST(PersistentMap, sorted_insertion_stays_shallow) {
    Map map;
    for (int key = 0; key < 100'000; ++key) map.insert_or_assign(key, "");
    // A walk from the root to any key would overflow the stack long before, were it a list.
    for (int key = 0; key < 100'000; key += 2) map.erase(key);
    EXPECT_EQ(map.size(), 50'000u);
    EXPECT_TRUE(map.contains(99'999));
    EXPECT_FALSE(map.contains(50'000));
}

}  // namespace
}  // namespace pabal::metadata
