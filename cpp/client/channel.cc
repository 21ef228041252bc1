#include "client/channel.h"

#include <algorithm>

#include "base/big_endian.h"

namespace pabal::client {
namespace {

constexpr std::size_t length_bytes = 4;
constexpr std::size_t input_size = 64 << 10;
// After so much the shard's others have their turn.
constexpr std::size_t bytes_per_turn = 4 << 20;

Error lost(const IoError& error) {
    return {ErrorCode::network_exception, error.message};
}

}  // namespace

Channel::Channel(io::Clock* clock, std::unique_ptr<io::Stream> stream, io::Address address,
                 std::string client_id)
    : clock_(*clock),
      stream_(std::move(stream)),
      address_(std::move(address)),
      client_id_(std::move(client_id)),
      tasks_(clock),
      input_(input_size) {}

Channel::~Channel() = default;

io::Task<Result<std::shared_ptr<Channel>>> Channel::open(io::Clock* clock, io::Network* network,
                                                         io::Address address, std::string client_id,
                                                         Instant deadline) {
    auto stream = co_await network->connect(address, deadline);
    if (!stream.ok()) {
        co_return Error{ErrorCode::broker_not_available, stream.error().message};
    }
    std::shared_ptr<Channel> channel(
        new Channel(clock, std::move(*stream), std::move(address), std::move(client_id)));
    channel->tasks_.start(read_all(channel));
    auto negotiated = co_await channel->negotiate(deadline);
    if (!negotiated.ok()) {
        co_await channel->stop();
        co_return negotiated.error();
    }
    co_return channel;
}

io::Task<Status> Channel::negotiate(Instant deadline) {
    auto request = rpc::ServedVersions::request();
    auto response = co_await call<wire::ApiVersionsResponse>(std::move(request), deadline);
    if (!response.ok()) co_return response.error();
    co_return served_.learn(*response, address_);
}

Result<int> Channel::version_of(wire::ApiKey api) const {
    return served_.version_of(api, address_);
}

void Channel::begin(wire::Writer* writer, Waiting* waiting) {
    waiting->correlation_id = ++last_correlation_id_;
    wire::begin_request(*writer, *wire::find_api(waiting->api), waiting->version,
                        waiting->correlation_id, client_id_);
}

void Channel::submit(Rope frame, Waiting* waiting) {
    if (failure_) {
        if (waiting != nullptr) {
            waiting->failure = failure_;
            waiting->answered.open();
        }
        return;
    }
    outgoing_.append(std::move(frame));
    if (waiting != nullptr) waiting_.push_back(waiting);
    if (writing_) return;
    writing_ = true;
    tasks_.start(write_all(shared_from_this()));
}

void Channel::time_out(Waiting* waiting) {
    waiting->failure =
        Error{ErrorCode::request_timed_out, "no answer from " + io::text(address_) + " in time"};
    waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), waiting), waiting_.end());
    fail(Error{ErrorCode::network_exception,
               io::text(address_) + " left an earlier request without an answer"});
}

void Channel::fail(Error why) {
    if (failure_) return;
    failure_ = std::move(why);
    stream_->reset();
    for (Waiting* waiting : waiting_) {
        waiting->failure = failure_;
        waiting->answered.open();
    }
    waiting_.clear();
    outgoing_ = Rope();
}

io::Task<void> Channel::stop() {
    fail(Error{ErrorCode::network_exception, "the connection was closed here"});
    co_await tasks_.ended();
}

io::Task<void> Channel::write_all(std::shared_ptr<Channel> self) {
    while (!self->outgoing_.empty() && self->is_open()) {
        Rope rope = std::exchange(self->outgoing_, Rope());
        auto written = co_await self->stream_->write(std::move(rope), Instant::never());
        if (!written.ok()) self->fail(lost(written.error()));
    }
    self->writing_ = false;
}

io::Task<void> Channel::read_all(std::shared_ptr<Channel> self) {
    while (self->is_open()) {
        auto readable = co_await self->stream_->readable(Instant::never());
        if (!readable.ok()) {
            self->fail(lost(readable.error()));
            break;
        }
        bool drained = false;
        while (!drained && self->is_open()) {
            const auto taken = self->take_input();
            if (!taken.ok()) self->fail(taken.error());
            drained = !taken.ok() || *taken;
            io::Turn turn(self->clock_);
            if (!drained) co_await turn;
        }
    }
}

Result<bool> Channel::take_input() {
    std::size_t taken = 0;
    while (taken < bytes_per_turn) {
        const bool large = large_.size() > 0;
        const MutableByteView room =
            large ? large_.view().subspan(large_bytes_) : input_.view().subspan(input_bytes_);
        const auto read = stream_->read_some(room);
        if (!read.ok()) return lost(read.error());
        if (read->end_of_stream) {
            return Error{ErrorCode::network_exception,
                         io::text(address_) + " closed the connection"};
        }
        if (read->count == 0) return true;
        taken += read->count;
        if (large) {
            large_bytes_ += read->count;
            if (large_bytes_ == large_.size()) {
                Bytes frame(std::move(large_));
                large_ = Buffer();
                PABAL_TRY(answer(std::move(frame)));
            }
        } else {
            input_bytes_ += read->count;
            PABAL_TRY(take_frames());
        }
        if (read->count < room.size()) return true;
    }
    return false;
}

Result<std::size_t> Channel::frame_size(const std::uint8_t* at) const {
    const auto size = load_big_endian<std::uint32_t>(at);
    if (size > max_response_bytes) {
        return Error{ErrorCode::invalid_request, io::text(address_) + " announces a response of " +
                                                     std::to_string(size) + " bytes"};
    }
    return std::size_t{size};
}

Status Channel::take_frames() {
    std::size_t at = 0;
    while (input_bytes_ - at >= length_bytes) {
        PABAL_TRY_ASSIGN(const std::size_t size, frame_size(input_.data() + at));
        const std::size_t there = input_bytes_ - at - length_bytes;
        const ByteView begun(input_.data() + at + length_bytes, std::min(size, there));
        if (there < size) {
            if (size + length_bytes <= input_.size()) break;
            large_ = Buffer(size);
            std::copy(begun.begin(), begun.end(), large_.data());
            large_bytes_ = begun.size();
            at = input_bytes_;
            break;
        }
        at += length_bytes + size;
        PABAL_TRY(answer(Bytes::copy_of(begun)));
    }
    std::copy(input_.data() + at, input_.data() + input_bytes_, input_.data());
    input_bytes_ -= at;
    return {};
}

Status Channel::answer(Bytes frame) {
    if (waiting_.empty()) {
        return Error{ErrorCode::invalid_request,
                     io::text(address_) + " answered what nobody had asked"};
    }
    Waiting* waiting = waiting_.front();
    wire::Reader reader(frame);
    wire::ResponseHeader header;
    const wire::ApiRow& row = *wire::find_api(waiting->api);
    PABAL_TRY(decode(reader, header, wire::response_header_version(row, waiting->version)));
    if (header.correlation_id != waiting->correlation_id) {
        return Error{ErrorCode::invalid_request, io::text(address_) + " answered request " +
                                                     std::to_string(header.correlation_id) +
                                                     " instead of " +
                                                     std::to_string(waiting->correlation_id)};
    }
    waiting_.pop_front();
    waiting->reply = frame.slice(reader.position());
    waiting->answered.open();
    return {};
}

}  // namespace pabal::client
