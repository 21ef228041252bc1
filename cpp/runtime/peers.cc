#include "runtime/peers.h"

#include <algorithm>

namespace pabal::runtime {
namespace {

// A peer that takes longer to greet is asked again; a stop must not wait for it.
constexpr Duration greeting = Duration::seconds(2);

Error stopped() {
    return {ErrorCode::network_exception, "this node is stopping"};
}

}  // namespace

// A call that waits for its turn.
struct Peers::Waiting {
    explicit Waiting(io::Clock& clock) : gate(clock) {}
    io::Gate gate;
};

Peers::Peers(io::Clock* clock, io::Network* network, std::string client_id)
    : clock_(clock), network_(network), client_id_(std::move(client_id)) {}

Peers::~Peers() {
    ASSERT(calls_ == 0, "stop() ends all calls");
}

io::Task<Result<std::shared_ptr<Peers::Link>>> Peers::acquire(Key key, io::Address address,
                                                              Instant deadline) {
    if (stopped_) co_return stopped();
    std::shared_ptr<Link>& kept = links_[key];
    if (!kept) kept = std::make_shared<Link>();
    std::shared_ptr<Link> link = kept;
    ++calls_;
    if (link->busy) {
        Waiting turn(*clock_);
        link->waiting.push_back(&turn);
        auto opened = co_await turn.gate.opened(deadline);
        // The turn was given to this call unless the deadline came before.
        std::erase(link->waiting, &turn);
        if (!opened) {
            --calls_;
            if (calls_ == 0 && idle_gate_) idle_gate_->open();
            co_return Error{ErrorCode::request_timed_out,
                            "earlier calls to " + key.first + " took all the time"};
        }
    }
    link->busy = true;
    if (!stopped_ && !link->connection) {
        const Instant greeted = std::min(deadline, clock_->now() + greeting);
        std::string client_id = client_id_;
        auto made = co_await rpc::Connection::open(network_, std::move(address),
                                                   std::move(client_id), greeted);
        if (!made.ok()) {
            release(link, false);
            co_return made.error();
        }
        link->connection = std::move(*made);
    }
    if (stopped_) {
        release(link, false);
        co_return stopped();
    }
    co_return link;
}

void Peers::release(std::shared_ptr<Link> link, bool usable) {
    if (!usable) link->connection.reset();
    --calls_;
    if (!link->waiting.empty()) {
        // Stays busy: the next call has it now.
        Waiting* next = link->waiting.front();
        link->waiting.pop_front();
        next->gate.open();
    } else {
        link->busy = false;
    }
    if (calls_ == 0 && idle_gate_) idle_gate_->open();
}

void Peers::hang_up(const io::Address& address, Purpose purpose) {
    const auto found = links_.find(Key{io::text(address), purpose});
    if (found == links_.end() || !found->second->connection) return;
    found->second->connection->close();
    if (!found->second->busy) found->second->connection.reset();
}

io::Task<void> Peers::stop() {
    stopped_ = true;
    for (auto& [key, link] : links_)
        if (link->connection) link->connection->close();
    while (calls_ > 0) {
        io::Gate idle(*clock_);
        idle_gate_ = &idle;
        const Instant never = Instant::never();
        auto opened = co_await idle.opened(never);
        static_cast<void>(opened);
        idle_gate_ = nullptr;
    }
    links_.clear();
}

io::Task<void> Peers::kill() {
    for (auto& [key, link] : links_)
        if (link->connection) link->connection->reset();
    co_await stop();
}

}  // namespace pabal::runtime
