// What a simulated disk keeps of what was not synced, against a naive twin that knows what it must.
#include "sim/disk.h"

#include <gtest/gtest.h>

#include <set>

#include "sim/machine.h"

namespace pabal::sim {
namespace {

class Bench {
public:
    explicit Bench(std::uint64_t seed, std::uint64_t capacity = 1 << 30)
        : scheduler(seed),
          network(scheduler),
          machine(scheduler, network, "alpha", capacity, Skew()),
          process(machine.boot()) {}
    void crash(Death death) {
        process->die(death);
        process.reset();
        process = machine.boot();
    }
    io::Disk& disk() { return process->ports().disk; }
    std::shared_ptr<io::File> open(const std::string& path) {
        return *disk().open(path, io::OpenMode::create);
    }
    static IoStatus write(io::File& file, std::uint64_t position, const std::string& text) {
        const ByteView pieces[] = {as_bytes(text)};
        return file.write(position, pieces);
    }
    // "-" if it is not there.
    std::string content(const std::string& path) {
        if (!*disk().exists(path)) return "-";
        return *io::read_file(disk(), path, 1 << 20);
    }

    Scheduler scheduler;
    Network network;
    Machine machine;
    std::unique_ptr<Process> process;
};

TEST(SimDisk, a_killed_process_loses_nothing_that_it_wrote) {
    Bench bench(1);
    ASSERT_TRUE(bench.disk().make_directories("/d").ok());
    auto file = bench.open("/d/a");
    ASSERT_TRUE(Bench::write(*file, 0, "unsynced").ok());
    ASSERT_TRUE(bench.disk().rename("/d/a", "/d/b").ok());
    bench.crash(Death::killed);
    EXPECT_EQ(bench.content("/d/b"), "unsynced");
    EXPECT_EQ(bench.content("/d/a"), "-");
    EXPECT_FALSE(Bench::write(*file, 0, "x").ok()) << "the handle of a dead process";
    EXPECT_FALSE(file->size().ok());
}

TEST(SimDisk, a_loss_of_power_keeps_what_was_synced) {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        Bench bench(seed);
        auto file = bench.open("/a");
        ASSERT_TRUE(Bench::write(*file, 0, "synced").ok());
        ASSERT_TRUE(file->sync().ok());
        ASSERT_TRUE(bench.disk().sync_directory("/").ok());
        ASSERT_TRUE(Bench::write(*file, 6, ", not").ok());
        bench.crash(Death::power_lost);
        const auto content = bench.content("/a");
        EXPECT_EQ(content.substr(0, 6), "synced");
        seen.insert(content);
    }
    const std::set<std::string> possible{"synced", "synced, not",
                                         std::string("synced\0\0\0\0\0", 11)};
    EXPECT_EQ(seen, possible);
}

TEST(SimDisk, a_file_needs_its_directory_synced_to_be_found_again) {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        Bench bench(seed);
        auto file = bench.open("/a");
        ASSERT_TRUE(Bench::write(*file, 0, "content").ok());
        ASSERT_TRUE(file->sync().ok());
        bench.crash(Death::power_lost);
        seen.insert(bench.content("/a"));
    }
    EXPECT_EQ(seen, (std::set<std::string>{"-", "content"}));
}

TEST(SimDisk, replaced_files_are_old_or_new_and_never_between) {
    std::set<std::string> seen;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        Bench bench(seed);
        ASSERT_TRUE(bench.disk().make_directories("/d").ok());
        ASSERT_TRUE(bench.disk().sync_directory("/").ok());
        ASSERT_TRUE(io::replace_file(bench.disk(), "/d/a", "old").ok());
        const auto fuse = 1 + seed % 9;
        bool killed = false;
        bench.machine.disk().blow_after(fuse, [&] {
            killed = true;
            bench.process->die(Death::power_lost);
        });
        const bool told = io::replace_file(bench.disk(), "/d/a", std::string(3000, 'n')).ok();
        bench.crash(Death::power_lost);
        const auto content = bench.content("/d/a");
        EXPECT_TRUE(content == "old" || content == std::string(3000, 'n')) << content;
        if (told) {
            EXPECT_EQ(content.size(), 3000u);
            EXPECT_FALSE(killed);
        }
        seen.insert(content.substr(0, 1));
    }
    EXPECT_EQ(seen.size(), 2u);
}

