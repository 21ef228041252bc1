// What the Network port costs over the bare system: 200-byte echo in ping-pong and pipelined, and a
// file sent, each by a raw epoll server and by a shard's streams, against the same raw client.
// Run: build with -DPABAL_BENCHMARKS=ON in Release, then benchmarks/micro/echo_bench [seconds].
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/gate.h"
#include "os/node_ports.h"

namespace pabal {
namespace {

constexpr std::size_t message_bytes = 200;
constexpr std::size_t pipelined_messages = 128;
constexpr std::size_t file_bytes = 256 << 20;
constexpr std::size_t range_bytes = 1 << 20;

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double thread_cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void require(bool condition, const char* what) {
    if (condition) return;
    fmt::print(stderr, "echo_bench: {}\n", what);
    std::exit(1);
}

int connect_to(std::uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
            "cannot connect");
    const int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return socket;
}

struct Outcome {
    double messages_per_second = 0;
    double p50_microseconds = 0;
};

// Sends `batch` messages, waits for all of them, over and over.
Outcome drive_echo(std::uint16_t port, std::size_t batch, double seconds) {
    const int socket = connect_to(port);
    std::string out(batch * message_bytes, 'x');
    std::string in(batch * message_bytes, '\0');
    std::vector<double> times;
    const double end = seconds_now() + seconds;
    std::size_t rounds = 0;
    for (double before = seconds_now(); before < end;) {
        require(::send(socket, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()),
                "cannot send");
        for (std::size_t got = 0; got < in.size();) {
            const ssize_t count = ::recv(socket, in.data() + got, in.size() - got, 0);
            require(count > 0, "cannot receive");
            got += static_cast<std::size_t>(count);
        }
        const double now = seconds_now();
        times.push_back(now - before);
        before = now;
        ++rounds;
    }
    close(socket);
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                     times.end());
    return {static_cast<double>(rounds * batch) / seconds, times[times.size() / 2] * 1e6};
}

void drain_file(std::uint16_t port) {
    const int socket = connect_to(port);
    std::string in(1 << 20, '\0');
    std::size_t total = 0;
    for (;;) {
        const ssize_t count = ::recv(socket, in.data(), in.size(), MSG_TRUNC);
        if (count <= 0) break;
        total += static_cast<std::size_t>(count);
    }
    require(total == file_bytes, "the file came short");
    close(socket);
}

// One listener, one connection after the other, echo by epoll.
class RawServer {
public:
    RawServer() {
        listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        require(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                    ::listen(listener_, 16) == 0,
                "cannot listen");
        socklen_t length = sizeof address;
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
        port_ = ntohs(address.sin_port);
    }
    ~RawServer() { close(listener_); }
    std::uint16_t port() const { return port_; }

    // Serves one connection to its end; the CPU seconds that took.
    double echo_one() {
        const int socket = accept_one();
        const int poll = epoll_create1(0);
        epoll_event event = {};
        event.events = EPOLLIN | EPOLLET;
        epoll_ctl(poll, EPOLL_CTL_ADD, socket, &event);
        std::string buffer(64 << 10, '\0');
        const double before = thread_cpu_seconds();
        for (bool open = true; open;) {
            epoll_wait(poll, &event, 1, -1);
            const ssize_t count = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (count == 0) open = false;
            if (count > 0) {
                ::send(socket, buffer.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL);
            }
        }
        const double used = thread_cpu_seconds() - before;
        close(poll);
        close(socket);
        return used;
    }

    double send_file_once(const std::string& path) {
        const int socket = accept_one();
        const int file = ::open(path.c_str(), O_RDONLY);
        const double before = thread_cpu_seconds();
        off_t offset = 0;
        while (offset < static_cast<off_t>(file_bytes)) {
            require(::sendfile(socket, file, &offset, range_bytes) > 0, "sendfile failed");
        }
        const double used = thread_cpu_seconds() - before;
        close(file);
        close(socket);
        return used;
    }

private:
    int accept_one() {
        const int socket = ::accept(listener_, nullptr, nullptr);
        const int on = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return socket;
    }

    int listener_ = -1;
    std::uint16_t port_ = 0;
};

io::Task<void> echo(io::Stream* stream) {
    Buffer buffer(64 << 10);
    for (;;) {
        auto readable = co_await stream->readable(Instant::never());
        if (!readable.ok()) co_return;
        const auto got = stream->read_some(buffer.view());
        if (!got.ok() || got->end_of_stream) co_return;
        if (got->count == 0) continue;
        Bytes bytes = Bytes::copy_of(ByteView(buffer.view()).first(got->count));
        Rope rope(std::move(bytes));
        auto sent = co_await stream->write(rope, Instant::never());
        if (!sent.ok()) co_return;
    }
}

