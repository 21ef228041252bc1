#include "embedded/wires.h"

#include <cerrno>

#include "io/clock.h"
#include "io/gate.h"

namespace pabal::embedded {

struct WiredNetwork::Wait {
    explicit Wait(io::Clock& clock) : gate(clock) {}
    io::Gate gate;
};

void Wires::place(BrokerId node, std::uint16_t port) {
    const std::lock_guard lock(mutex_);
    nodes_[port] = node.value();
}

void Wires::cut(BrokerId from, BrokerId to) {
    const std::lock_guard lock(mutex_);
    cuts_.emplace(from.value(), to.value());
    disturbed_.store(true, std::memory_order_release);
}

void Wires::delay(BrokerId from, BrokerId to, Duration by) {
    const std::lock_guard lock(mutex_);
    delays_[{from.value(), to.value()}] = by;
    disturbed_.store(true, std::memory_order_release);
}

void Wires::heal() {
    const std::lock_guard lock(mutex_);
    cuts_.clear();
    delays_.clear();
    disturbed_.store(false, std::memory_order_release);
    for (auto* network : networks_) network->look_again();
}

std::unique_ptr<WiredNetwork> Wires::network_of(BrokerId node, io::Network& below,
                                                io::Clock& clock) {
    return std::make_unique<WiredNetwork>(shared_from_this(), node.value(), below, clock);
}

std::int32_t Wires::node_at(std::uint16_t port) const {
    const std::lock_guard lock(mutex_);
    const auto entry = nodes_.find(port);
    return entry == nodes_.end() ? nobody : entry->second;
}

bool Wires::is_cut(std::int32_t from, std::int32_t to) const {
    const std::lock_guard lock(mutex_);
    return cuts_.contains({from, to});
}

Duration Wires::delay_of(std::int32_t from, std::int32_t to) const {
    const std::lock_guard lock(mutex_);
    const auto entry = delays_.find({from, to});
    return entry == delays_.end() ? Duration() : entry->second;
}

void Wires::connected(std::uint16_t port, std::int32_t node) {
    const std::lock_guard lock(mutex_);
    nodes_[port] = node;
}

void Wires::disconnected(std::uint16_t port) {
    const std::lock_guard lock(mutex_);
    nodes_.erase(port);
}

void Wires::join(WiredNetwork* network) {
    const std::lock_guard lock(mutex_);
    networks_.insert(network);
}

void Wires::leave(WiredNetwork* network) {
    const std::lock_guard lock(mutex_);
    networks_.erase(network);
}

// A connection of a broker. While nothing is disturbed it only passes on.
class WiredStream final : public io::Stream {
public:
    WiredStream(WiredNetwork& network, std::unique_ptr<io::Stream> stream, std::int32_t peer,
                bool accepted)
        : state_(std::make_shared<State>(network, std::move(stream), peer, accepted)) {
        if (!accepted) network.wires_->connected(local().port, network.node_);
    }
    ~WiredStream() override {
        if (!state_->accepted) state_->network.wires_->disconnected(local().port);
        end();
    }

    io::Task<IoResult<bool>> readable(Instant deadline) override {
        return readable_over_wire(state_, deadline);
    }
    IoResult<io::ReadSome> read_some(MutableByteView into) override {
        if (!state_->network.wires_->is_undisturbed() && state_->is_held_back()) {
            return io::ReadSome();
        }
        return state_->below->read_some(into);
    }
    io::Task<IoStatus> write(Rope rope, Instant deadline) override {
        return state_->below->write(std::move(rope), deadline);
    }
    void close() override {
        state_->below->close();
        end();
    }
    void reset() override {
        state_->below->reset();
        end();
    }
    const io::Address& local() const override { return state_->below->local(); }
    const io::Address& peer() const override { return state_->below->peer(); }

private:
    // Outlives the stream while somebody waits for it.
    struct State {
        State(WiredNetwork& its_network, std::unique_ptr<io::Stream> stream, std::int32_t its_peer,
              bool was_accepted)
            : network(its_network),
              below(std::move(stream)),
              peer(its_peer),
              accepted(was_accepted) {}

        std::int32_t peer_node() {
            // Who connected to us may have told so only after we accepted.
            if (peer == Wires::nobody && accepted) {
                peer = network.wires_->node_at(below->peer().port);
            }
            return peer;
        }
        bool is_held_back() {
            const auto from = peer_node();
            return from != Wires::nobody && network.wires_->is_cut(from, network.node_);
        }
        Duration lateness() { return network.wires_->delay_of(peer_node(), network.node_); }

