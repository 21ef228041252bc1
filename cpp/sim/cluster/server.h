// What a simulated machine runs as its broker: a real node, or something small in the simulator's own
// tests. Owned by the Cluster, one object per life; lives on its process's shard.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "io/ports.h"
#include "io/task.h"

namespace pabal::sim {

inline constexpr std::uint16_t broker_port = 9092;

class Server {
public:
    virtual ~Server() = default;
    virtual io::Task<Status> start() = 0;
    virtual io::Task<void> stop() = 0;
    // Its ports are dead already; ends all waits.
    virtual io::Task<void> kill() = 0;
};

// `host` is where clients find it.
using MakeServer = std::function<Result<std::unique_ptr<Server>>(
    io::Ports ports, const std::string& host, Logger log)>;

}  // namespace pabal::sim
