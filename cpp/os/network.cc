#include "os/network.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/assert.h"
#include "io/gate.h"
#include "os/machine.h"
#include "os/power.h"
#include "os/shard.h"
#include "os/socket.h"
#include "os/socket_address.h"
#include "os/system_error.h"

namespace pabal::os {
namespace {

using io::Address;
using io::Task;

constexpr int backlog = 1024;
// No descriptors are left: others have to close some first.
constexpr Duration accept_pause = Duration::milliseconds(50);

IoError closed_here(const std::string& what) {
    return IoError{ECANCELED, what + ": the connection was closed here"};
}

void set_option(int socket, int level, int option) {
    const int on = 1;
    setsockopt(socket, level, option, &on, sizeof on);
}

// A socket that does not block and that no child process inherits; -1 and errno.
int new_socket(int family) {
#ifdef SOCK_NONBLOCK
    return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    const int socket = ::socket(family, SOCK_STREAM, 0);
    if (socket >= 0) {
        fcntl(socket, F_SETFL, O_NONBLOCK);
        fcntl(socket, F_SETFD, FD_CLOEXEC);
        set_option(socket, SOL_SOCKET, SO_NOSIGPIPE);
    }
    return socket;
#endif
}

int accept_socket(int listener, SocketAddress* peer) {
#ifdef SOCK_NONBLOCK
    return ::accept4(listener, peer->get(), &peer->length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    const int socket = ::accept(listener, peer->get(), &peer->length);
    if (socket >= 0) {
        fcntl(socket, F_SETFL, O_NONBLOCK);
        fcntl(socket, F_SETFD, FD_CLOEXEC);
        set_option(socket, SOL_SOCKET, SO_NOSIGPIPE);
    }
    return socket;
#endif
}

void prepare_connection(int socket) {
    set_option(socket, IPPROTO_TCP, TCP_NODELAY);
    set_option(socket, SOL_SOCKET, SO_KEEPALIVE);
}

// Owns a socket and its entry in the registry.
class RegisteredSocket {
public:
    RegisteredSocket(std::shared_ptr<Network::Registry> registry, std::shared_ptr<Socket> socket)
        : registry_(std::move(registry)), socket_(std::move(socket)) {
        registry_->sockets.emplace(socket_.get(), socket_);
    }
    ~RegisteredSocket() {
        socket_->close();
        registry_->sockets.erase(socket_.get());
    }
    RegisteredSocket(const RegisteredSocket&) = delete;
    RegisteredSocket& operator=(const RegisteredSocket&) = delete;

    Socket* operator->() const { return socket_.get(); }
    const std::shared_ptr<Socket>& shared() const { return socket_; }

private:
    std::shared_ptr<Network::Registry> registry_;
    std::shared_ptr<Socket> socket_;
};

Task<IoResult<bool>> wait_readable(std::shared_ptr<Socket> socket, Instant deadline) {
    auto wait = socket->wait(Direction::read, deadline);
    const Readiness readiness = co_await wait;
    if (readiness == Readiness::closed) co_return closed_here("waiting for data");
    co_return readiness == Readiness::ready;
}

Task<IoStatus> write_all(std::shared_ptr<Socket> socket, std::shared_ptr<Machine> machine,
                         std::string what, Rope rope, Instant deadline) {
    SendCursor cursor(std::move(rope));
    for (;;) {
        const SendStep step = socket->send(cursor);
        if (step == SendStep::done) co_return IoStatus();
        if (step == SendStep::failed) {
            co_return IoError{cursor.error.errno_value, what + ": " + cursor.error.message};
        }
        if (step == SendStep::wait) {
            auto wait = socket->wait(Direction::write, deadline);
            const Readiness readiness = co_await wait;
            if (readiness == Readiness::closed) co_return closed_here(what);
            if (readiness == Readiness::deadline_passed) {
                co_return IoError{ETIMEDOUT, what + ": only " + std::to_string(cursor.sent) +
                                                 " of " + std::to_string(cursor.rope.size()) +
                                                 " bytes were taken in time"};
            }
        } else if (step == SendStep::cold) {
            std::function<void()> warm = [&cursor] { Socket::warm(cursor); };
            co_await machine->disk_pool.run(&socket->shard(), warm);
        } else {
            io::Turn turn(socket->shard());
            co_await turn;
        }
    }
}

class Stream final : public io::Stream {
public:
    Stream(std::shared_ptr<Network::Registry> registry, std::shared_ptr<Socket> socket,
           std::shared_ptr<Machine> machine, Address peer)
        : socket_(std::move(registry), std::move(socket)),
          machine_(std::move(machine)),
          local_(local_address(socket_->descriptor())),
          peer_(std::move(peer)) {}
    ~Stream() override { close(); }

    Task<IoResult<bool>> readable(Instant deadline) override {
        return wait_readable(socket_.shared(), deadline);
    }

    IoResult<io::ReadSome> read_some(MutableByteView into) override {
        for (;;) {
            if (!socket_->is_open()) return closed_here("receiving from " + text(peer_));
            const ssize_t count =
                ::recv(socket_->descriptor(), into.data(), into.size(), MSG_DONTWAIT);
            if (count > 0) return io::ReadSome{static_cast<std::size_t>(count), false};
            if (count == 0) return io::ReadSome{0, !into.empty()};
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return io::ReadSome{};
            return system_error(errno, "receiving from " + text(peer_));
        }
    }

    Task<IoStatus> write(Rope rope, Instant deadline) override {
        return write_all(socket_.shared(), machine_, "sending to " + text(peer_), std::move(rope),
                         deadline);
    }

    void close() override {
        if (!socket_->is_open()) return;
        // What came and was not read would turn the end into a reset, which can overtake the data.
        ::shutdown(socket_->descriptor(), SHUT_WR);
        std::uint8_t unread[4096];
        for (int i = 0; i < 64; ++i) {
            if (::recv(socket_->descriptor(), unread, sizeof unread, MSG_DONTWAIT) <= 0) break;
        }
        socket_->close();
    }
    void reset() override { socket_->reset(); }

    const Address& local() const override { return local_; }
    const Address& peer() const override { return peer_; }

private:
    RegisteredSocket socket_;
    std::shared_ptr<Machine> machine_;
    Address local_;
    Address peer_;
};

IoResult<std::unique_ptr<io::Stream>> stream_of(std::shared_ptr<Network::Registry> registry,
                                                std::shared_ptr<Socket> socket,
                                                std::shared_ptr<Machine> machine, Address peer) {
    if (!socket->is_open()) {
        return IoError{ENOMEM, "talking to " + text(peer) + ": the kernel watches no more sockets"};
    }
    return std::unique_ptr<io::Stream>(std::make_unique<Stream>(
        std::move(registry), std::move(socket), std::move(machine), std::move(peer)));
}

Task<IoResult<std::unique_ptr<io::Stream>>> accept_one(std::shared_ptr<Network::Registry> registry,
                                                       std::shared_ptr<Socket> listener,
                                                       std::shared_ptr<const Power> power,
                                                       std::shared_ptr<Machine> machine,
                                                       Address local) {
    for (;;) {
        if (!listener->is_open()) {
            co_return IoError{ECANCELED, "the listener " + text(local) + " was closed"};
        }
        SocketAddress peer;
        const int accepted = accept_socket(listener->descriptor(), &peer);
        if (accepted >= 0) {
            prepare_connection(accepted);
            auto socket = std::make_shared<Socket>(listener->shard(), power, accepted);
            co_return stream_of(registry, socket, machine, peer.address());
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            auto wait = listener->wait(Direction::read, Instant::never());
            co_await wait;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            io::Sleep pause(listener->shard(), listener->shard().now() + accept_pause);
            co_await pause;
        } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
            co_return system_error(errno, "cannot accept connections on " + text(local));
        }
        // Anything else is the failure of one connection that was about to come.
    }
}

class Listener final : public io::Listener {
public:
    Listener(std::shared_ptr<Network::Registry> registry, std::shared_ptr<Socket> socket,
             std::shared_ptr<const Power> power, std::shared_ptr<Machine> machine)
        : registry_(registry),
          socket_(std::move(registry), std::move(socket)),
          power_(std::move(power)),
          machine_(std::move(machine)),
          local_(local_address(socket_->descriptor())) {}