        WiredNetwork& network;
        std::unique_ptr<io::Stream> below;
        std::int32_t peer;
        bool accepted;
        bool closed = false;
    };

    void end() {
        if (state_->closed) return;
        state_->closed = true;
        if (!state_->network.waits_.empty()) state_->network.look_again();
    }

    static io::Task<IoResult<bool>> readable_over_wire(std::shared_ptr<State> state,
                                                       Instant deadline) {
        const IoError ended{ECANCELED, "waiting for data: the connection was closed here"};
        auto ready = co_await state->below->readable(deadline);
        if (!ready.ok() || !*ready) co_return ready;
        // Looked at afterwards: the wire may have gone bad while this waited.
        if (state->closed || state->network.wires_->is_undisturbed()) co_return ready;
        const Instant arrival = state->network.clock_.now() + state->lateness();
        while (state->network.clock_.now() < arrival) {
            co_await state->network.wait_until_healed(arrival);
            if (state->closed || state->network.dead_) co_return ended;
            if (state->lateness() <= Duration()) break;
        }
        while (state->is_held_back()) {
            auto in_time = co_await state->network.wait_until_healed(deadline);
            if (state->closed || state->network.dead_) co_return ended;
            if (!in_time) co_return false;
        }
        co_return true;
    }

    std::shared_ptr<State> state_;
};

class WiredListener final : public io::Listener {
public:
    WiredListener(WiredNetwork& network, std::unique_ptr<io::Listener> below)
        : network_(network), below_(std::move(below)) {}

    io::Task<IoResult<std::unique_ptr<io::Stream>>> accept() override {
        auto stream = co_await below_->accept();
        if (!stream.ok()) co_return stream;
        co_return network_.wired(std::move(*stream), Wires::nobody, true);
    }
    const io::Address& local() const override { return below_->local(); }
    void close() override { below_->close(); }

private:
    WiredNetwork& network_;
    std::unique_ptr<io::Listener> below_;
};

WiredNetwork::WiredNetwork(std::shared_ptr<Wires> wires, std::int32_t node, io::Network& below,
                           io::Clock& clock)
    : wires_(std::move(wires)),
      node_(node),
      below_(below),
      clock_(clock),
      self_(std::make_shared<WiredNetwork*>(this)) {
    wires_->join(this);
}

WiredNetwork::~WiredNetwork() {
    *self_ = nullptr;
    wires_->leave(this);
}

std::unique_ptr<io::Stream> WiredNetwork::wired(std::unique_ptr<io::Stream> stream,
                                                std::int32_t peer, bool accepted) {
    return std::make_unique<WiredStream>(*this, std::move(stream), peer, accepted);
}

IoResult<std::unique_ptr<io::Listener>> WiredNetwork::listen(io::Address address) {
    PABAL_TRY_ASSIGN(auto listener, below_.listen(std::move(address)));
    return std::unique_ptr<io::Listener>(
        std::make_unique<WiredListener>(*this, std::move(listener)));
}

io::Task<IoResult<std::unique_ptr<io::Stream>>> WiredNetwork::connect(io::Address address,
                                                                      Instant deadline) {
    const auto peer = wires_->node_at(address.port);
    while (!wires_->is_undisturbed() &&
           (wires_->is_cut(node_, peer) || wires_->is_cut(peer, node_))) {
        auto in_time = co_await wait_until_healed(deadline);
        if (dead_) co_return IoError{ECANCELED, "connecting: the broker was killed"};
        if (!in_time) {
            co_return IoError{ETIMEDOUT,
                              "connect to " + io::text(address) + ": Connection timed out"};
        }
    }
    auto stream = co_await below_.connect(address, deadline);
    if (!stream.ok()) co_return stream;
    co_return wired(std::move(*stream), peer, false);
}

io::Task<bool> WiredNetwork::wait_until_healed(Instant deadline) {
    Wait wait(clock_);
    waits_.insert(&wait);
    auto opened = wait.gate.opened(deadline);
    const bool in_time = co_await opened;
    waits_.erase(&wait);
    co_return in_time;
}

void WiredNetwork::look_again() {
    clock_.post([self = self_] {
        if (!*self) return;
        for (auto* wait : (*self)->waits_) wait->gate.open();
    });
}

void WiredNetwork::die() {
    dead_ = true;
    for (auto* wait : waits_) wait->gate.open();
}

}  // namespace pabal::embedded