TEST(SimDisk, unsynced_writes_are_torn_at_sectors) {
    bool torn = false;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        Bench bench(seed);
        auto file = bench.open("/a");
        ASSERT_TRUE(Bench::write(*file, 0, std::string(4096, 'o')).ok());
        ASSERT_TRUE(file->sync().ok());
        ASSERT_TRUE(bench.disk().sync_directory("/").ok());
        ASSERT_TRUE(Bench::write(*file, 100, std::string(3000, 'n')).ok());
        bench.crash(Death::power_lost);
        const auto content = bench.content("/a");
        ASSERT_EQ(content.size(), 4096u);
        int changed = 0;
        for (std::size_t sector = 0; sector < 4096; sector += 512) {
            const auto begin = std::max<std::size_t>(sector, 100);
            const auto end = std::min<std::size_t>(sector + 512, 3100);
            if (begin >= end) continue;
            const auto part = content.substr(begin, end - begin);
            EXPECT_TRUE(part == std::string(part.size(), 'o') ||
                        part == std::string(part.size(), 'n'));
            changed += part[0] == 'n';
        }
        EXPECT_EQ(content.substr(0, 100), std::string(100, 'o'));
        torn = torn || (changed != 0 && changed != 7);
    }
    EXPECT_TRUE(torn);
}

// Random operations beside a twin that remembers, for each path, what is durable for certain.
TEST(SimDisk, keeps_at_least_what_its_twin_knows_to_be_durable) {
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        Bench bench(seed);
        Prng random = bench.scheduler.random("twin");
        std::map<std::string, std::string> shown;
        std::map<std::string, std::string>
            synced;                   // Content at the last sync, if not changed since.
        std::set<std::string> named;  // Names settled by a sync of the directory.
        for (int i = 0; i < 60; ++i) {
            const std::string path = "/" + std::string(1, static_cast<char>('a' + random.below(4)));
            switch (random.below(5)) {
                case 0: {
                    const bool fresh = !shown.contains(path);
                    auto file = bench.open(path);
                    const std::string text(1 + random.below(2000), static_cast<char>('A' + i % 26));
                    ASSERT_TRUE(file->truncate(0).ok());
                    ASSERT_TRUE(Bench::write(*file, 0, text).ok());
                    shown[path] = text;
                    synced.erase(path);
                    if (fresh) named.erase(path);
                    break;
                }
                case 1:
                    if (shown.contains(path)) {
                        ASSERT_TRUE(bench.open(path)->sync().ok());
                        synced[path] = shown[path];
                    }
                    break;
                case 2:
                    ASSERT_TRUE(bench.disk().sync_directory("/").ok());
                    named.clear();
                    for (const auto& [name, text] : shown) named.insert(name);
                    break;
                case 3:
                    ASSERT_TRUE(bench.disk().remove(path).ok());
                    shown.erase(path);
                    synced.erase(path);
                    named.erase(path);
                    break;
                case 4: EXPECT_EQ(bench.content(path), shown.contains(path) ? shown[path] : "-");
            }
        }
        const bool killed = seed % 3 == 0;
        bench.crash(killed ? Death::killed : Death::power_lost);
        for (const auto& [path, text] : shown) {
            if (killed) {
                EXPECT_EQ(bench.content(path), text);
            } else if (named.contains(path) && synced.contains(path)) {
                EXPECT_EQ(bench.content(path), synced[path]) << "seed " << seed;
            }
        }
    }
}

TEST(SimDisk, a_full_disk_takes_a_part_and_says_so) {
    Bench bench(1, 1000);
    auto file = bench.open("/a");
    ASSERT_TRUE(Bench::write(*file, 0, std::string(900, 'x')).ok());
    const auto full = Bench::write(*file, 900, std::string(200, 'y'));
    ASSERT_FALSE(full.ok());
    EXPECT_EQ(full.error().errno_value, ENOSPC);
    EXPECT_EQ(*file->size(), 1000u);
    EXPECT_EQ(*bench.disk().free_bytes("/"), 0u);
    ASSERT_TRUE(Bench::write(*file, 0, "overwriting takes no space").ok());
    ASSERT_TRUE(file->truncate(100).ok());
    EXPECT_EQ(*bench.disk().free_bytes("/"), 900u);
    ASSERT_TRUE(bench.disk().remove("/a").ok());
    EXPECT_EQ(*bench.disk().free_bytes("/"), 1000u);
}

TEST(SimDisk, a_failed_sync_leaves_nothing_to_rely_on) {
    Bench bench(7);
    auto file = bench.open("/a");
    ASSERT_TRUE(Bench::write(*file, 0, "text").ok());
    bench.machine.disk().faults.sync_errors_per_million = 1'000'000;
    EXPECT_FALSE(file->sync().ok());
    bench.machine.disk().faults.sync_errors_per_million = 0;
    EXPECT_TRUE(file->sync().ok()) << "the second sync has nothing to write and lies";
}

TEST(SimDisk, locks_end_with_their_process) {
    Bench bench(1);
    auto lock = bench.disk().lock("/.lock");
    ASSERT_TRUE(lock.ok());
    EXPECT_FALSE(bench.disk().lock("/.lock").ok());
    bench.process->die(Death::killed);
    bench.process.reset();
    bench.process = bench.machine.boot();
    auto next = bench.disk().lock("/.lock");
    EXPECT_TRUE(next.ok());
    lock.value().reset();  // The dead process's object lets go late: nothing happens.
    EXPECT_FALSE(bench.disk().lock("/.lock").ok());
}

}  // namespace
}  // namespace pabal::sim