io::Task<void> send_file(io::Stream* stream, std::shared_ptr<io::File> file) {
    for (std::size_t position = 0; position < file_bytes; position += range_bytes) {
        Rope rope;
        rope.append(file->range(position, range_bytes));
        auto sent = co_await stream->write(rope, Instant::never());
        if (!sent.ok()) co_return;
    }
}

// The same through the ports. `path` empty: echo.
class PortsServer {
public:
    PortsServer()
        : node_("bench", std::make_shared<os::PolicyTime>(),
                [](const std::string&) -> IoResult<std::unique_ptr<io::Store>> {
                    return IoError{};
                }) {
        node_.shard().run([this] {
            auto listener = node_.ports().network.listen(io::Address{"127.0.0.1", 0});
            require(listener.ok(), "cannot listen");
            listener_ = std::move(listener).value();
        });
    }
    ~PortsServer() {
        node_.shard().run([this] { listener_.reset(); });
    }
    std::uint16_t port() const { return listener_->local().port; }

    void serve(std::string path) {
        ended_ = false;
        node_.shard().run([&] { io::detach(serve_one(this, std::move(path))); });
    }
    double wait() {
        ended_.wait(false);
        return used_;
    }

private:
    static io::Task<void> serve_one(PortsServer* self, std::string path) {
        auto accepted = co_await self->listener_->accept();
        require(accepted.ok(), "cannot accept");
        auto stream = std::move(accepted).value();
        const double before = thread_cpu_seconds();
        if (path.empty()) {
            co_await echo(stream.get());
        } else {
            auto file = self->node_.ports().disk.open(path, io::OpenMode::read_only);
            require(file.ok(), "cannot open the file");
            co_await send_file(stream.get(), *file);
        }
        self->used_ = thread_cpu_seconds() - before;
        stream.reset();
        self->ended_ = true;
        self->ended_.notify_one();
    }

    os::NodePorts node_;
    std::unique_ptr<io::Listener> listener_;
    std::atomic<bool> ended_{false};
    double used_ = 0;
};

void compare_echo(const char* name, std::size_t batch, double seconds) {
    RawServer raw;
    double raw_used = 0;
    std::thread thread([&] { raw_used = raw.echo_one(); });
    const Outcome bare = drive_echo(raw.port(), batch, seconds);
    thread.join();
    PortsServer ports;
    ports.serve("");
    const Outcome ours = drive_echo(ports.port(), batch, seconds);
    const double ours_used = ports.wait();
    const auto line = [&](const char* who, const Outcome& outcome, double used) {
        const double per_message = used / (outcome.messages_per_second * seconds) * 1e6;
        fmt::print(
            "{:<10} {:<7} {:>9.0f} messages/s   p50 {:>7.1f} us   server CPU {:.3f} us each\n",
            name, who, outcome.messages_per_second, outcome.p50_microseconds, per_message);
        return per_message;
    };
    const double raw_each = line("epoll", bare, raw_used);
    const double ours_each = line("ports", ours, ours_used);
    fmt::print("{:<10} rate {:.2f} of epoll's, CPU {:.2f} times\n", name,
               ours.messages_per_second / bare.messages_per_second, ours_each / raw_each);
}

void compare_file() {
    std::string path = "/tmp/pabal-echo-bench-XXXXXX";
    const int file = mkstemp(path.data());
    const std::string block(1 << 20, 'x');
    for (std::size_t done = 0; done < file_bytes; done += block.size()) {
        require(::write(file, block.data(), block.size()) == static_cast<ssize_t>(block.size()),
                "cannot write the file");
    }
    close(file);
    const double gigabytes = static_cast<double>(file_bytes) / 1e9;
    RawServer raw;
    double raw_used = 0;
    std::thread thread([&] { raw_used = raw.send_file_once(path); });
    drain_file(raw.port());
    thread.join();
    PortsServer ports;
    ports.serve(path);
    drain_file(ports.port());
    const double ours_used = ports.wait();
    unlink(path.c_str());
    fmt::print(
        "sendfile   epoll   {:.3f} CPU-s/GB\nsendfile   ports   {:.3f} CPU-s/GB, {:.2f} times\n",
        raw_used / gigabytes, ours_used / gigabytes, ours_used / raw_used);
}

}  // namespace
}  // namespace pabal

int main(int count, char** arguments) {
    const double seconds = count > 1 ? std::atof(arguments[1]) : 2;
    pabal::compare_echo("ping-pong", 1, seconds);
    pabal::compare_echo("pipelined", pabal::pipelined_messages, seconds);
    pabal::compare_file();
    return 0;
}
