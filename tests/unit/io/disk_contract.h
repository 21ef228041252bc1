// What every Disk promises.
#pragma once

#include <atomic>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/unit/io/world.h"

namespace pabal::io::contract {

class DiskContract : public ContractTest {
protected:
    std::shared_ptr<File> open(const std::string& name, OpenMode mode = OpenMode::create) {
        auto file = disk().open(path(name), mode);
        EXPECT_TRUE(file.ok()) << file.error().message;
        return file.ok() ? std::move(file).value() : nullptr;
    }
    static void write(File& file, std::uint64_t position, std::string_view text) {
        const ByteView pieces[] = {as_bytes(text)};
        const auto status = file.write(position, pieces);
        EXPECT_TRUE(status.ok()) << status.error().message;
    }
    static std::string read(const File& file, std::uint64_t position, std::size_t count) {
        std::string text(count, '?');
        const auto got =
            file.read(position, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
        if (!got.ok()) return "error: " + got.error().message;
        text.resize(*got);
        return text;
    }
    static std::string content(const FileRange& range) {
        Rope rope;
        rope.append(range);
        const auto bytes = rope.flatten();
        return bytes ? std::string(bytes->text()) : "unreadable";
    }
};

TEST_P(DiskContract, reads_what_was_written) {
    run_now([this] {
        const auto file = open("a");
        const std::string_view parts[] = {"hello", "", ", ", "world"};
        std::vector<ByteView> pieces;
        for (const auto part : parts) pieces.push_back(as_bytes(part));
        EXPECT_TRUE(file->write(0, pieces).ok());
        EXPECT_EQ(read(*file, 0, 100), "hello, world");
        EXPECT_EQ(read(*file, 7, 3), "wor");
        EXPECT_EQ(read(*file, 12, 3), "");
        EXPECT_EQ(read(*file, 100, 3), "");
        EXPECT_EQ(*file->size(), 12u);
        EXPECT_EQ(file->path(), path("a"));
        write(*file, 7, "there");
        EXPECT_EQ(read(*file, 0, 100), "hello, there");
        EXPECT_TRUE(file->write(3, {}).ok());
        EXPECT_EQ(*file->size(), 12u);
        EXPECT_TRUE(file->sync().ok());
    });
}

TEST_P(DiskContract, a_gap_reads_as_zeros) {
    run_now([this] {
        const auto file = open("a");
        write(*file, 3, "x");
        EXPECT_EQ(read(*file, 0, 10), std::string("\0\0\0x", 4));
    });
}

TEST_P(DiskContract, many_pieces_are_written_as_one) {
    run_now([this] {
        const auto file = open("a");
        std::string expected;
        std::vector<std::string> parts;
        for (int i = 0; i < 3000; ++i) parts.push_back(std::to_string(i));
        std::vector<ByteView> pieces;
        for (const auto& part : parts) {
            pieces.push_back(as_bytes(part));
            expected += part;
        }
        EXPECT_TRUE(file->write(5, pieces).ok());
        EXPECT_EQ(read(*file, 5, expected.size() + 1), expected);
    });
}

TEST_P(DiskContract, open_modes_say_what_must_exist) {
    run_now([this] {
        const auto missing = disk().open(path("a"), OpenMode::read_only);
        EXPECT_FALSE(missing.ok());
        EXPECT_EQ(missing.error().errno_value, ENOENT);
        EXPECT_NE(missing.error().message.find(path("a")), std::string::npos);
        EXPECT_EQ(disk().open(path("a"), OpenMode::read_write).error().errno_value, ENOENT);
        EXPECT_FALSE(*disk().exists(path("a")));
        open("a", OpenMode::create_new);
        EXPECT_TRUE(*disk().exists(path("a")));
        EXPECT_EQ(disk().open(path("a"), OpenMode::create_new).error().errno_value, EEXIST);
        const auto file = open("a", OpenMode::create);
        write(*file, 0, "kept");
        EXPECT_EQ(read(*open("a", OpenMode::create), 0, 10), "kept");
        EXPECT_EQ(read(*open("a", OpenMode::read_write), 0, 10), "kept");
        const auto reader = open("a", OpenMode::read_only);
        EXPECT_EQ(read(*reader, 0, 10), "kept");
        const ByteView pieces[] = {as_bytes("x")};
        EXPECT_FALSE(reader->write(0, pieces).ok());
        EXPECT_FALSE(disk().open(path("no/such/directory"), OpenMode::create).ok());
    });
}

TEST_P(DiskContract, handles_of_one_file_see_each_other) {
    run_now([this] {
        const auto first = open("a");
        const auto second = open("a");
        write(*first, 0, "abc");
        EXPECT_EQ(read(*second, 0, 10), "abc");
        EXPECT_TRUE(second->truncate(1).ok());
        EXPECT_EQ(*first->size(), 1u);
    });
}

TEST_P(DiskContract, truncate_cuts_and_extends) {
    run_now([this] {
        const auto file = open("a");
        write(*file, 0, "abcdef");
        EXPECT_TRUE(file->truncate(2).ok());
        EXPECT_EQ(read(*file, 0, 10), "ab");
        EXPECT_TRUE(file->truncate(4).ok());
        EXPECT_EQ(read(*file, 0, 10), std::string("ab\0\0", 4));
        EXPECT_EQ(*file->size(), 4u);
    });
}

TEST_P(DiskContract, directories_are_made_listed_and_removed_with_all_in_them) {
    run_now([this] {
        EXPECT_TRUE(disk().make_directories(path("x/y/z")).ok());
        EXPECT_TRUE(disk().make_directories(path("x/y/z")).ok());
        write(*open("x/b"), 0, "12345");
        open("x/a");
        const auto entries = disk().list(path("x"));
        ASSERT_TRUE(entries.ok());
        ASSERT_EQ(entries->size(), 3u);
        EXPECT_EQ((*entries)[0].name, "a");
        EXPECT_EQ((*entries)[1].name, "b");
        EXPECT_EQ((*entries)[1].size, 5u);
        EXPECT_FALSE((*entries)[1].is_directory);
        EXPECT_EQ((*entries)[2].name, "y");
        EXPECT_TRUE((*entries)[2].is_directory);
        EXPECT_TRUE(disk().sync_directory(path("x")).ok());
        EXPECT_TRUE(disk().remove(path("x")).ok());
        EXPECT_FALSE(*disk().exists(path("x")));
        EXPECT_TRUE(disk().remove(path("x")).ok());
        EXPECT_EQ(disk().list(path("x")).error().errno_value, ENOENT);
        EXPECT_TRUE(disk().list(world_->directory())->empty());
    });
}

TEST_P(DiskContract, open_handles_follow_a_rename) {
    run_now([this] {
        const auto file = open("a");
        write(*file, 0, "one");
        EXPECT_TRUE(disk().rename(path("a"), path("b")).ok());
        EXPECT_EQ(file->path(), path("b"));
        write(*file, 3, ", two");
        EXPECT_EQ(read(*file, 0, 20), "one, two");
        EXPECT_EQ(read(*open("b", OpenMode::read_only), 0, 20), "one, two");
        EXPECT_FALSE(*disk().exists(path("a")));
        EXPECT_EQ(disk().rename(path("a"), path("c")).error().errno_value, ENOENT);
    });
}

TEST_P(DiskContract, open_handles_follow_the_rename_of_their_directory) {
    run_now([this] {
        EXPECT_TRUE(disk().make_directories(path("t-0")).ok());
        EXPECT_TRUE(disk().make_directories(path("t-00")).ok());
        const auto file = open("t-0/log");
        const auto other = open("t-00/log");
        write(*file, 0, "one");
        EXPECT_TRUE(disk().rename(path("t-0"), path("gone")).ok());
        EXPECT_EQ(file->path(), path("gone/log"));
        EXPECT_EQ(other->path(), path("t-00/log"));
        write(*file, 3, ", two");
        EXPECT_EQ(read(*open("gone/log", OpenMode::read_only), 0, 20), "one, two");
    });
}

TEST_P(DiskContract, a_file_that_a_rename_replaces_stays_readable_by_its_handles) {
    run_now([this] {
        const auto old = open("a");
        write(*old, 0, "old");
        const auto fresh = open("b");
        write(*fresh, 0, "new");
        EXPECT_TRUE(disk().rename(path("b"), path("a")).ok());
        EXPECT_EQ(read(*old, 0, 10), "old");
        EXPECT_EQ(read(*fresh, 0, 10), "new");
        EXPECT_EQ(read(*open("a", OpenMode::read_only), 0, 10), "new");
    });
}

TEST_P(DiskContract, a_removed_file_stays_readable_by_ranges_that_are_held) {
    run_now([this] {
        EXPECT_TRUE(disk().make_directories(path("t")).ok());
        auto file = open("t/a");
        write(*file, 0, "0123456789");
        const FileRange range = file->range(2, 5);
        file.reset();
        EXPECT_TRUE(disk().remove(path("t")).ok());
        EXPECT_EQ(content(range), "23456");
        EXPECT_TRUE(disk().make_directories(path("t")).ok());
        write(*open("t/a"), 0, "new content");
        EXPECT_EQ(content(range), "23456");
    });
}

TEST_P(DiskContract, a_range_beyond_the_end_cannot_be_read) {
    run_now([this] {
        const auto file = open("a");
        write(*file, 0, "0123");
        EXPECT_EQ(content(file->range(2, 2)), "23");
        EXPECT_EQ(content(file->range(2, 3)), "unreadable");
    });
}

TEST_P(DiskContract, a_directory_has_one_lock_at_a_time) {
    run_now([this] {
        auto first = disk().lock(path(".lock"));
        EXPECT_TRUE(first.ok());
        auto second = disk().lock(path(".lock"));
        EXPECT_FALSE(second.ok());
        EXPECT_NE(second.error().message.find(path(".lock")), std::string::npos);
        first.value().reset();
        EXPECT_TRUE(disk().lock(path(".lock")).ok());
    });
}

TEST_P(DiskContract, sizes_of_the_device) {
    run_now([this] {
        const auto free = disk().free_bytes(world_->directory());
        const auto total = disk().total_bytes(world_->directory());
        ASSERT_TRUE(free.ok() && total.ok());
        EXPECT_GT(*total, 0u);
        EXPECT_LE(*free, *total);
    });
}

TEST_P(DiskContract, small_files_are_replaced_as_a_whole) {
    run_now([this] {
        EXPECT_TRUE(replace_file(disk(), path("a"), "first, longer").ok());
        EXPECT_TRUE(replace_file(disk(), path("a"), "second").ok());
        EXPECT_EQ(*read_file(disk(), path("a"), 100), "second");
        EXPECT_FALSE(read_file(disk(), path("a"), 5).ok());
        EXPECT_TRUE(replace_file_unsynced(disk(), path("a"), "").ok());
        EXPECT_EQ(*read_file(disk(), path("a"), 100), "");
        EXPECT_EQ(disk().list(world_->directory())->size(), 1u);
    });
}

TEST_P(DiskContract, run_does_the_work_before_it_goes_on) {
    run([this]() -> Task<void> {
        const auto file = open("a");
        REQUIRE(file);
        std::atomic<int> done{0};
        for (int i = 0; i < 100; ++i) {
            std::function<void()> work = [&] {
                write(*file, static_cast<std::uint64_t>(i), "x");
                ++done;
            };
            co_await disk().run(work);
            EXPECT_EQ(done, i + 1);
        }
        EXPECT_EQ(read(*file, 0, 200), std::string(100, 'x'));
    });
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DiskContract);

}  // namespace pabal::io::contract
