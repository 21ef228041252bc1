// What a simulated machine runs as its broker: a real node, or something small in the simulator's
// own tests. Owned by the Cluster, one object per life; lives on its process's shard.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "io/ports.h"
#include "io/task.h"

namespace pabal::sim {

// Of log.dirs, where a scenario names more than the first.
inline constexpr char first_log_directory[] = "/data";
inline constexpr char second_log_directory[] = "/more";

inline constexpr std::uint16_t broker_port = 9092;
// Of the controllers, where there are several brokers.
inline constexpr std::uint16_t controller_port = 9093;

class Server {
public:
    virtual ~Server() = default;
    virtual io::Task<Status> start() = 0;
    virtual io::Task<void> stop() = 0;
    // Its ports are dead already; ends all waits.
    virtual io::Task<void> kill() = 0;
};

// What a server is made of.
struct ServerSeat {
    io::Ports ports;
    std::string host;  // Where clients find it.
    Logger log;
    // To be called on the shard when the server can serve no more; it is killed then.
    std::function<void(const std::string& why)> on_failure;
    std::int32_t id = 0;
    std::vector<std::string> hosts{host};  // Of all brokers, in the order of their ids.
};

using MakeServer = std::function<Result<std::unique_ptr<Server>>(ServerSeat seat)>;

}  // namespace pabal::sim
