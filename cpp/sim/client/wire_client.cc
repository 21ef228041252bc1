#include "sim/client/wire_client.h"

#include <cerrno>

#include "base/big_endian.h"

namespace pabal::sim {
namespace {

constexpr std::int32_t largest_response_bytes = 64 << 20;

}  // namespace

WireClient::WireClient(io::Clock& clock, io::Network& network, io::Address broker,
                       std::string client_id)
    : clock_(clock),
      network_(network),
      broker_(std::move(broker)),
      client_id_(std::move(client_id)) {}

void WireClient::disconnect() {
    has_failed_ = true;
    if (stream_) stream_->reset();
    stream_.reset();
}

IoError WireClient::garbled(const std::string& api, const Status& status) {
    garbled_ =
        api + " was answered with a response that " +
        (status.ok() ? "belongs to another request" : "cannot be read: " + status.error().message);
    disconnect();
    return IoError{0, garbled_};
}

io::Task<IoStatus> WireClient::send(Rope frame, Instant deadline) {
    was_sent_ = false;
    if (!stream_) {
        auto stream = co_await network_.connect(broker_, deadline);
        if (!stream.ok()) {
            has_failed_ = true;
            co_return stream.error();
        }
        stream_ = std::move(stream).value();
    }
    was_sent_ = true;
    has_failed_ = false;
    auto sent = co_await stream_->write(frame, deadline);
    if (!sent.ok()) disconnect();
    co_return sent;
}

io::Task<IoStatus> WireClient::read_exactly(MutableByteView into, Instant deadline) {
    std::size_t filled = 0;
    while (filled < into.size()) {
        auto readable = co_await stream_->readable(deadline);
        if (!readable.ok()) co_return readable.error();
        if (!*readable) co_return IoError{ETIMEDOUT, "no answer in time"};
        const auto got = stream_->read_some(into.subspan(filled));
        if (!got.ok()) co_return got.error();
        if (got->end_of_stream) co_return IoError{EPIPE, "the broker closed the connection"};
        filled += got->count;
    }
    co_return IoStatus();
}

io::Task<IoResult<Bytes>> WireClient::exchange(Rope frame, Instant deadline) {
    auto sent = co_await send(frame, deadline);
    if (!sent.ok()) co_return sent.error();
    Buffer length(4);
    MutableByteView length_view = length.view();
    auto got_length = co_await read_exactly(length_view, deadline);
    if (!got_length.ok()) {
        disconnect();
        co_return got_length.error();
    }
    const auto size = load_big_endian<std::int32_t>(length.data());
    if (size < 4 || size > largest_response_bytes) {
        garbled_ = "a response frame of " + std::to_string(size) + " bytes was announced";
        disconnect();
        co_return IoError{0, garbled_};
    }
    Buffer body(static_cast<std::size_t>(size));
    MutableByteView body_view = body.view();
    auto got_body = co_await read_exactly(body_view, deadline);
    if (!got_body.ok()) {
        disconnect();
        co_return got_body.error();
    }
    co_return Bytes(std::move(body));
}

}  // namespace pabal::sim
