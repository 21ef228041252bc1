#include "broker/metrics_endpoint.h"

#include <fmt/format.h>

#include "io/gate.h"

namespace pabal::broker {
namespace {

constexpr std::size_t largest_head_bytes = 8192;
constexpr std::size_t most_connections = 16;
constexpr Duration patience = Duration::seconds(10);

std::string response(std::string_view status, std::string_view type, std::string_view body,
                     bool with_body = true) {
    return fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
        status, type, body.size(), with_body ? body : std::string_view());
}

}  // namespace

std::string answer_http(std::string_view head, const std::function<std::string()>& render) {
    constexpr std::string_view plain = "text/plain; charset=utf-8";
    std::string_view line = head.substr(0, head.find("\r\n"));
    std::size_t first = line.find(' ');
    std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos || !line.substr(second + 1).starts_with("HTTP/1."))
        return response("400 Bad Request", plain, "This is no HTTP request.\n");
    std::string_view method = line.substr(0, first);
    std::string_view target = line.substr(first + 1, second - first - 1);
    target = target.substr(0, target.find('?'));
    if (method != "GET" && method != "HEAD")
        return response("405 Method Not Allowed", plain, "Only GET is answered.\n");
    if (target != "/metrics")
        return response("404 Not Found", plain, "The metrics are at /metrics.\n");
    return response("200 OK", "text/plain; version=0.0.4; charset=utf-8", render(),
                    method == "GET");
}

MetricsEndpoint::MetricsEndpoint(io::Clock* clock, const Logger* log,
                                 std::function<std::string()> render)
    : clock_(clock), log_(log), render_(std::move(render)) {}

MetricsEndpoint::~MetricsEndpoint() {
    ASSERT(running_ == 0, "the metrics endpoint is stopped before it goes");
}

void MetricsEndpoint::serve(std::unique_ptr<io::Listener> listener) {
    listener_ = std::move(listener);
    running_ += 1;
    io::detach(accept());
}

io::Task<void> MetricsEndpoint::accept() {
    while (!stopping_) {
        auto accepted = co_await listener_->accept();
        if (stopping_) break;
        if (!accepted.ok()) {
            log_->warning("the metrics endpoint could not accept",
                          {{"reason", accepted.error().message}});
            io::Sleep sleep(*clock_, clock_->now() + Duration::milliseconds(100));
            co_await sleep;
            continue;
        }
        std::shared_ptr<io::Stream> stream = std::move(*accepted);
        if (streams_.size() >= most_connections) {
            stream->close();
            continue;
        }
        running_ += 1;
        streams_.push_back(stream.get());
        io::detach(answer(stream));
    }
    running_ -= 1;
    note_end();
}

io::Task<void> MetricsEndpoint::answer(std::shared_ptr<io::Stream> stream) {
    Instant deadline = clock_->now() + patience;
    std::string head;
    bool complete = false;
    while (!complete && head.size() < largest_head_bytes && !stopping_) {
        auto readable = co_await stream->readable(deadline);
        if (!readable.ok() || !*readable) break;
        std::uint8_t bytes[1024];
        auto read = stream->read_some(MutableByteView(bytes, sizeof bytes));
        if (!read.ok()) break;
        head.append(reinterpret_cast<const char*>(bytes), read->count);
        complete = head.find("\r\n\r\n") != std::string::npos;
        if (read->end_of_stream) break;
    }
    if (!head.empty() && !stopping_) {
        std::string text = complete ? answer_http(head, render_) : answer_http("", render_);
        Rope rope(Bytes::copy_of(text));
        auto written = co_await stream->write(std::move(rope), deadline);
        static_cast<void>(written);  // Whoever asked is gone: nothing is lost.
    }
    stream->close();
    std::erase(streams_, stream.get());
    running_ -= 1;
    note_end();
}

void MetricsEndpoint::note_end() {
    if (running_ != 0) return;
    std::vector<io::Gate*> waiting = std::move(waiting_);
    waiting_.clear();
    for (io::Gate* gate : waiting) gate->open();
}

io::Task<void> MetricsEndpoint::stop() {
    stopping_ = true;
    if (listener_) listener_->close();
    std::vector<io::Stream*> streams = streams_;
    for (io::Stream* stream : streams) stream->close();
    if (running_ == 0) co_return;
    io::Gate gate(*clock_);
    waiting_.push_back(&gate);
    co_await gate.opened(Instant::never());
}

}  // namespace pabal::broker
