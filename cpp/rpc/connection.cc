#include "rpc/connection.h"

#include <algorithm>
#include <cstring>

namespace pabal::rpc {
namespace {

constexpr std::size_t length_bytes = 4;
// What a short read may take beyond what it is for.
constexpr std::size_t ahead_bytes = 1024;
// A larger frame's memory is given back at once.
constexpr std::size_t kept_frame_bytes = 4u << 20;

Error timed_out(const io::Address& address) {
    return {ErrorCode::request_timed_out, "no answer from " + io::text(address) + " in time"};
}

}  // namespace

Connection::Connection(std::unique_ptr<io::Stream> stream, io::Address address,
                       std::string client_id)
    : stream_(std::move(stream)), address_(std::move(address)), client_id_(std::move(client_id)) {}

Connection::~Connection() {
    close();
}

void Connection::close() {
    if (stream_) stream_->close();
}

void Connection::reset() {
    if (stream_) stream_->reset();
}

io::Task<Result<std::unique_ptr<Connection>>> Connection::open(io::Network* network,
                                                               io::Address address,
                                                               std::string client_id,
                                                               Instant deadline) {
    auto stream = co_await network->connect(address, deadline);
    if (!stream.ok()) {
        co_return Error{ErrorCode::broker_not_available, stream.error().message};
    }
    std::unique_ptr<Connection> connection(
        new Connection(std::move(*stream), std::move(address), std::move(client_id)));
    auto negotiated = co_await connection->negotiate(deadline);
    if (!negotiated.ok()) co_return negotiated.error();
    co_return connection;
}

io::Task<Status> Connection::negotiate(Instant deadline) {
    auto request = ServedVersions::request();
    auto response = co_await call<wire::ApiVersionsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    co_return served_.learn(*response, address_);
}

Result<int> Connection::version_of(wire::ApiKey api) const {
    return served_.version_of(api, address_);
}

std::int32_t Connection::begin(wire::Writer* writer, wire::ApiKey api, int version) {
    wire::begin_request(*writer, *wire::find_api(api), version, ++last_correlation_id_, client_id_);
    return last_correlation_id_;
}

Status Connection::check_header(wire::Reader* reader, wire::ApiKey api, int version,
                                std::int32_t correlation_id) const {
    wire::ResponseHeader header;
    PABAL_TRY(
        decode(*reader, header, wire::response_header_version(*wire::find_api(api), version)));
    if (header.correlation_id != correlation_id) {
        return Error{ErrorCode::invalid_request, io::text(address_) + " answered request " +
                                                     std::to_string(header.correlation_id) +
                                                     " instead of " +
                                                     std::to_string(correlation_id)};
    }
    return {};
}

io::Task<Status> Connection::write(Rope frame, Instant deadline) {
    auto written = co_await stream_->write(std::move(frame), deadline);
    if (!written.ok()) co_return lost(written.error());
    co_return Status();
}

io::Task<Result<Bytes>> Connection::read_frame(Instant deadline) {
    std::uint8_t length[length_bytes];
    const MutableByteView prefix(length);
    auto length_read = co_await read_exactly(prefix, deadline);
    if (!length_read.ok()) co_return length_read.error();
    std::uint32_t size = 0;
    for (const std::uint8_t byte : length) size = (size << 8) | byte;
    if (size > max_response_bytes) {
        co_return Error{
            ErrorCode::invalid_request,
            io::text(address_) + " announces a response of " + std::to_string(size) + " bytes"};
    }
    Buffer buffer = room_for(size);
    const MutableByteView body = buffer.view().subspan(0, size);
    auto body_read = co_await read_exactly(body, deadline);
    if (!body_read.ok()) co_return body_read.error();
    Bytes whole(std::move(buffer));
    if (whole.size() <= kept_frame_bytes) last_frame_ = whole;
    co_return whole.slice(0, size);
}

Buffer Connection::room_for(std::size_t size) {
    Buffer again = std::move(last_frame_).reclaim();
    if (again.size() >= size) return again;
    return Buffer(size);
}

// Small reads take more than was asked for, so that a short response needs one.
io::Task<Status> Connection::read_exactly(MutableByteView into, Instant deadline) {
    while (!into.empty()) {
        if (ahead_begin_ < ahead_end_) {
            const std::size_t count = std::min(into.size(), ahead_end_ - ahead_begin_);
            std::memcpy(into.data(), ahead_.data() + ahead_begin_, count);
            ahead_begin_ += count;
            into = into.subspan(count);
            continue;
        }
        auto readable = co_await stream_->readable(deadline);
        if (!readable.ok()) co_return lost(readable.error());
        if (!*readable) co_return timed_out(address_);
        const bool small = into.size() < ahead_bytes;
        if (small && ahead_.size() == 0) ahead_ = Buffer(ahead_bytes);
        const auto read = stream_->read_some(small ? ahead_.view() : into);
        if (!read.ok()) co_return lost(read.error());
        if (read->end_of_stream) {
            co_return lost(IoError{0, io::text(address_) + " closed the connection"});
        }
        if (small) {
            ahead_begin_ = 0;
            ahead_end_ = read->count;
        } else {
            into = into.subspan(read->count);
        }
    }
    co_return Status();
}

Error Connection::lost(const IoError& error) const {
    return {ErrorCode::network_exception, error.message};
}

}  // namespace pabal::rpc
