#include "embedded/broker.h"

#include "kv/rocks_store.h"
#include "metadata/broker_config.h"
#include "os/host_name.h"
#include "os/node_ports.h"

namespace pabal::embedded {

struct Broker::Parts {
    Parts(metadata::BrokerConfig config, Logger log, node::NodeOptions options, bool temporary)
        : ports("pabal-" + std::to_string(config.node_id().value()),
                std::make_shared<os::PolicyTime>(),
                temporary ? kv::open_temporary_store : kv::open_store) {
        ports.shard().run([&] {
            node = std::make_unique<node::Node>(ports.ports(), std::move(config),
                                                std::move(options), std::move(log));
        });
    }
    ~Parts() {
        ports.shard().run([this] { node.reset(); });
    }

    os::NodePorts ports;
    std::unique_ptr<node::Node> node;  // Used on the shard only.
    bool running = false;              // Start was asked for, neither stop nor kill was.
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
                                             Logger log,
                                             std::function<void(const std::string& why)> on_failure,
                                             bool temporary) {
    std::vector<std::string> warnings;
    PABAL_TRY_ASSIGN(auto config, metadata::BrokerConfig::parse(properties, &warnings));
    for (const auto& warning : warnings) log.warning(warning);
    node::NodeOptions options;
    options.host_name = os::host_name();
    options.on_failure = std::move(on_failure);
    return std::unique_ptr<Broker>(new Broker(
        std::make_unique<Parts>(std::move(config), std::move(log), std::move(options), temporary)));
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
    parts_->ports.kill();
    auto result = std::make_shared<std::promise<void>>();
    auto future = result->get_future();
    parts_->ports.shard().post(
        [this, result] { io::detach(kill_node(parts_->node.get(), result)); });
    future.wait();
}

std::string Broker::metrics() {
    std::string text;
    parts_->ports.shard().run([&] { text = parts_->node->metrics().render(); });
    return text;
}

}  // namespace pabal::embedded
