#include "embedded/broker.h"

#include <condition_variable>
#include <mutex>

#include "embedded/world.h"
#include "kv/rocks_store.h"
#include "metadata/broker_config.h"
#include "os/host_name.h"
#include "os/node_ports.h"
#include "wire/config_table.h"

namespace pabal::embedded {

// Holds a shard's thread, which looks at nothing else meanwhile.
class Pause {
public:
    void hold() {
        std::unique_lock lock(mutex_);
        resumed_.wait(lock, [this] { return over_; });
    }
    void end() {
        const std::lock_guard lock(mutex_);
        over_ = true;
        resumed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable resumed_;
    bool over_ = false;
};

std::optional<std::string> unknown_setting(std::string_view name) {
    constexpr auto scope = wire::ConfigScope::broker;
    if (wire::find_config(scope, name) || wire::is_unused_config(scope, name)) return std::nullopt;
    return wire::unknown_config(scope, name).message;
}

struct Broker::Parts {
    Parts(metadata::BrokerConfig config, Logger log, node::NodeOptions node_options,
          const BrokerOptions& options)
        : ports("pabal-" + std::to_string(config.node_id().value()),
                options.world ? options.world->policy_time : std::make_shared<os::PolicyTime>(),
                options.temporary ? kv::open_temporary_store : kv::open_store) {
        ports.shard().run([&] {
            io::Ports& all = ports.ports();
            if (options.world) {
                network =
                    options.world->wires->network_of(config.node_id(), all.network, all.clock);
            }
            io::Network& reached = network ? static_cast<io::Network&>(*network) : all.network;
            node = std::make_unique<node::Node>(
                io::Ports{all.clock, reached, all.disk, all.random, all.open_store},
                std::move(config), std::move(node_options), std::move(log));
        });
    }
    ~Parts() {
        ports.shard().run([this] {
            node.reset();
            network.reset();
        });
    }

    os::NodePorts ports;
    // Used on the shard only.
    std::unique_ptr<WiredNetwork> network;
    std::unique_ptr<node::Node> node;
    bool running = false;  // Start was asked for, neither stop nor kill was.
    std::shared_ptr<Pause> pause;
};

namespace {

using Promise = std::shared_ptr<std::promise<void>>;

io::Task<void> start_node(node::Node* node, std::shared_ptr<std::promise<Status>> result,
                          Broker* broker, void (*serving)(Broker*, node::Node*)) {
    auto status = co_await node->start();
    if (status.ok()) serving(broker, node);
    result->set_value(std::move(status));
}

io::Task<void> stop_node(node::Node* node, Promise result) {
    co_await node->stop();
    result->set_value();
}

io::Task<void> kill_node(node::Node* node, Promise result) {
    co_await node->kill();
    result->set_value();
}

}  // namespace

Broker::Broker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Broker::~Broker() {
    kill();
}

Result<std::unique_ptr<Broker>> Broker::make(const std::map<std::string, std::string>& properties,
                                             Logger log, BrokerOptions options) {
    std::vector<std::string> warnings;
    PABAL_TRY_ASSIGN(auto config, metadata::BrokerConfig::parse(properties, &warnings));
    for (const auto& warning : warnings) log.warning(warning);
    node::NodeOptions node_options;
    node_options.cluster_id = options.cluster_id;
    node_options.host_name = os::host_name();
    node_options.on_failure = options.on_failure;
    using FirstVoters = node::NodeOptions::FirstVoters;
    if (options.standalone) node_options.first_voters = FirstVoters::this_node;
    if (options.no_initial_controllers) node_options.first_voters = FirstVoters::nobody_yet;
    if (options.initial_controllers) {
        node_options.first_voters = FirstVoters::named;
        node_options.named_voters = *options.initial_controllers;
    }
    return std::unique_ptr<Broker>(new Broker(std::make_unique<Parts>(
        std::move(config), std::move(log), std::move(node_options), options)));
}

std::future<Status> Broker::start() {
    parts_->running = true;
    auto result = std::make_shared<std::promise<Status>>();
    auto future = result->get_future();
    parts_->ports.shard().post([this, result] {
        const auto serving = [](Broker* broker, node::Node* node) {
            broker->listeners_ = node->listeners();
            broker->cluster_id_ = node->cluster_id();
        };
        io::detach(start_node(parts_->node.get(), result, this, serving));
    });
    return future;
}

std::future<void> Broker::stop() {
    resume();
    parts_->running = false;
    auto result = std::make_shared<std::promise<void>>();
    auto future = result->get_future();
    parts_->ports.shard().post(
        [this, result] { io::detach(stop_node(parts_->node.get(), result)); });
    return future;
}

void Broker::kill() {
    if (!parts_->running) return;
    parts_->running = false;
    parts_->ports.cut();
    resume();
    parts_->ports.kill();
    parts_->ports.shard().run([this] {
        if (parts_->network) parts_->network->die();
    });
    auto result = std::make_shared<std::promise<void>>();
    auto future = result->get_future();
    parts_->ports.shard().post(
        [this, result] { io::detach(kill_node(parts_->node.get(), result)); });
    future.wait();
}

void Broker::pause() {
    if (parts_->pause) return;
    parts_->pause = std::make_shared<Pause>();
    parts_->ports.shard().post([pause = parts_->pause] { pause->hold(); });
}

void Broker::resume() {
    if (!parts_->pause) return;
    parts_->pause->end();
    parts_->pause.reset();
}

std::string Broker::metrics() {
    std::string text;
    parts_->ports.shard().run([&] { text = parts_->node->metrics().render(); });
    return text;
}

}  // namespace pabal::embedded
