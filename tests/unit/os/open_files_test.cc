#include "os/open_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/prng.h"
#include "os/disk.h"
#include "os/machine.h"
#include "os/power.h"
#include "tests/unit/os/os_world.h"

namespace pabal::os {
namespace {

std::size_t descriptor_count() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator("/proc/self/fd")) {
        ++count;
    }
    return count;
}

class OpenFilesTest : public testing::Test {
protected:
    std::string path(int number) const { return directory_.path() + "/" + std::to_string(number); }
    std::shared_ptr<io::File> create(Disk& disk, const std::string& path) {
        auto file = disk.open(path, io::OpenMode::create);
        EXPECT_TRUE(file.ok()) << file.error().message;
        return std::move(file).value();
    }
    static std::string read(const io::File& file) {
        std::string text(100, '\0');
        const auto count = file.read(0, {reinterpret_cast<std::uint8_t*>(text.data()), 100});
        if (!count.ok()) return count.error().message;
        text.resize(*count);
        return text;
    }
    static IoStatus write(io::File& file, const std::string& text) {
        const ByteView pieces[] = {as_bytes(text)};
        return file.write(0, pieces);
    }

    TemporaryDirectory directory_;
    std::shared_ptr<Power> power_ = std::make_shared<Power>();
};

TEST_F(OpenFilesTest, ten_thousand_files_live_within_sixty_four_descriptors) {
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit tight{64, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    EXPECT_EQ(OpenFiles::default_limit(), 16u);
    {
        const auto machine = std::make_shared<Machine>(OpenFiles::default_limit());
        Disk disk(machine, power_, nullptr);
        std::vector<std::shared_ptr<io::File>> files;
        for (int i = 0; i < 10000; ++i) {
            files.push_back(create(disk, path(i)));
            ASSERT_TRUE(write(*files.back(), std::to_string(i)).ok());
        }
        EXPECT_LE(machine->open_files.open_count(), 16u);
        Prng random(1);
        for (int i = 0; i < 20000; ++i) {
            const auto number = random.below(10000);
            ASSERT_EQ(read(*files[number]), std::to_string(number));
        }
        EXPECT_LE(machine->open_files.open_count(), 16u);
        // Others may take what is left: then ours make room.
        std::vector<int> taken;
        for (int descriptor = dup(0); descriptor >= 0; descriptor = dup(0)) {
            taken.push_back(descriptor);
        }
        for (int i = 0; i < 100; ++i) ASSERT_EQ(read(*files[i]), std::to_string(i));
        for (const int descriptor : taken) close(descriptor);
    }
    setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(OpenFilesTest, a_file_costs_no_descriptor_until_it_is_used) {
    const auto machine = std::make_shared<Machine>(100);
    Disk disk(machine, power_, nullptr);
    const std::size_t before = descriptor_count();
    std::vector<std::shared_ptr<io::File>> files;
    for (int i = 0; i < 50; ++i) {
        files.push_back(create(disk, path(i)));
        EXPECT_EQ(*files.back()->size(), 0u);
    }
    EXPECT_EQ(descriptor_count(), before);
    EXPECT_TRUE(write(*files[0], "x").ok());
    EXPECT_EQ(descriptor_count(), before + 1);
    files.clear();
    EXPECT_EQ(descriptor_count(), before);
}

TEST_F(OpenFilesTest, what_is_used_often_stays_open) {
    const auto machine = std::make_shared<Machine>(8);
    Disk disk(machine, power_, nullptr);
    const auto kept = create(disk, path(0));
    int descriptor = -1;
    int changes = 0;
    for (int i = 1; i < 200; ++i) {
        const auto pin = static_cast<File*>(kept.get())->pin();
        ASSERT_TRUE(pin.ok());
        struct stat status = {};
        fstat(pin->descriptor(), &status);
        if (pin->descriptor() != descriptor) ++changes;
        descriptor = pin->descriptor();
        const auto other = create(disk, path(i));
        EXPECT_TRUE(write(*other, "x").ok());
    }
    EXPECT_EQ(changes, 1);
}

TEST_F(OpenFilesTest, a_pinned_descriptor_is_not_closed) {
    const auto machine = std::make_shared<Machine>(4);
    Disk disk(machine, power_, nullptr);
    std::vector<std::shared_ptr<io::File>> files;
    std::vector<NamedFile::Pin> pins;
    for (int i = 0; i < 10; ++i) {
        files.push_back(create(disk, path(i)));
        ASSERT_TRUE(write(*files.back(), std::to_string(i)).ok());
        auto pin = static_cast<File*>(files.back().get())->pin();
        ASSERT_TRUE(pin.ok());
        pins.push_back(std::move(pin).value());
    }
    EXPECT_EQ(machine->open_files.open_count(), 10u);
    for (int i = 0; i < 10; ++i) {
        char digit = 0;
        EXPECT_EQ(pread(pins[static_cast<std::size_t>(i)].descriptor(), &digit, 1, 0), 1);
        EXPECT_EQ(digit, '0' + i);
    }
    pins.clear();
    EXPECT_TRUE(write(*create(disk, path(11)), "x").ok());
    EXPECT_LE(machine->open_files.open_count(), 4u);
}

TEST_F(OpenFilesTest, removing_many_held_files_keeps_within_the_limit) {
    const auto machine = std::make_shared<Machine>(20);
    Disk disk(machine, power_, nullptr);
    std::vector<std::shared_ptr<io::File>> files;
    ASSERT_TRUE(disk.make_directories(directory_.path() + "/t").ok());
    for (int i = 0; i < 100; ++i) {
        files.push_back(create(disk, directory_.path() + "/t/" + std::to_string(i)));
        ASSERT_TRUE(write(*files.back(), "x").ok());
    }
    ASSERT_TRUE(disk.remove(directory_.path() + "/t").ok());
    EXPECT_LE(machine->open_files.open_count(), 20u);
    int readable = 0;
    for (const auto& file : files) readable += read(*file) == "x";
    EXPECT_GE(readable, 10);
    files.clear();
    EXPECT_EQ(machine->open_files.open_count(), 0u);
}

TEST_F(OpenFilesTest, threads_read_write_rename_and_remove_at_once) {
    const auto machine = std::make_shared<Machine>(8);
    Disk disk(machine, power_, nullptr);
    std::vector<std::shared_ptr<io::File>> files;
    for (int i = 0; i < 40; ++i) {
        files.push_back(create(disk, path(i)));
        ASSERT_TRUE(write(*files.back(), std::to_string(i)).ok());
    }
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            Prng random(static_cast<std::uint64_t>(t));
            while (!done) {
                const auto number = random.below(40);
                EXPECT_EQ(read(*files[number]), std::to_string(number));
                if (random.chance(1, 3)) {
                    EXPECT_TRUE(write(*files[number], std::to_string(number)).ok());
                }
            }
        });
    }
    // Files swap their names, while new ones come and go under the old names.
    for (int round = 0; round < 300; ++round) {
        for (int i = 0; i < 40; i += 7) {
            const std::string from = files[static_cast<std::size_t>(i)]->path();
            const std::string to = directory_.path() + "/r" + std::to_string(round * 40 + i);
            ASSERT_TRUE(disk.rename(from, to).ok());
            const auto impostor = create(disk, from);
            ASSERT_TRUE(write(*impostor, "impostor").ok());
            ASSERT_TRUE(disk.remove(from).ok());
        }
    }
    done = true;
    for (auto& thread : threads) thread.join();
}

