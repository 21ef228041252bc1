// One node: the only place where the concrete parts of a broker and controller meet. It is handed
// its ports and never learns whose they are: an operating system's (pabal-server, the Python
// package) or a simulator's. Lives on one shard; every member is called there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/result.h"
#include "io/ports.h"
#include "io/task.h"

namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
}  // namespace pabal::metadata

namespace pabal::node {

struct NodeOptions {
    // Demanded of directories that are formatted already, given to empty ones. Without it an empty
    // directory gets a random one.
    std::optional<std::string> cluster_id;
    // An empty log directory is formatted at start, as kafka-storage would; else it is refused.
    bool format_empty_directories = true;
    // Who votes first in a quorum whose voters stand in its log (KIP-853): written when an empty
    // metadata log directory is formatted, and of no meaning for others. `by_configuration`: voters
    // are static, or this node is the only one.
    enum class FirstVoters { by_configuration, this_node, named, nobody_yet };
    FirstVoters first_voters = FirstVoters::by_configuration;
    std::string named_voters;  // ID@HOST:PORT:DIRECTORY, and more behind commas.
    // What clients are told of listeners that are bound to every interface and not advertised
    // otherwise.
    std::string host_name = "localhost";
    // Called once, on the shard, when the node can serve no more (its metadata log or its last log
    // directory failed): whoever owns it has to end it.
    std::function<void(const std::string& why)> on_failure;
};

// A listener as clients reach it.
struct Endpoint {
    std::string name;  // "PLAINTEXT"
    std::string host;
    std::uint16_t port = 0;  // The one that the system chose, for port 0.
};

class Node {
public:
    Node(io::Ports ports, metadata::BrokerConfig config, NodeOptions options, Logger log);
    // After stop() or kill() has ended, or if start() was never called or failed.
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // Until clients are served. On failure the sentence says what to do, everything is released
    // again, and the node cannot be started once more.
    io::Task<Status> start();
    // Clean shutdown: no new connections, waits are answered, replies leave, logs are flushed and
    // Kafka's checkpoint files are written. Bounded in time.
    io::Task<void> stop();
    // The shell's half of a SIGKILL: connections are reset without a reply, nothing is flushed and
    // no file is written; then waits end and memory is freed. Also while start() has not ended:
    // then it fails. (The ports must refuse effects from the same instant on.)
    io::Task<void> kill();

    // From start() on.
    const std::vector<Endpoint>& listeners() const;
    const std::string& cluster_id() const;
    // What the parts do not count themselves is brought up to date by this call.
    Metrics& metrics();
    std::shared_ptr<const metadata::ClusterImage> image() const;

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace pabal::node