    Task<IoResult<std::unique_ptr<io::Stream>>> accept() override {
        return accept_one(registry_, socket_.shared(), power_, machine_, local_);
    }
    const Address& local() const override { return local_; }
    void close() override { socket_->close(); }

private:
    std::shared_ptr<Network::Registry> registry_;
    RegisteredSocket socket_;
    std::shared_ptr<const Power> power_;
    std::shared_ptr<Machine> machine_;
    Address local_;
};

// A connected socket, or -1 and errno.
Task<int> connect_one(Shard* shard, std::shared_ptr<const Power> power,
                      std::shared_ptr<Socket>* connected, const SocketAddress* address,
                      Instant deadline) {
    const int descriptor = new_socket(address->family());
    if (descriptor < 0) co_return errno;
    prepare_connection(descriptor);
    const int result = ::connect(descriptor, address->get(), address->length);
    const int error = result == 0 ? 0 : errno;
    auto socket = std::make_shared<Socket>(*shard, power, descriptor);
    if (error != 0 && error != EINPROGRESS) co_return error;
    if (error == EINPROGRESS) {
        auto wait = socket->wait(Direction::write, deadline);
        const Readiness readiness = co_await wait;
        if (readiness == Readiness::closed) co_return ECANCELED;
        if (readiness == Readiness::deadline_passed) co_return ETIMEDOUT;
        int outcome = 0;
        socklen_t length = sizeof outcome;
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &outcome, &length);
        if (outcome != 0) co_return outcome;
    }
    *connected = std::move(socket);
    co_return 0;
}

// A name that is being looked up; the one who asked may be gone when the answer comes.
struct LookUp {
    explicit LookUp(io::Clock& clock) : found(clock) {}
    IoResult<std::vector<SocketAddress>> answer = IoError{};
    io::Gate found;
};

Task<void> look_up(std::shared_ptr<LookUp> look_up, std::shared_ptr<Machine> machine, Shard* shard,
                   Address address) {
    auto answer = std::make_shared<IoResult<std::vector<SocketAddress>>>(IoError{});
    std::function<void()> work = [answer, address] {
        *answer = resolve(address, Purpose::connect);
    };
    co_await machine->disk_pool.run(shard, work);
    look_up->answer = std::move(*answer);
    look_up->found.open();
}

Task<IoResult<std::unique_ptr<io::Stream>>> connect_to(std::shared_ptr<Network::Registry> registry,
                                                       std::shared_ptr<const Power> power,
                                                       std::shared_ptr<Machine> machine,
                                                       Shard* shard, Address address,
                                                       Instant deadline) {
    const std::string what = "cannot connect to " + text(address);
    if (power->is_off()) co_return killed_error(what);
    auto candidates = parse_address(address, Purpose::connect);
    if (candidates.empty()) {
        auto asked = std::make_shared<LookUp>(*shard);
        io::detach(look_up(asked, machine, shard, address));
        auto found = asked->found.opened(deadline);
        const bool in_time = co_await found;
        if (!in_time) co_return system_error(ETIMEDOUT, what);
        if (!asked->answer.ok()) {
            const IoError& error = asked->answer.error();
            co_return IoError{error.errno_value, what + ": " + error.message};
        }
        candidates = std::move(asked->answer).value();
    }
    int error = EHOSTUNREACH;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        std::shared_ptr<Socket> socket;
        error = co_await connect_one(shard, power, &socket, &candidates[i], deadline);
        if (error == 0 && power->is_off()) co_return killed_error(what);
        if (error == 0) co_return stream_of(registry, socket, machine, candidates[i].address());
        if (error == ETIMEDOUT && shard->now() >= deadline) break;
    }
    co_return system_error(error, what);
}

}  // namespace

