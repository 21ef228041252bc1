// One broker on a thread of this process: a node, its shard and its ports, behind calls that may
// come from any other thread. pabal-server is one of these with signals; the Python package holds
// several.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/exported.h"
#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "node/node.h"

namespace pabal::embedded {

struct World;

struct BrokerOptions {
    // Called on the broker's thread when it can serve no more (its last log directory failed).
    std::function<void(const std::string& why)> on_failure;
    // The directory goes with the broker: the store waits for no disk, as a loss of power takes it
    // all anyhow.
    bool temporary = false;
    // Of the cluster that it belongs to; none: it has time and network for itself.
    std::shared_ptr<World> world;
    // Demanded of directories that are formatted already, given to empty ones.
    std::optional<std::string> cluster_id;
    // As NodeOptions has them: who votes first where voters are dynamic (KIP-853).
    bool standalone = false;
    bool no_initial_controllers = false;
    std::optional<std::string> initial_controllers;
};

// Why there is no broker setting of that name, and which one is nearest; none if Kafka has it,
// obeyed here or not.
PABAL_EXPORTED std::optional<std::string> unknown_setting(std::string_view name);

class PABAL_EXPORTED Broker {
public:
    // Checks `properties` (Kafka's names) and makes the node; nothing runs yet. Settings that Kafka
    // knows and this broker does not use are told to `log`. Errors: invalid_config.
    static Result<std::unique_ptr<Broker>> make(
        const std::map<std::string, std::string>& properties, Logger log,
        BrokerOptions options = {});
    // A broker that still runs is killed.
    ~Broker();
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;

    // Ready when clients are served, or when it is known why they cannot be. Once.
    std::future<Status> start();
    // Clean shutdown; ready when all is on disk and freed. Once, after start() is ready.
    std::future<void> stop();
    // As SIGKILL would: from now on no effect leaves this broker; then everything is freed.
    void kill();
    // As SIGSTOP and SIGCONT would: its thread stands still. Twice is fine.
    void pause();
    void resume();

    // After a start that succeeded.
    const std::vector<node::Endpoint>& listeners() const { return listeners_; }
    const std::string& cluster_id() const { return cluster_id_; }
    // In the text format that Prometheus reads. While the broker runs.
    std::string metrics();

private:
    struct Parts;
    explicit Broker(std::unique_ptr<Parts> parts);

    std::unique_ptr<Parts> parts_;
    std::vector<node::Endpoint> listeners_;
    std::string cluster_id_;
};

}  // namespace pabal::embedded
