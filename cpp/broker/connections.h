// All client connections of one broker, and the listeners through which they come. Accepts within
// max.connections and max.connections.per.ip, closes connections that were idle for
// connections.max.idle.ms, and ends all of them when the node stops. Lives on the broker's shard.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/connection.h"
#include "io/gate.h"
#include "io/network.h"
#include "io/task.h"

namespace pabal::broker {

class Connections {
public:
    // Both outlive this object.
    Connections(Context* context, Dispatch* dispatch);
    ~Connections();
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    // Accepts clients from `listener` from now on.
    void serve(std::unique_ptr<io::Listener> listener, std::string name, ListenerRole role);
    // No more clients are accepted, no more requests are read; what was read is answered.
    void stop();
    // The same for the listeners of brokers alone: the members of the quorum are still heard.
    void stop_clients();
    // All connections end with a reset, nothing is answered.
    void reset();
    // True when all connections have ended; false if the deadline came first.
    io::Task<bool> ended(Instant deadline);

    std::size_t count() const { return connections_.size(); }
    const ByteBudget& budget() const { return budget_; }

private:
    struct Accepting {
        std::unique_ptr<io::Listener> listener;
        std::string name;
        ListenerRole role;
    };

    io::Task<void> accept_from(Accepting* accepting);
    io::Task<void> serve_connection(std::uint64_t id);
    void admit(std::unique_ptr<io::Stream> stream, const Accepting& accepting);
    std::int64_t limit(std::string_view name) const;
    void for_each(const std::function<void(Connection&)>& action);
    bool stops(ListenerRole role) const {
        return stopping_ || (clients_stopping_ && role == ListenerRole::broker);
    }
    void close_listeners();
    void note_end();
    void arm_sweep();
    void sweep();

    Context* context_;
    ByteBudget budget_;
    FrameBuffers frame_buffers_;
    ConnectionShared shared_;
    Duration max_idle_;
    std::vector<std::unique_ptr<Accepting>> listeners_;
    std::size_t accepting_count_ = 0;  // Running accept_from.
    std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    std::map<std::string, std::size_t> per_host_;
    std::uint64_t next_id_ = 0;
    io::TimerId sweep_timer_ = 0;
    std::vector<io::Gate*> waiting_for_room_;
    std::vector<io::Gate*> waiting_for_end_;
    bool stopping_ = false;
    bool clients_stopping_ = false;
    Gauge* open_ = nullptr;
    Counter* accepted_ = nullptr;
};

}  // namespace pabal::broker
