#include "broker/connection.h"

#include <fmt/format.h>

#include <cstring>

namespace pabal::broker {
namespace {

std::int32_t frame_length(const std::uint8_t* at) {
    return static_cast<std::int32_t>(std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 |
                                     std::uint32_t{at[2]} << 8 | std::uint32_t{at[3]});
}

// Read when the next frame is expected to be large: enough to learn its length, so that most of it
// is read to where it stays.
constexpr std::size_t first_look_bytes = 4096;

// A connection that has this much to say lets the others run in between.
constexpr std::size_t turn_bytes = 1 << 20;

}  // namespace

Connection::Connection(const ConnectionShared& shared, std::unique_ptr<io::Stream> stream,
                       Peer peer)
    : shared_(shared),
      stream_(std::move(stream)),
      peer_(std::move(peer)),
      last_active_(shared.context->clock.now()) {}

Connection::~Connection() {
    if (long_frame_ && long_frame_->reserved) shared_.budget->release(long_frame_->length);
    for (auto& work : calls_) {
        ASSERT(!work->started || work->done, "a connection outlives its requests");
        shared_.budget->release(work->reserved_bytes);
    }
}

io::Task<void> Connection::run() {
    while (!broken_) {
        if (may_read()) read_input();
        start_work();
        if (calls_.size() > 1 || end_of_stream_ || input_ended_) release_parked();
        collect_replies();
        if (!output_.empty() && !broken_) {
            release_read_buffer();
            shared_.bytes_out->add(output_.size());
            Rope output = std::move(output_);
            output_ = Rope();
            writing_ = true;
            last_active_ = shared_.context->clock.now();
            IoStatus written = co_await stream_->write(std::move(output), Instant::never());
            writing_ = false;
            if (!written.ok()) {
                shared_.context->log.debug(
                    "the peer is gone",
                    {{"peer", peer_.address}, {"reason", written.error().message}});
                broken_ = true;
            }
            if (since_turn_bytes_ > turn_bytes) {
                since_turn_bytes_ = 0;
                io::Turn turn(shared_.context->clock);
                co_await turn;
            }
            continue;
        }
        if (broken_ || closing_) break;
        if (may_read() && (input_ready_ || !unparsed_.empty())) continue;
        release_read_buffer();
        since_turn_bytes_ = 0;
        if (calls_.empty()) {
            if (input_ended_ || (end_of_stream_ && unparsed_.empty())) break;
            bool awaits_memory = long_frame_ && !long_frame_->reserved;
            // Who has memory for a frame waits for the rest of it, not for more memory.
            if (awaits_memory || (!long_frame_ && shared_.budget->exhausted())) {
                std::size_t needed = awaits_memory ? long_frame_->length : 1;
                waiting_memory_ = true;
                bool granted = co_await shared_.budget->reserve(needed, Instant::never());
                waiting_memory_ = false;
                last_active_ = shared_.context->clock.now();
                if (!granted) break;
                if (awaits_memory) {
                    fill_long_frame();
                    input_ready_ = true;
                } else {
                    shared_.budget->release(needed);
                }
                continue;
            }
            if (!watching_) {
                waiting_input_ = true;
                IoResult<bool> readable = co_await stream_->readable(Instant::never());
                waiting_input_ = false;
                if (!readable.ok()) break;
                input_ready_ = true;
                continue;
            }
        } else if (may_read() && !watching_ && !end_of_stream_) {
            // Requests are being worked on: look out for the next one, and for the peer's end.
            watching_ = true;
            io::detach(watch_input());
            if (input_ready_) continue;
        }
        wake_.emplace(shared_.context->clock);
        co_await wake_->opened(Instant::never());
        wake_.reset();
    }
    closing_ = true;
    if (broken_) {
        stream_->reset();
    } else {
        stream_->close();
    }
    release_parked();
    while (working() || watching_) {
        wake_.emplace(shared_.context->clock);
        co_await wake_->opened(Instant::never());
        wake_.reset();
    }
}

io::Task<void> Connection::watch_input() {
    IoResult<bool> readable = co_await stream_->readable(Instant::never());
    watching_ = false;
    // An error shows again, and is told, when something is read or written.
    static_cast<void>(readable);
    input_ready_ = true;
    wake();
}

void Connection::wake() {
    if (wake_) wake_->open();
}

bool Connection::working() const {
    for (const auto& work : calls_) {
        if (work->started && !work->done) return true;
    }
    return false;
}

void Connection::stop() {
    input_ended_ = true;
    if (waiting_input_) {
        stream_->close();
    } else {
        wake();
    }
}

void Connection::reset() {
    broken_ = true;
    closing_ = true;
    stream_->reset();
    wake();
}

void Connection::expire() {
    if (writing_) {
        reset();
    } else {
        input_ended_ = true;
        stream_->close();
        wake();
    }
}

bool Connection::may_read() const {
    if (input_ended_ || broken_ || calls_.size() >= read_ahead_frames) return false;
    if (held_bytes_ >= read_ahead_bytes) return false;
    if (long_frame_) return long_frame_->reserved;
    return !shared_.budget->exhausted();
}

void Connection::read_input() {
    if (!unparsed_.empty()) parse();
    while (input_ready_ && unparsed_.empty() && may_read()) {
        last_active_ = shared_.context->clock.now();
        if (long_frame_) {
            read_long_frame();
            continue;
        }
        release_read_buffer();
        Buffer buffer = shared_.frame_buffers->take_for_reading();
        if (prefix_size_ != 0) std::memcpy(buffer.data(), prefix_, prefix_size_);
        std::size_t wanted = (large_frames_ ? first_look_bytes : buffer.size()) - prefix_size_;
        IoResult<io::ReadSome> read =
            stream_->read_some(buffer.view().subspan(prefix_size_, wanted));
        std::size_t count = read.ok() ? read->count : 0;
        if (!read.ok()) broken_ = true;
        if (read.ok() && read->end_of_stream) end_of_stream_ = true;
        if (count < wanted) input_ready_ = false;
        shared_.bytes_in->add(count);
        since_turn_bytes_ += count;
        read_buffer_ = Bytes(std::move(buffer));
        if (count != 0) {
            unparsed_ = read_buffer_.slice(0, prefix_size_ + count);
            prefix_size_ = 0;
            parse();
        }
    }
}

void Connection::read_long_frame() {
    LongFrame& frame = *long_frame_;
    MutableByteView missing =
        frame.content.view().subspan(frame.filled, frame.length - frame.filled);
    IoResult<io::ReadSome> read = stream_->read_some(missing);
    if (!read.ok()) {
        broken_ = true;
        return;
    }
    frame.filled += read->count;
    shared_.bytes_in->add(read->count);
    since_turn_bytes_ += read->count;
    if (read->count < missing.size()) input_ready_ = false;
    if (frame.filled == frame.length) {
        Bytes whole(std::move(frame.content));
        std::size_t reserved_bytes = frame.length;
        long_frame_.reset();
        large_frames_ = true;
        take_frame(whole.slice(0, reserved_bytes), reserved_bytes, whole);
    } else if (read->end_of_stream) {
        end_of_stream_ = true;
    }
}

void Connection::parse() {
    while (!unparsed_.empty() && !input_ended_ && calls_.size() < read_ahead_frames) {
        if (unparsed_.size() < sizeof prefix_) {
            prefix_size_ = unparsed_.size();
            std::memcpy(prefix_, unparsed_.data(), prefix_size_);
            unparsed_ = Bytes();
            return;
        }
        std::int32_t stated = frame_length(unparsed_.data());
        if (stated < 0 || stated > shared_.max_frame_bytes) {
            refuse(
                fmt::format("its frame states a length of {} bytes; the bounds are 0 and {} "
                            "(socket.request.max.bytes)",
                            stated, shared_.max_frame_bytes));
            return;
        }
        auto length = static_cast<std::size_t>(stated);
        Bytes content = unparsed_.slice(sizeof prefix_);
        if (content.size() < length) {
            long_frame_.emplace();
            long_frame_->length = length;
            long_frame_->beginning = std::move(content);
            unparsed_ = Bytes();
            if (shared_.budget->try_reserve(length)) fill_long_frame();
            return;
        }
        unparsed_ = content.slice(length);
        shared_.budget->reserve_present(length);
        large_frames_ = false;
        take_frame(content.slice(0, length), length);
    }
    if (input_ended_) unparsed_ = Bytes();
}

void Connection::fill_long_frame() {
    LongFrame& frame = *long_frame_;
    frame.reserved = true;
    frame.content = shared_.frame_buffers->take(frame.length);
    frame.filled = frame.beginning.size();
    if (frame.filled != 0) std::memcpy(frame.content.data(), frame.beginning.data(), frame.filled);
    frame.beginning = Bytes();
}

void Connection::take_frame(Bytes frame, std::size_t reserved_bytes, Bytes buffer) {
    auto work = std::make_unique<Work>();
    work->buffer = std::move(buffer);
    work->reserved_bytes = reserved_bytes;
    std::string close_because;
    if (!shared_.dispatch->open(std::move(frame), &peer_, last_active_, &work->call,
                                &close_because)) {
        shared_.budget->release(reserved_bytes);
        refuse(close_because);
        return;
    }
    held_bytes_ += reserved_bytes;
    calls_.push_back(std::move(work));
}

// Invariant: requests-in-order (law 5).
void Connection::start_work() {
    bool unfinished = false;
    for (std::size_t index = 0; index < calls_.size() && !closing_; ++index) {
        Work* work = calls_[index].get();
        if (!work->started) {
            if (unfinished && !work->call.pipelined()) return;
            work->started = true;
            io::detach(work_on(work));
        }
        if (work->done) continue;
        if (!work->call.pipelined()) return;
        unfinished = true;
    }
}

io::Task<void> Connection::work_on(Work* work) {
    Dispatch::Answer answer = co_await shared_.dispatch->run(&work->call);
    work->answer = std::move(answer);
    work->done = true;
    if (!work->answer.close_because.empty()) input_ended_ = true;
    wake();
}

// A heartbeat or a follower's fetch that waits for news gives way to whatever comes behind it.
void Connection::release_parked() {
    for (auto& work : calls_) {
        if (!work->started || work->done || !work->call.request.parked) continue;
        work->call.request.released = true;
        work->call.request.parked->open();
    }
}

void Connection::collect_replies() {
    while (!calls_.empty() && calls_.front()->done) {
        std::unique_ptr<Work> work = std::move(calls_.front());
        calls_.pop_front();
        shared_.budget->release(work->reserved_bytes);
        held_bytes_ -= work->reserved_bytes;
        Dispatch::Answer answer = std::move(work->answer);
        Bytes buffer = std::move(work->buffer);
        work.reset();
        if (!buffer.empty()) shared_.frame_buffers->give_back(std::move(buffer));
        if (closing_) continue;
        if (answer.close_because.empty()) {
            output_.append(std::move(answer.reply));
        } else {
            refuse(answer.close_because);
            closing_ = true;
        }
    }
}

void Connection::refuse(std::string_view why) {
    shared_.refused->add();
    shared_.context->log.warning(
        "closing a connection",
        {{"peer", peer_.address}, {"listener", peer_.listener_name}, {"reason", why}});
    input_ended_ = true;
    unparsed_ = Bytes();
}

void Connection::release_read_buffer() {
    if (!unparsed_.empty() || read_buffer_.empty()) return;
    shared_.frame_buffers->give_back(std::move(read_buffer_));
    read_buffer_ = Bytes();
}

}  // namespace pabal::broker
