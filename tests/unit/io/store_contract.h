// What every Store promises.
#pragma once

#include <map>
#include <string>

#include "tests/unit/io/world.h"

namespace pabal::io::contract {

class StoreContract : public ContractTest {
protected:
    void SetUp() override {
        run_now([this] { open(); });
    }
    void TearDown() override {
        run_now([this] { store_.reset(); });
    }
    void open() {
        auto opened = world_->open_store(path("store"));
        ASSERT_TRUE(opened.ok()) << opened.error().message;
        store_ = std::move(opened).value();
    }
    void kill_and_open() {
        world_->kill_store(std::move(store_));
        open();
    }
    void put(const std::string& key, const std::string& value, Durability durability) {
        StoreBatch batch;
        batch.put(key, value);
        ASSERT_TRUE(store_->write(batch, durability).ok());
    }
    // "-" where there is none.
    std::string get(const std::string& key) {
        auto value = store_->get(key);
        if (!value.ok()) return "error: " + value.error().message;
        return value->value_or("-");
    }
    std::map<std::string, std::string> all(const std::string& prefix) {
        std::map<std::string, std::string> found;
        std::string last;
        const auto status = store_->scan(prefix, [&](std::string_view key, std::string_view value) {
            EXPECT_TRUE(found.empty() || last < key);
            last = std::string(key);
            found.emplace(key, value);
            return true;
        });
        EXPECT_TRUE(status.ok());
        return found;
    }
    static std::string number(int i) {
        std::string digits = std::to_string(i);
        return std::string(6 - digits.size(), '0') + digits;
    }

    std::unique_ptr<Store> store_;
};

TEST_P(StoreContract, finds_what_was_put_and_nothing_else) {
    run_now([this] {
        EXPECT_EQ(get("a"), "-");
        put("a", "1", Durability::rebuildable);
        put("b", "", Durability::logged);
        put("a", "2", Durability::rebuildable);
        EXPECT_EQ(get("a"), "2");
        EXPECT_EQ(get("b"), "");
        EXPECT_EQ(get("c"), "-");
        EXPECT_EQ(get("aa"), "-");
    });
}

TEST_P(StoreContract, keys_and_values_are_bytes) {
    run_now([this] {
        const std::string key("\x01\x00\xff key", 7);
        const std::string value("\x00\x00\xfe", 3);
        put(key, value, Durability::rebuildable);
        EXPECT_EQ(get(key), value);
        EXPECT_EQ(all(std::string("\x01\x00", 2)).size(), 1u);
        put("\xff\xff", "last", Durability::rebuildable);
        EXPECT_EQ(all("\xff").size(), 1u);
        EXPECT_EQ(all("\xff\xff").size(), 1u);
    });
}

TEST_P(StoreContract, a_batch_takes_effect_in_its_order) {
    run_now([this] {
        StoreBatch batch;
        batch.put("k1", "a");
        batch.put("k2", "a");
        batch.remove("k1");
        batch.put("k3", "a");
        batch.remove_range("k2", "k4");
        batch.put("k2", "b");
        EXPECT_TRUE(store_->write(batch, Durability::rebuildable).ok());
        EXPECT_EQ(all("k"), (std::map<std::string, std::string>{{"k2", "b"}}));
        StoreBatch empty;
        EXPECT_TRUE(store_->write(empty, Durability::synced).ok());
    });
}

TEST_P(StoreContract, remove_range_is_half_open) {
    run_now([this] {
        for (int i = 0; i < 10; ++i) put("k" + number(i), "v", Durability::rebuildable);
        StoreBatch batch;
        batch.remove_range("k" + number(3), "k" + number(7));
        EXPECT_TRUE(store_->write(batch, Durability::rebuildable).ok());
        EXPECT_EQ(get("k" + number(2)), "v");
        EXPECT_EQ(get("k" + number(3)), "-");
        EXPECT_EQ(get("k" + number(6)), "-");
        EXPECT_EQ(get("k" + number(7)), "v");
    });
}

TEST_P(StoreContract, scan_visits_a_prefix_in_order_until_told_to_stop) {
    run_now([this] {
        for (const char* key : {"b2", "a", "b1", "b", "c", "b10"}) {
            put(key, key, Durability::rebuildable);
        }
        EXPECT_EQ(all("b").size(), 4u);
        EXPECT_EQ(all("").size(), 6u);
        EXPECT_TRUE(all("d").empty());
        int visited = 0;
        const auto status = store_->scan("b", [&](std::string_view key, std::string_view) {
            EXPECT_EQ(key, visited == 0 ? "b" : "b1");
            return ++visited < 2;
        });
        EXPECT_TRUE(status.ok());
        EXPECT_EQ(visited, 2);
    });
}

TEST_P(StoreContract, what_was_logged_survives_a_kill) {
    run_now([this] {
        for (int i = 0; i < 50; ++i) {
            put("k" + number(i), "v", i % 2 ? Durability::logged : Durability::synced);
        }
        kill_and_open();
        EXPECT_EQ(all("k").size(), 50u);
    });
}

TEST_P(StoreContract, rebuildable_batches_survive_a_kill_as_a_prefix_of_them) {
    run_now([this] {
        for (int round = 0; round < 5; ++round) {
            const int first = round * 1000 + 1;
            StoreBatch clear;
            clear.remove_range("k", "l");
            clear.put("applied", "0");
            ASSERT_TRUE(store_->write(clear, Durability::rebuildable).ok());
            ASSERT_TRUE(store_->flush().ok());
            for (int i = first; i < first + 300; ++i) {
                StoreBatch batch;
                batch.put("k" + number(i), std::string(100, 'v'));
                batch.put("applied", number(i));
                ASSERT_TRUE(store_->write(batch, Durability::rebuildable).ok());
                // Logged batches between them have a life of their own.
                put("logged", number(i), Durability::logged);
            }
            kill_and_open();
            EXPECT_EQ(get("logged"), number(first + 299));
            const std::string text = get("applied");
            const int applied = text == "0" ? first - 1 : std::stoi(text);
            const auto kept = all("k");
            EXPECT_EQ(static_cast<int>(kept.size()), applied - first + 1);
            if (!kept.empty()) {
                EXPECT_EQ(kept.begin()->first, "k" + number(first));
                EXPECT_EQ(kept.rbegin()->first, "k" + number(applied));
            }
        }
    });
}

TEST_P(StoreContract, what_was_flushed_survives_a_kill) {
    run_now([this] {
        for (int i = 0; i < 50; ++i) put("k" + number(i), "v", Durability::rebuildable);
        ASSERT_TRUE(store_->flush().ok());
        kill_and_open();
        EXPECT_EQ(all("k").size(), 50u);
    });
}

TEST_P(StoreContract, a_removal_that_was_flushed_survives_a_kill) {
    run_now([this] {
        for (int i = 0; i < 50; ++i) put("k" + number(i), "v", Durability::logged);
        StoreBatch batch;
        batch.remove_range("k" + number(10), "k" + number(40));
        batch.remove("k" + number(45));
        ASSERT_TRUE(store_->write(batch, Durability::rebuildable).ok());
        ASSERT_TRUE(store_->flush().ok());
        kill_and_open();
        EXPECT_EQ(all("k").size(), 19u);
    });
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreContract);

}  // namespace pabal::io::contract
