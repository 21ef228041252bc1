#include "os/socket.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <asio/io_context.hpp>
#include <cerrno>
#include <utility>
#ifdef __linux__
#include <sys/sendfile.h>
#endif

#include "base/assert.h"
#include "os/disk.h"
#include "os/power.h"
#include "os/shard.h"
#include "os/system_error.h"

namespace pabal::os {
namespace {

constexpr std::size_t most_pieces_per_send = 256;
// A file range is sent in windows: each is looked up in the page cache before it is sent.
constexpr std::size_t window_bytes = 1 << 20;
// After so much others of the shard have their turn.
constexpr std::size_t bytes_per_turn = 2 << 20;

#ifdef MSG_NOSIGNAL
constexpr int send_flags = MSG_NOSIGNAL | MSG_DONTWAIT;
#else
constexpr int send_flags = MSG_DONTWAIT;
#endif
#ifdef MSG_MORE
constexpr int more_flag = MSG_MORE;
#else
constexpr int more_flag = 0;
#endif

bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK;
}

// Sends from a file; the count sent, or -1 and errno.
ssize_t send_from_file(int socket, int file, std::uint64_t position, std::size_t count) {
#ifdef __linux__
    auto offset = static_cast<off_t>(position);
    return ::sendfile(socket, file, &offset, count);
#else
    auto length = static_cast<off_t>(count);
    const int result = ::sendfile(file, socket, static_cast<off_t>(position), &length, nullptr, 0);
    return result == 0 || length > 0 ? static_cast<ssize_t>(length) : -1;
#endif
}

// Is the byte at `position` in the page cache? True where the system cannot tell.
bool is_in_memory(int file, std::uint64_t position) {
#if defined(__linux__) && defined(RWF_NOWAIT)
    std::uint8_t byte = 0;
    iovec vector{&byte, 1};
    return preadv2(file, &vector, 1, static_cast<off_t>(position), RWF_NOWAIT) >= 0 ||
           !would_block(errno);
#else
    (void)file;
    (void)position;
    return true;
#endif
}

}  // namespace

Socket::Socket(Shard& shard, std::shared_ptr<const Power> power, int descriptor)
    : shard_(shard), power_(std::move(power)), descriptor_(shard.loop()) {
    std::error_code error;
    descriptor_.assign(descriptor, error);
    if (error) {  // The kernel watches no more descriptors for us.
        ::close(descriptor);
        open_ = false;
    }
}

Socket::~Socket() {
    close();
}

void Socket::close() {
    if (!open_) return;
    open_ = false;
    std::error_code ignored;
    descriptor_.close(ignored);
    end_wait_later(Direction::read);
    end_wait_later(Direction::write);
}

void Socket::reset() {
    if (!open_) return;
    const linger now{1, 0};
    setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
}

bool Socket::Wait::await_ready() {
    if (!socket_->open_) {
        readiness_ = Readiness::closed;
        return true;
    }
    Side& side = socket_->side(direction_);
    return std::exchange(side.ready, false);
}

void Socket::Wait::await_suspend(std::coroutine_handle<> waiter) {
    Side& side = socket_->side(direction_);
    ASSERT(!side.wait, "a socket has one wait in each direction");
    side.wait = this;
    waiter_ = waiter;
    if (!side.armed) socket_->arm(direction_);
    if (deadline_ == Instant::never()) return;
    timer_ = socket_->shard_.at(deadline_, [this] {
        timer_ = 0;
        Socket* socket = socket_;
        socket->end_wait(socket->side(direction_), Readiness::deadline_passed);
    });
}

void Socket::arm(Direction direction) {
    side(direction).armed = true;
    const auto condition = direction == Direction::read
                               ? asio::posix::stream_descriptor::wait_read
                               : asio::posix::stream_descriptor::wait_write;
    descriptor_.async_wait(condition,
                           [self = shared_from_this(), direction](const std::error_code&) {
                               self->shard_.handled();
                               Side& side = self->side(direction);
                               side.armed = false;
                               if (!self->open_) return;
                               if (side.wait) {
                                   self->end_wait(side, Readiness::ready);
                               } else {
                                   side.ready = true;
                               }
                           });
}

void Socket::end_wait(Side& side, Readiness readiness) {
    Wait* wait = std::exchange(side.wait, nullptr);
    if (wait->timer_ != 0) shard_.cancel(wait->timer_);
    wait->timer_ = 0;
    wait->readiness_ = readiness;
    wait->waiter_.resume();
}

void Socket::end_wait_later(Direction direction) {
    if (!side(direction).wait) return;
    shard_.post([self = shared_from_this(), direction] {
        Side& waiting = self->side(direction);
        if (waiting.wait) self->end_wait(waiting, Readiness::closed);
    });
}

