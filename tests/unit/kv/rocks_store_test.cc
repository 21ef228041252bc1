#include "kv/rocks_store.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/os/os_world.h"

namespace pabal::kv {
namespace {

using io::Durability;
using io::Store;
using io::StoreBatch;

class RocksStoreTest : public testing::Test {
protected:
    std::string path() const { return directory_.path() + "/store"; }
    std::unique_ptr<Store> open() {
        auto store = open_store(path());
        EXPECT_TRUE(store.ok()) << store.error().message;
        return store.ok() ? std::move(store).value() : nullptr;
    }
    std::string failure_to_open() {
        const auto store = open_store(path());
        return store.ok() ? "opened" : store.error().message;
    }
    static void put(Store& store, const std::string& key, const std::string& value,
                    Durability durability) {
        StoreBatch batch;
        batch.put(key, value);
        ASSERT_TRUE(store.write(batch, durability).ok());
    }
    static std::string get(Store& store, const std::string& key) {
        const auto value = store.get(key);
        return value.ok() ? value->value_or("-") : value.error().message;
    }
    std::string file_ending_in(const std::string& end) {
        for (const auto& entry : std::filesystem::directory_iterator(path())) {
            if (entry.path().string().ends_with(end)) return entry.path();
        }
        return "";
    }

    os::TemporaryDirectory directory_;
};

TEST_F(RocksStoreTest, a_newer_format_is_refused_and_both_versions_are_named) {
    open().reset();
    {
        rocksdb::DB* database = nullptr;
        ASSERT_TRUE(rocksdb::DB::Open(rocksdb::Options(), path(), &database).ok());
        const std::unique_ptr<rocksdb::DB> owned(database);
        ASSERT_TRUE(owned->Put(rocksdb::WriteOptions(), std::string("\0format", 7), "7").ok());
    }
    const std::string message = failure_to_open();
    EXPECT_NE(message.find("has format 7"), std::string::npos) << message;
    EXPECT_NE(message.find("knows up to 1"), std::string::npos) << message;
}

TEST_F(RocksStoreTest, a_database_of_somebody_else_is_refused) {
    {
        rocksdb::Options options;
        options.create_if_missing = true;
        rocksdb::DB* database = nullptr;
        ASSERT_TRUE(rocksdb::DB::Open(options, path(), &database).ok());
        const std::unique_ptr<rocksdb::DB> owned(database);
        ASSERT_TRUE(owned->Put(rocksdb::WriteOptions(), "a", "1").ok());
    }
    EXPECT_NE(failure_to_open().find("not a store of ours"), std::string::npos);
}

TEST_F(RocksStoreTest, keys_that_open_with_zero_are_the_stores_own) {
    auto store = open();
    put(*store, "a", "1", Durability::logged);
    int count = 0;
    ASSERT_TRUE(
        store->scan("", [&](std::string_view, std::string_view) { return ++count > 0; }).ok());
    EXPECT_EQ(count, 1);
    StoreBatch batch;
    batch.put(std::string("\0x", 2), "");
    EXPECT_DEATH((void)store->write(batch, Durability::logged), "the store's own");
}

TEST_F(RocksStoreTest, a_store_has_one_user) {
    const auto store = open();
    const std::string message = failure_to_open();
    EXPECT_NE(message.find(path()), std::string::npos) << message;
    EXPECT_NE(message.find("another broker uses it"), std::string::npos) << message;
}

TEST_F(RocksStoreTest, a_damaged_store_is_refused_by_name) {
    {
        auto store = open();
        put(*store, "a", "1", Durability::rebuildable);
        ASSERT_TRUE(store->flush().ok());
    }
    std::ofstream(path() + "/CURRENT") << "MANIFEST-999999\n";
    const auto store = open_store(path());
    ASSERT_FALSE(store.ok());
    EXPECT_NE(store.error().message.find(path()), std::string::npos) << store.error().message;
    ASSERT_TRUE(destroy_store(path()).ok());
    EXPECT_EQ(get(*open(), "a"), "-");
}

TEST_F(RocksStoreTest, a_damaged_table_is_an_error_and_no_wrong_value) {
    {
        auto store = open();
        for (int i = 0; i < 1000; ++i) {
            put(*store, "k" + std::to_string(i), std::string(100, 'v'), Durability::rebuildable);
        }
        ASSERT_TRUE(store->flush().ok());
    }
    const std::string table = file_ending_in(".sst");
    std::fstream file(table, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1000);
    file.write("damage", 6);
    file.close();
    auto opened = open_store(path());
    if (!opened.ok()) {
        EXPECT_NE(opened.error().message.find("damaged"), std::string::npos);
        return;
    }
    std::string failure;
    for (int i = 0; i < 1000; ++i) {
        const auto value = (*opened)->get("k" + std::to_string(i));
        if (!value.ok()) {
            failure = value.error().message;
        } else {
            EXPECT_EQ(value->value_or("-"), std::string(100, 'v'));
        }
    }
    EXPECT_NE(failure.find("damaged"), std::string::npos) << failure;
    EXPECT_FALSE(
        (*opened)->scan("k", [](std::string_view, std::string_view) { return true; }).ok());
}

TEST_F(RocksStoreTest, a_directory_that_cannot_be_made_is_named) {
    const auto store = open_store("/proc/no/store");
    ASSERT_FALSE(store.ok());
    EXPECT_NE(store.error().message.find("/proc/no/store"), std::string::npos);
}

// Run by the next test in a process of its own, which dies with RocksDB's threads at work.
TEST(DyingProcess, writes_batches_of_both_kinds) {
    const char* path = std::getenv("PABAL_DYING_STORE");
    if (!path) GTEST_SKIP() << "runs as a child of the next test";
    const int count = std::atoi(std::getenv("PABAL_DYING_COUNT"));
    const std::string padding(2000, 'p');
    auto store = std::move(open_store(path)).value();
    StoreBatch clear;
    clear.remove_range("a", "z");
    ASSERT_TRUE(store->write(clear, Durability::rebuildable).ok());
    ASSERT_TRUE(store->flush().ok());
    for (int i = 1; i <= count; ++i) {
        StoreBatch batch;
        batch.put("k" + std::to_string(i), padding);
        batch.put("applied", std::to_string(i));
        ASSERT_TRUE(store->write(batch, Durability::rebuildable).ok());
        if (i % 10 != 0) continue;
        StoreBatch logged;
        logged.put("logged", std::to_string(i));
        ASSERT_TRUE(store->write(logged, Durability::logged).ok());
    }
    kill(getpid(), SIGKILL);
}

// The memtable is full many times over, so that RocksDB flushes as it likes.
TEST_F(RocksStoreTest, a_process_that_dies_leaves_a_prefix_of_each_kind) {
    for (int count = 6000; count <= 8000; count += 1000) {
        const pid_t child = fork();
        if (child == 0) {
            setenv("PABAL_DYING_STORE", path().c_str(), 1);
            setenv("PABAL_DYING_COUNT", std::to_string(count).c_str(), 1);
            execl("/proc/self/exe", "unit_kv", "--gtest_filter=DyingProcess.*", nullptr);
            _exit(1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status));
        auto store = open();
        EXPECT_EQ(get(*store, "logged"), std::to_string(count));
        const std::string text = get(*store, "applied");
        const int applied = text == "-" ? 0 : std::stoi(text);
        EXPECT_GT(applied, 0);  // 12 MB went through memtables of 4 MB.
        int kept = 0;
        const auto status_of_scan = store->scan("k", [&](std::string_view key, std::string_view) {
            ++kept;
            EXPECT_LE(std::stoi(std::string(key.substr(1))), applied);
            return true;
        });
        EXPECT_TRUE(status_of_scan.ok());
        EXPECT_EQ(kept, applied);
    }
}

TEST_F(RocksStoreTest, threads_may_write_and_read_at_once) {
    auto store = open();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&store, t] {
            for (int i = 0; i < 500; ++i) {
                const std::string key = std::to_string(t) + "/" + std::to_string(i);
                put(*store, key, key, i % 3 ? Durability::rebuildable : Durability::logged);
                EXPECT_EQ(get(*store, key), key);
                if (i % 200 == 0) {
                    EXPECT_TRUE(store->flush().ok());
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
}

TEST(NodeStoreTest, a_killed_node_writes_nothing_more_to_its_store) {
    const os::TemporaryDirectory directory;
    const std::string path = directory.path() + "/store";
    {
        os::NodePorts node("node", std::make_shared<os::PolicyTime>(), open_store);
        auto opened = node.ports().open_store(path);
        ASSERT_TRUE(opened.ok());
        auto store = std::move(opened).value();
        StoreBatch batch;
        batch.put("logged", "1");
        ASSERT_TRUE(store->write(batch, Durability::logged).ok());
        StoreBatch rebuildable;
        rebuildable.put("rebuildable", "1");
        ASSERT_TRUE(store->write(rebuildable, Durability::rebuildable).ok());
        node.kill();
        StoreBatch late;
        late.put("late", "1");
        EXPECT_FALSE(store->write(late, Durability::logged).ok());
        EXPECT_FALSE(store->flush().ok());
        EXPECT_FALSE(node.ports().open_store(path + "2").ok());
    }
    auto store = open_store(path);
    ASSERT_TRUE(store.ok());
    EXPECT_EQ(*(*store)->get("logged"), "1");
    EXPECT_EQ(*(*store)->get("late"), std::nullopt);
    EXPECT_EQ(*(*store)->get("rebuildable"), std::nullopt);
}

}  // namespace
}  // namespace pabal::kv
