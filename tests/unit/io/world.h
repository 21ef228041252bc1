// What a contract suite runs against: one implementation of the ports with a shard to run on. The
// operating system's world and the simulator's each derive from it and instantiate the same suites
// (INSTANTIATE_TEST_SUITE_P), so that the simulated world stays honest.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "io/clock.h"
#include "io/disk.h"
#include "io/network.h"
#include "io/store.h"
#include "io/task.h"

namespace pabal::io::contract {

class World {
public:
    virtual ~World() = default;

    virtual Clock& clock() = 0;
    virtual Network& network() = 0;
    virtual Disk& disk() = 0;
    // An empty directory that exists, without a slash at its end; the same on every call.
    virtual std::string directory() = 0;
    // Where this world listens and can be reached.
    virtual std::string host() = 0;

    // Runs `test` on the shard until it ends, and keeps the closure alive meanwhile. The ports are
    // touched only inside of it.
    virtual void run(std::function<Task<void>()> test) = 0;
    // Moves policy time and drains what became due. Called outside of `run`.
    virtual void advance(Duration by) = 0;

    virtual IoResult<std::unique_ptr<Store>> open_store(const std::string& directory) = 0;
    // Ends the store as the sudden end of the process would.
    virtual void kill_store(std::unique_ptr<Store> store) = 0;
};

using MakeWorld = std::unique_ptr<World> (*)();

class ContractTest : public testing::TestWithParam<MakeWorld> {
protected:
    ContractTest() : world_(GetParam()()) {}
    Clock& clock() { return world_->clock(); }
    Network& network() { return world_->network(); }
    Disk& disk() { return world_->disk(); }
    std::string path(const std::string& name) { return world_->directory() + "/" + name; }
    Instant after(Duration duration) { return clock().now() + duration; }
    void run(std::function<Task<void>()> test) { world_->run(std::move(test)); }
    // A test that awaits nothing.
    void run_now(std::function<void()> test) {
        world_->run([&test]() -> Task<void> {
            test();
            co_return;
        });
    }

    std::unique_ptr<World> world_;
};

// ASSERT_TRUE for coroutines.
#define REQUIRE(condition)               \
    do {                                 \
        if (!(condition)) {              \
            ADD_FAILURE() << #condition; \
            co_return;                   \
        }                                \
    } while (false)

}  // namespace pabal::io::contract