SendStep Socket::send(SendCursor& cursor) {
    const std::size_t turn_ends = cursor.sent + bytes_per_turn;
    while (cursor.piece < cursor.rope.pieces().size()) {
        if (!open_ || power_->is_off()) {
            cursor.error = IoError{ECANCELED, "the connection was closed here"};
            return SendStep::failed;
        }
        if (cursor.sent >= turn_ends) return SendStep::turn;
        const bool is_bytes = std::holds_alternative<Bytes>(cursor.rope.pieces()[cursor.piece]);
        const SendStep step = is_bytes ? send_bytes(cursor) : send_file(cursor);
        if (step != SendStep::done) return step;
    }
    return SendStep::done;
}

// One sendmsg of the byte pieces that come next. `done`: go on.
SendStep Socket::send_bytes(SendCursor& cursor) {
    const auto& pieces = cursor.rope.pieces();
    iovec vectors[most_pieces_per_send];
    std::size_t count = 0;
    std::size_t wanted = 0;
    std::size_t end = cursor.piece;
    for (; end < pieces.size() && count < most_pieces_per_send; ++end) {
        const auto* bytes = std::get_if<Bytes>(&pieces[end]);
        if (!bytes) break;
        const std::size_t skip = count == 0 ? cursor.done_in_piece : 0;
        vectors[count].iov_base = const_cast<std::uint8_t*>(bytes->data() + skip);
        vectors[count].iov_len = bytes->size() - skip;
        wanted += vectors[count].iov_len;
        ++count;
    }
    msghdr message = {};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const int flags = send_flags | (end < pieces.size() ? more_flag : 0);
    const ssize_t result = ::sendmsg(descriptor(), &message, flags);
    if (result < 0) {
        if (errno == EINTR) return SendStep::done;
        if (would_block(errno)) return SendStep::wait;
        cursor.error = IoError{errno, describe(errno)};
        return SendStep::failed;
    }
    auto rest = static_cast<std::size_t>(result);
    cursor.sent += rest;
    const bool all = rest == wanted;
    while (cursor.piece < end) {
        const std::size_t left =
            std::get<Bytes>(pieces[cursor.piece]).size() - cursor.done_in_piece;
        if (rest < left) break;
        rest -= left;
        cursor.done_in_piece = 0;
        ++cursor.piece;
    }
    cursor.done_in_piece += rest;
    return all ? SendStep::done : SendStep::wait;
}

// Part of the file range that comes next. `done`: go on.
SendStep Socket::send_file(SendCursor& cursor) {
    const auto& range = std::get<FileRange>(cursor.rope.pieces()[cursor.piece]);
    if (!cursor.pin) {
        const auto* file = dynamic_cast<const File*>(range.file.get());
        ASSERT(file, "what goes by sendfile is a file of this disk");
        auto pin = file->pin();
        if (!pin.ok()) {
            cursor.error = pin.error();
            return SendStep::failed;
        }
        cursor.pin.emplace(std::move(pin).value());
    }
    const int file = cursor.pin->descriptor();
    if (cursor.done_in_piece == cursor.warm_in_piece) {
        const std::size_t length = std::min(window_bytes, range.length - cursor.done_in_piece);
        const std::uint64_t first = range.position + cursor.done_in_piece;
        if (!is_in_memory(file, first + length - 1) || !is_in_memory(file, first)) {
            return SendStep::cold;
        }
        cursor.warm_in_piece += length;
    }
    const std::size_t wanted = cursor.warm_in_piece - cursor.done_in_piece;
    const ssize_t result =
        send_from_file(descriptor(), file, range.position + cursor.done_in_piece, wanted);
    if (result < 0) {
        if (errno == EINTR) return SendStep::done;
        if (would_block(errno)) return SendStep::wait;
        cursor.error = IoError{errno, describe(errno)};
        return SendStep::failed;
    }
    if (result == 0) {
        cursor.error = IoError{EIO, "the file ends before the range that was to be sent"};
        return SendStep::failed;
    }
    cursor.sent += static_cast<std::size_t>(result);
    cursor.done_in_piece += static_cast<std::size_t>(result);
    if (cursor.done_in_piece == range.length) {
        cursor.pin.reset();
        cursor.done_in_piece = 0;
        cursor.warm_in_piece = 0;
        ++cursor.piece;
    }
    return static_cast<std::size_t>(result) == wanted ? SendStep::done : SendStep::wait;
}

void Socket::warm(SendCursor& cursor) {
    const auto& range = std::get<FileRange>(cursor.rope.pieces()[cursor.piece]);
    const std::size_t length = std::min(window_bytes, range.length - cursor.done_in_piece);
    const std::uint64_t first = range.position + cursor.done_in_piece;
    const int file = cursor.pin->descriptor();
#ifdef __linux__
    readahead(file, static_cast<off64_t>(first), length);
#endif
    // Reading is the one way to know that it is there. What fails here, sendfile will report.
    const std::size_t step = 128 << 10;
    const auto scratch = std::make_unique<std::uint8_t[]>(step);
    for (std::size_t done = 0; done < length; done += step) {
        const ssize_t count = pread(file, scratch.get(), std::min(step, length - done),
                                    static_cast<off_t>(first + done));
        if (count <= 0) break;
    }
    cursor.warm_in_piece = cursor.done_in_piece + length;
}

}  // namespace pabal::os
