// A node's ports on this machine, in a directory that goes with them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "os/node_ports.h"
#include "os/policy_time.h"
#include "tests/unit/io/world.h"

namespace pabal::os {

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string pattern = testing::TempDir() + "pabal-os-XXXXXX";
        path_ = mkdtemp(pattern.data());
    }
    ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

class OsWorld : public io::contract::World {
public:
    OsWorld() : time_(std::make_shared<PolicyTime>()), node_("test", time_, no_store()) {}

    io::Clock& clock() override { return node_.ports().clock; }
    io::Network& network() override { return node_.ports().network; }
    io::Disk& disk() override { return node_.ports().disk; }
    std::string directory() override { return directory_.path(); }
    std::string host() override { return "127.0.0.1"; }
    NodePorts& node() { return node_; }
    PolicyTime& time() { return *time_; }

    void run(std::function<io::Task<void>()> test) override {
        // Shared: the shard may still be leaving the lock when this thread goes on.
        struct End {
            std::mutex mutex;
            std::condition_variable condition;
            bool reached = false;
        };
        auto end = std::make_shared<End>();
        auto run = [](std::function<io::Task<void>()>* body,
                      std::shared_ptr<End> reached) -> io::Task<void> {
            co_await (*body)();
            const std::lock_guard lock(reached->mutex);
            reached->reached = true;
            reached->condition.notify_one();
        };
        clock().post([&] { io::detach(run(&test, end)); });
        std::unique_lock lock(end->mutex);
        ASSERT(
            end->condition.wait_for(lock, std::chrono::seconds(120), [&] { return end->reached; }),
            "a test ends");
    }
    void advance(Duration by) override { time_->advance(by); }

    IoResult<std::unique_ptr<io::Store>> open_store(const std::string&) override {
        return IoError{0, "the stores have their own tests"};
    }
    void kill_store(std::unique_ptr<io::Store>) override {}

private:
    static NodePorts::OpenStore no_store() {
        return [](const std::string&) -> IoResult<std::unique_ptr<io::Store>> {
            return IoError{0, "none"};
        };
    }

    TemporaryDirectory directory_;
    std::shared_ptr<PolicyTime> time_;
    NodePorts node_;
};

}  // namespace pabal::os