Network::Network(std::shared_ptr<Machine> machine, std::shared_ptr<const Power> power, Shard* shard)
    : machine_(std::move(machine)),
      power_(std::move(power)),
      shard_(shard),
      registry_(std::make_shared<Registry>()) {}

Network::~Network() = default;

IoResult<std::unique_ptr<io::Listener>> Network::listen(Address address) {
    const std::string what = "cannot listen on " + text(address);
    if (power_->is_off()) return killed_error(what);
    auto candidates = resolve(address, Purpose::listen);
    if (!candidates.ok()) {
        return IoError{candidates.error().errno_value, what + ": " + candidates.error().message};
    }
    int error = 0;
    for (const SocketAddress& candidate : *candidates) {
        const int descriptor = new_socket(candidate.family());
        if (descriptor < 0) {
            error = errno;
            continue;
        }
        set_option(descriptor, SOL_SOCKET, SO_REUSEADDR);
        if (candidate.family() == AF_INET6 && address.host.empty()) {
            const int off = 0;
            setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        }
        if (::bind(descriptor, candidate.get(), candidate.length) == 0 &&
            ::listen(descriptor, backlog) == 0) {
            auto socket = std::make_shared<Socket>(*shard_, power_, descriptor);
            if (!socket->is_open()) return system_error(ENOMEM, what);
            return std::unique_ptr<io::Listener>(
                std::make_unique<Listener>(registry_, socket, power_, machine_));
        }
        error = errno;
        ::close(descriptor);
        if (error == EADDRINUSE) break;
    }
    IoError failure = system_error(error, what);
    if (error == EADDRINUSE) {
        failure.message += " (by another broker?); choose another port in `listeners`";
    } else if (error == EACCES) {
        failure.message += "; ports below 1024 need privileges, choose another in `listeners`";
    } else if (error == EADDRNOTAVAIL) {
        failure.message += "; this machine has no such address, see `listeners`";
    }
    return failure;
}

Task<IoResult<std::unique_ptr<io::Stream>>> Network::connect(Address address, Instant deadline) {
    return connect_to(registry_, power_, machine_, shard_, std::move(address), deadline);
}

void Network::reset_all() {
    // Closing only posts: nobody changes the registry meanwhile.
    for (const auto& [key, weak] : registry_->sockets) {
        if (const auto socket = weak.lock()) socket->reset();
    }
}

}  // namespace pabal::os