TEST_F(OpenFilesTest, a_full_device_is_told_as_such) {
    const auto machine = std::make_shared<Machine>(8);
    Disk disk(machine, power_, nullptr);
    const auto full = disk.open("/dev/full", io::OpenMode::read_write);
    ASSERT_TRUE(full.ok());
    const auto status = write(**full, "x");
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().errno_value, ENOSPC);
    EXPECT_EQ(status.error().message,
              "cannot write to /dev/full at byte 0: no space left on device");
}

TEST_F(OpenFilesTest, without_power_nothing_is_changed_any_more) {
    const auto machine = std::make_shared<Machine>(8);
    Disk disk(machine, power_, nullptr);
    const auto file = create(disk, path(0));
    ASSERT_TRUE(write(*file, "kept").ok());
    power_->cut();
    EXPECT_NE(write(*file, "lost").error().message.find("killed"), std::string::npos);
    EXPECT_FALSE(file->sync().ok());
    EXPECT_FALSE(file->truncate(0).ok());
    EXPECT_FALSE(disk.remove(path(0)).ok());
    EXPECT_FALSE(disk.rename(path(0), path(1)).ok());
    EXPECT_FALSE(disk.open(path(2), io::OpenMode::create).ok());
    EXPECT_FALSE(disk.make_directories(path(3)).ok());
    EXPECT_EQ(read(*file), "kept");
}

TEST_F(OpenFilesTest, the_holder_of_a_lock_is_named) {
    const auto machine = std::make_shared<Machine>(8);
    Disk disk(machine, power_, nullptr);
    const std::string lock_path = directory_.path() + "/.lock";
    int ready[2];
    int finish[2];
    ASSERT_EQ(pipe(ready), 0);
    ASSERT_EQ(pipe(finish), 0);
    const pid_t child = fork();
    if (child == 0) {
        close(finish[1]);
        // As Java takes it.
        const int descriptor = open(lock_path.c_str(), O_RDWR | O_CREAT, 0644);
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        const char byte = fcntl(descriptor, F_SETLK, &lock) == 0 ? '1' : '0';
        if (::write(ready[1], &byte, 1) != 1) _exit(1);
        char end = 0;
        _exit(static_cast<int>(::read(finish[0], &end, 1)));
    }
    close(finish[0]);
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    ASSERT_EQ(byte, '1');
    const auto refused = disk.lock(lock_path);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("process " + std::to_string(child)), std::string::npos)
        << refused.error().message;
    close(finish[1]);
    int status = 0;
    waitpid(child, &status, 0);
    auto lock = disk.lock(lock_path);
    ASSERT_TRUE(lock.ok());
    const auto again = disk.lock(lock_path);
    ASSERT_FALSE(again.ok());
    EXPECT_NE(again.error().message.find("another broker of this process"), std::string::npos);
    close(ready[0]);
    close(ready[1]);
}

}  // namespace
}  // namespace pabal::os
