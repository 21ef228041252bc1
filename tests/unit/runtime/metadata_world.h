// A simulated machine on which one controller at a time lives, for tests of the quorum and of the
// controller: started, stopped, killed, robbed of its power, started again.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "metadata/broker_config.h"
#include "runtime/controller.h"
#include "sim/machine.h"

namespace pabal::runtime {

class MetadataWorld {
public:
    explicit MetadataWorld(std::uint64_t seed = 1, std::map<std::string, std::string> extra = {})
        : scheduler_(seed),
          network_(scheduler_),
          machine_(scheduler_, network_, "alpha", 1ull << 30, sim::Skew()),
          config_(parse(std::move(extra))) {}
    ~MetadataWorld() { kill(); }

    sim::Machine& machine() { return machine_; }
    sim::Scheduler& scheduler() { return scheduler_; }
    io::Ports ports() { return process_->ports(); }
    sim::Process& process() { return *process_; }
    const metadata::BrokerConfig& config() const { return config_; }
    Controller& controller() { return *controller_; }
    MetadataPublisher& publisher() { return *publisher_; }
    const metadata::ClusterImage& image() { return *controller_->image(); }

    void boot() {
        process_ = machine_.boot();
        EXPECT_TRUE(ports().disk.make_directories("/data").ok());
        EXPECT_TRUE(ports().disk.sync_directory("/").ok());
    }
    // Boots, and starts a controller.
    Status start(ImageSubscriber subscriber = {}) {
        boot();
        ControllerOptions options;
        options.cluster_id = "the-cluster";
        Prng random = ports().random.fork("incarnation");
        options.incarnation = Uuid::random(random);
        options.controller_endpoints = {{"CONTROLLER", "localhost", 9093, 0}};
        quorum_ = std::make_unique<Quorum>(ports(), QuorumOptions::of(config_));
        publisher_ = std::make_unique<MetadataPublisher>(ports(), config_, quorum_.get(), nullptr);
        controller_ = std::make_unique<Controller>(ports(), config_, quorum_.get(),
                                                   publisher_.get(), options);
        if (subscriber) publisher_->subscribe(std::move(subscriber));
        auto opened = publisher_->open();
        if (opened.ok()) opened = quorum_->start();
        if (!opened.ok()) return opened;
        return run<Status>([this] {
            return controller_->start({{"PLAINTEXT", "localhost", 9092, 0}}, {directory()});
        });
    }
    void stop() {
        if (!controller_) return;
        finish([this] { return controller_->stop(); });
        finish([this] { return publisher_->stop(); });
        finish([this] { return quorum_->stop(); });
        end();
    }
    void kill(sim::Death death = sim::Death::killed) {
        if (!process_) return;
        process_->die(death);
        if (controller_) {
            finish([this] { return controller_->kill(); });
            finish([this] { return quorum_->kill(); });
            finish([this] { return publisher_->stop(); });
        }
        end();
        if (death == sim::Death::power_lost) machine_.lose_power();
    }

    // Runs a task on the shard, and the world until it has ended.
    template <class T>
    T run(std::function<io::Task<T>()> make) {
        std::optional<T> result;
        auto body = [](const std::function<io::Task<T>()>* work,
                       std::optional<T>* into) -> io::Task<void> {
            auto task = (*work)();
            auto value = co_await task;
            into->emplace(std::move(value));
        };
        process_->clock().post([&] { io::detach(body(&make, &result)); });
        EXPECT_TRUE(wait([&] { return result.has_value(); }));
        return std::move(*result);
    }
    void finish(std::function<io::Task<void>()> make) {
        bool done = false;
        auto body = [](const std::function<io::Task<void>()>* work, bool* ended) -> io::Task<void> {
            auto task = (*work)();
            co_await task;
            *ended = true;
        };
        process_->clock().post([&] { io::detach(body(&make, &done)); });
        EXPECT_TRUE(wait([&] { return done; }));
    }
    bool wait(const std::function<bool()>& done) {
        return scheduler_.run_until(done, scheduler_.now() + Duration::seconds(600));
    }

    static DirectoryId directory() { return DirectoryId(*Uuid::parse("EIXF5NxCWBtx-Zq7OuYNnA")); }

private:
    static metadata::BrokerConfig parse(std::map<std::string, std::string> properties) {
        properties.merge(std::map<std::string, std::string>{
            {"node.id", "0"},
            {"process.roles", "broker,controller"},
            {"listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
            {"controller.listener.names", "CONTROLLER"},
            {"log.dirs", "/data"}});
        auto config = metadata::BrokerConfig::parse(properties);
        EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
        return *config;
    }
    void end() {
        controller_.reset();
        publisher_.reset();
        quorum_.reset();
        process_.reset();
    }

    sim::Scheduler scheduler_;
    sim::Network network_;
    sim::Machine machine_;
    metadata::BrokerConfig config_;
    std::unique_ptr<sim::Process> process_;
    std::unique_ptr<Quorum> quorum_;
    std::unique_ptr<MetadataPublisher> publisher_;
    std::unique_ptr<Controller> controller_;
};

}  // namespace pabal::runtime
