// The connections of this node to other nodes: one for each address and purpose, kept between
// calls, which go over it one after the other. A connection that fails is forgotten, and the next
// call makes a new one. Owned by the node, lives on its shard.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/time.h"
#include "io/clock.h"
#include "io/gate.h"
#include "io/network.h"
#include "io/task.h"
#include "rpc/connection.h"

namespace pabal::runtime {

enum class Purpose {
    quorum,     // Votes and the news of an election: short calls that nothing may delay.
    heartbeat,  // Registration and heartbeats of a broker, whose end tells that it may be dead.
    control,    // What else a broker asks the active controller for itself.
    forward,    // What it asks for its clients.
    participation,  // Whether a partition takes part in a transaction, asked of its coordinator.
    markers,        // How transactions ended, from their coordinator.
};

class Peers {
public:
    // Both must outlive this.
    Peers(io::Clock* clock, io::Network* network, std::string client_id);
    ~Peers();

    // As rpc::Connection::call, over the connection kept for `address` and `purpose`. Waits until
    // earlier calls over it have ended. NETWORK_EXCEPTION once the peers are stopped.
    template <class Response, class Request>
    io::Task<Result<Response>> call(io::Address address, Purpose purpose, Request request,
                                    Instant deadline) {
        Key key{io::text(address), purpose};
        auto acquired = co_await acquire(key, std::move(address), deadline);
        if (!acquired.ok()) co_return acquired.error();
        std::shared_ptr<Link> link = *acquired;
        rpc::Connection* connection = link->connection.get();
        auto answer = co_await connection->call<Response>(std::move(request), deadline);
        const bool usable = answer.ok() || answer.error().code == ErrorCode::unsupported_version;
        release(link, usable);
        co_return answer;
    }

    // The connection is of no more use: the call that is under way over it ends with an error.
    void hang_up(const io::Address& address, Purpose purpose);
    // Ends all calls with an error, and itself when they have ended. Connections close, or are
    // reset.
    io::Task<void> stop();
    io::Task<void> kill();

private:
    using Key = std::pair<std::string, Purpose>;
    struct Waiting;
    struct Link {
        std::unique_ptr<rpc::Connection> connection;
        bool busy = false;
        std::deque<Waiting*> waiting;
    };

    io::Task<Result<std::shared_ptr<Link>>> acquire(Key key, io::Address address, Instant deadline);
    void release(std::shared_ptr<Link> link, bool usable);

    io::Clock* clock_;
    io::Network* network_;
    std::string client_id_;
    std::map<Key, std::shared_ptr<Link>> links_;
    std::size_t calls_ = 0;  // Under way.
    bool stopped_ = false;
    io::Gate* idle_gate_ = nullptr;  // Opened when the last call has ended, if somebody waits.
};

}  // namespace pabal::runtime
