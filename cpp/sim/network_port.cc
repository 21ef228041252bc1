#include "sim/network_port.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace pabal::sim {
namespace {

constexpr Duration first_connect_retry = Duration::seconds(1);

IoError stream_error(int errno_value, const std::string& what, const io::Address& peer,
                     const char* why) {
    return IoError{errno_value, "cannot " + what + " " + io::text(peer) + ": " + why};
}

}  // namespace

class SimStream final : public io::Stream {
public:
    SimStream(sim::Network& network, io::Clock& clock, std::shared_ptr<Connection> connection,
              int end)
        : network_(network), clock_(clock), connection_(std::move(connection)), end_(end) {}
    ~SimStream() override {
        ASSERT(!self().readable && !self().writable, "a stream outlives its waits");
        network_.close(connection_, end_);
    }

    io::Task<IoResult<bool>> readable(Instant deadline) override {
        if (!has_news()) {
            io::Gate gate(clock_);
            self().readable = &gate;
            auto opened = gate.opened(deadline);
            const bool in_time = co_await opened;
            self().readable = nullptr;
            if (!in_time) co_return false;
        }
        if (self().closed) co_return stream_error(ECANCELED, "read from", peer(), "it was closed");
        if (self().broken) co_return broken("read from");
        co_return true;
    }

    IoResult<io::ReadSome> read_some(MutableByteView into) override {
        if (self().closed) return stream_error(ECANCELED, "read from", peer(), "it was closed");
        if (self().broken) return broken("read from");
        auto& pipe = connection_->pipes[1 - end_];
        io::ReadSome result;
        std::uint64_t there = 0;
        for (const auto& bytes : pipe.arrived) there += bytes.size();
        auto wanted = std::min<std::uint64_t>(into.size(), there);
        // A read may be short at any byte.
        if (wanted > 1 && network_.cut_random_.chance(1, 4)) {
            wanted = 1 + network_.cut_random_.below(wanted);
        }
        while (result.count < wanted) {
            auto& front = pipe.arrived.front();
            const auto count = std::min<std::size_t>(front.size(), wanted - result.count);
            std::copy(front.begin(), front.begin() + count, into.begin() + result.count);
            result.count += count;
            front = front.slice(count);
            if (front.empty()) pipe.arrived.pop_front();
        }
        result.end_of_stream = pipe.arrived.empty() && self().end_arrived && result.count == 0;
        pipe.unread_bytes -= result.count;
        if (result.count > 0) tell_space();
        return result;
    }

    io::Task<IoStatus> write(Rope rope, Instant deadline) override {
        ASSERT(!self().writable, "one write at a time");
        for (const auto& piece : rope.pieces()) {
            std::size_t at = 0;
            const std::size_t size = std::holds_alternative<Bytes>(piece)
                                         ? std::get<Bytes>(piece).size()
                                         : std::get<FileRange>(piece).length;
            while (at < size) {
                if (self().closed) {
                    co_return stream_error(ECANCELED, "write to", peer(), "it was closed");
                }
                if (self().broken) co_return broken("write to");
                const std::size_t space = free_space();
                if (space == 0) {
                    io::Gate gate(clock_);
                    self().writable = &gate;
                    auto opened = gate.opened(deadline);
                    const bool in_time = co_await opened;
                    self().writable = nullptr;
                    if (!in_time) {
                        co_return stream_error(ETIMEDOUT, "write to", peer(),
                                               "it takes no more in time");
                    }
                    continue;
                }
                std::size_t count = std::min(space, size - at);
                if (count > 1 && network_.cut_random_.chance(1, 3)) {
                    count = 1 + network_.cut_random_.below(count);
                }
                Bytes bytes;
                if (!take(piece, at, count, &bytes)) {
                    network_.reset(connection_, end_);
                    co_return stream_error(EIO, "write to", peer(), "a file could not be read");
                }
                network_.send(connection_, end_, {Pipe::Kind::data, std::move(bytes)});
                at += count;
            }
        }
        if (self().closed) co_return stream_error(ECANCELED, "write to", peer(), "it was closed");
        if (self().broken) co_return broken("write to");
        co_return IoStatus();
    }

