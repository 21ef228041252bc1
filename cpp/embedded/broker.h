// One broker on a thread of this process: a node, its shard and its ports, behind calls that may
// come from any other thread. pabal-server is one of these with signals; the Python package holds
// several.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "node/node.h"

namespace pabal::embedded {

class Broker {
public:
    // Checks `properties` (Kafka's names) and makes the node; nothing runs yet. Settings that Kafka
    // knows and this broker does not use are told to `log`. Errors: invalid_config. `on_failure` is
    // called on the broker's thread when it can serve no more (its last log directory failed). In a
    // `temporary` directory the store waits for no disk: a loss of power takes it all anyhow.
    static Result<std::unique_ptr<Broker>> make(
        const std::map<std::string, std::string>& properties, Logger log,
        std::function<void(const std::string& why)> on_failure = {}, bool temporary = false);
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
