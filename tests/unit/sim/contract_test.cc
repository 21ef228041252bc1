// The shared port contracts, on the simulated ports and several seeds.
#include "sim/machine.h"
#include "tests/unit/io/clock_contract.h"
#include "tests/unit/io/disk_contract.h"
#include "tests/unit/io/network_contract.h"
#include "tests/unit/io/store_contract.h"

namespace pabal::sim {
namespace {

class SimWorld final : public io::contract::World {
public:
    SimWorld(std::uint64_t seed, Skew skew)
        : scheduler_(seed),
          network_(scheduler_),
          machine_(scheduler_, network_, "alpha", 1ull << 30, skew),
          process_(machine_.boot()) {
        EXPECT_TRUE(disk().make_directories(directory()).ok());
    }

    io::Clock& clock() override { return process_->clock(); }
    io::Network& network() override { return process_->ports().network; }
    io::Disk& disk() override { return process_->ports().disk; }
    std::string directory() override { return "/data/world"; }
    std::string host() override { return "alpha"; }

    void run(std::function<io::Task<void>()> test) override {
        bool done = false;
        auto body = [](const std::function<io::Task<void>()>* all, bool* ended) -> io::Task<void> {
            auto task = (*all)();
            co_await task;
            *ended = true;
        };
        process_->clock().post([&] { io::detach(body(&test, &done)); });
        EXPECT_TRUE(
            scheduler_.run_until([&] { return done; }, scheduler_.now() + Duration::seconds(600)));
    }
    void advance(Duration by) override { process_->clock().advance_and_drain(by); }

    IoResult<std::unique_ptr<io::Store>> open_store(const std::string& directory) override {
        if (!image_) image_ = std::make_shared<StoreImage>(scheduler_, directory);
        return std::unique_ptr<io::Store>(std::make_unique<Store>(image_));
    }
    void kill_store(std::unique_ptr<io::Store> store) override {
        static_cast<Store&>(*store).die();
        image_->process_died();
    }

private:
    Scheduler scheduler_;
    Network network_;
    Machine machine_;
    std::unique_ptr<Process> process_;
    std::shared_ptr<StoreImage> image_;
};

std::unique_ptr<io::contract::World> plain() {
    return std::make_unique<SimWorld>(1, Skew());
}
std::unique_ptr<io::contract::World> second() {
    return std::make_unique<SimWorld>(2, Skew());
}
std::unique_ptr<io::contract::World> fast() {
    return std::make_unique<SimWorld>(3, Skew{Duration::seconds(7), 150, Duration::seconds(-3)});
}
std::unique_ptr<io::contract::World> slow() {
    return std::make_unique<SimWorld>(4, Skew{Duration::seconds(90), -150, Duration::seconds(3)});
}

}  // namespace
}  // namespace pabal::sim

namespace pabal::io::contract {

const auto worlds = testing::Values(&sim::plain, &sim::second, &sim::fast, &sim::slow);
std::string name_of(const testing::TestParamInfo<MakeWorld>& info) {
    const char* names[] = {"plain", "second", "fast_clock", "slow_clock"};
    return names[info.index];
}
INSTANTIATE_TEST_SUITE_P(sim, ClockContract, worlds, name_of);
INSTANTIATE_TEST_SUITE_P(sim, DiskContract, worlds, name_of);
INSTANTIATE_TEST_SUITE_P(sim, NetworkContract, worlds, name_of);
INSTANTIATE_TEST_SUITE_P(sim, StoreContract, worlds, name_of);

}  // namespace pabal::io::contract