    void close() override { network_.close(connection_, end_); }
    void reset() override { network_.reset(connection_, end_); }
    const io::Address& local() const override { return self().local; }
    const io::Address& peer() const override { return self().peer; }

private:
    Endpoint& self() { return connection_->ends[end_]; }
    const Endpoint& self() const { return connection_->ends[end_]; }

    bool has_news() const {
        return self().closed || self().broken || self().end_arrived ||
               !connection_->pipes[1 - end_].arrived.empty();
    }
    IoError broken(const std::string& what) const {
        return stream_error(ECONNRESET, what, peer(), "Connection reset by peer");
    }
    std::size_t free_space() const {
        const auto unread = connection_->pipes[end_].unread_bytes;
        const auto window = network_.profile.window_bytes;
        return window > unread ? static_cast<std::size_t>(window - unread) : 0;
    }
    static bool take(const Rope::Piece& piece, std::size_t at, std::size_t count, Bytes* out) {
        if (const auto* bytes = std::get_if<Bytes>(&piece)) {
            *out = bytes->slice(at, count);
            return true;
        }
        const auto& range = std::get<FileRange>(piece);
        Buffer buffer(count);
        if (!range.file->read_exactly(range.position + at, buffer.view())) return false;
        *out = Bytes(std::move(buffer));
        return true;
    }
    // The peer's writer learns of the space after a latency.
    void tell_space() {
        auto& network = network_;
        auto connection = connection_;
        const int other = 1 - end_;
        if (!connection->ends[other].writable) return;
        network.scheduler_.at(
            network.scheduler_.now() + network.latency(), network.lane_,
            [&network, connection, other] { network.wake(connection->ends[other].writable); });
    }

    sim::Network& network_;
    io::Clock& clock_;
    std::shared_ptr<Connection> connection_;
    int end_;
};

class SimListener final : public io::Listener {
public:
    SimListener(sim::Network& network, io::Clock& clock, std::string host,
                std::shared_ptr<ListenerState> state)
        : network_(network), clock_(clock), host_(std::move(host)), state_(std::move(state)) {}
    ~SimListener() override { close(); }

    io::Task<IoResult<std::unique_ptr<io::Stream>>> accept() override {
        while (!state_->closed && state_->backlog.empty()) {
            io::Gate gate(clock_);
            state_->acceptable = &gate;
            auto opened = gate.opened(Instant::never());
            co_await opened;
            state_->acceptable = nullptr;
        }
        if (state_->closed) {
            co_return IoError{
                ECANCELED, "cannot accept on " + io::text(local()) + ": the listener was closed"};
        }
        auto connection = std::move(state_->backlog.front());
        state_->backlog.pop_front();
        std::unique_ptr<io::Stream> stream =
            std::make_unique<SimStream>(network_, clock_, std::move(connection), 1);
        co_return IoResult<std::unique_ptr<io::Stream>>(std::move(stream));
    }

    const io::Address& local() const override { return state_->local; }

    void close() override {
        if (state_->closed) return;
        state_->closed = true;
        const auto entry = network_.listeners_.find({host_, state_->local.port});
        if (entry != network_.listeners_.end() && entry->second == state_) {
            network_.listeners_.erase(entry);
        }
        for (const auto& connection : state_->backlog) network_.reset(connection, 1);
        state_->backlog.clear();
        network_.wake(state_->acceptable);
    }

private:
    sim::Network& network_;
    io::Clock& clock_;
    std::string host_;
    std::shared_ptr<ListenerState> state_;
};

NetworkPort::NetworkPort(sim::Network& network, io::Clock& clock, std::string host)
    : network_(network), clock_(clock), host_(std::move(host)) {
    network_.set_host_state(host_, HostState::running);
}

NetworkPort::~NetworkPort() {
    if (!dead_) die(false);
}

std::string NetworkPort::host_of(const io::Address& address) const {
    const auto& name = address.host;
    const bool self = name.empty() || name == "localhost" || name == "127.0.0.1" || name == "::1" ||
                      name == "0.0.0.0" || name == "::";
    return self ? host_ : name;
}

void NetworkPort::die(bool silent) {
    dead_ = true;
    network_.set_host_state(host_, silent ? HostState::silent : HostState::process_dead);
    std::vector<std::shared_ptr<ListenerState>> listeners;
    for (const auto& [at, state] : network_.listeners_) {
        if (at.first == host_) listeners.push_back(state);
    }
    for (const auto& state : listeners) {
        network_.listeners_.erase({host_, state->local.port});
        state->closed = true;
        network_.wake(state->acceptable);
        state->backlog.clear();
    }
    std::vector<std::shared_ptr<Connection>> connections;
    for (const auto& [id, connection] : network_.connections_) connections.push_back(connection);
    for (const auto& connection : connections) {
        for (int end = 0; end < 2; ++end) {
            if (connection->ends[end].host != host_) continue;
            if (silent) {
                network_.break_end(*connection, end);
            } else {
                network_.reset(connection, end);
            }
        }
    }
}

IoResult<std::unique_ptr<io::Listener>> NetworkPort::listen(io::Address address) {
    if (dead_) return IoError{EIO, "cannot listen: the process was killed"};
    if (host_of(address) != host_) {
        return IoError{EADDRNOTAVAIL, "cannot listen on " + io::text(address) +
                                          ": Cannot assign requested address"};
    }
    if (address.port == 0) address.port = network_.free_port(host_);
    auto state = std::make_shared<ListenerState>();
    state->local = address;
    if (!network_.listeners_.emplace(std::pair(host_, address.port), state).second) {
        return IoError{EADDRINUSE,
                       "cannot listen on " + io::text(address) + ": Address already in use"};
    }
    return std::unique_ptr<io::Listener>(
        std::make_unique<SimListener>(network_, clock_, host_, std::move(state)));
}

io::Task<IoResult<std::unique_ptr<io::Stream>>> NetworkPort::connect(io::Address address,
                                                                     Instant deadline) {
    if (dead_) co_return IoError{EIO, "cannot connect: the process was killed"};
    auto connection = std::make_shared<Connection>();
    connection->id = ++network_.last_connection_;
    auto& client = connection->ends[0];
    auto& server = connection->ends[1];
    client.host = host_;
    server.host = host_of(address);
    client.local = {host_, network_.free_port(host_)};
    client.peer = address;
    server.local = address;
    server.peer = client.local;

    io::Gate gate(clock_);
    client.writable = &gate;
    network_.connections_.emplace(connection->id, connection);
    bool accepted = false;
    // The answer may come after we have left: then the connection is broken and nobody asks.
    network_.try_connect(
        connection,
        [connection, gate = &gate, accepted = &accepted](bool yes) {
            if (connection->ends[0].broken) return;
            *accepted = yes;
            gate->open();
        },
        first_connect_retry);
    auto opened = gate.opened(deadline);
    const bool answered = co_await opened;
    connection->ends[0].writable = nullptr;
    if (connection->ends[0].broken) {
        co_return stream_error(ECONNRESET, "connect to", address, "Connection reset by peer");
    }
    if (!answered) {
        network_.break_end(*connection, 0);
        if (connection->accepted) {
            network_.send(connection, 0, {Pipe::Kind::reset, {}});
        } else {
            network_.connections_.erase(connection->id);
        }
        co_return stream_error(ETIMEDOUT, "connect to", address, "Connection timed out");
    }
    if (!accepted) {
        network_.break_end(*connection, 0);
        network_.connections_.erase(connection->id);
        co_return stream_error(ECONNREFUSED, "connect to", address, "Connection refused");
    }
    std::unique_ptr<io::Stream> stream =
        std::make_unique<SimStream>(network_, clock_, std::move(connection), 0);
    co_return IoResult<std::unique_ptr<io::Stream>>(std::move(stream));
}

}  // namespace pabal::sim
