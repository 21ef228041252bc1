// One socket on a shard's event loop, for the Network port: waits for readiness with a deadline,
// and sends ropes. Shared by the stream or listener that owns it and by the coroutines that wait on
// it, so that closing frees nothing that is still waited on. Lives on its shard.
#pragma once

#include <asio/posix/stream_descriptor.hpp>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/rope.h"
#include "base/time.h"
#include "io/clock.h"
#include "os/open_files.h"

namespace pabal::os {

class Power;
class Shard;

enum class Direction { read, write };

enum class Readiness { ready, deadline_passed, closed };

// How far a rope is sent.
struct SendCursor {
    explicit SendCursor(Rope rope_to_send) : rope(std::move(rope_to_send)) {}

    Rope rope;
    std::size_t piece = 0;
    std::size_t done_in_piece = 0;
    std::size_t sent = 0;
    // Of the piece that is a file range: up to here its bytes were found in memory, or put there.
    std::size_t warm_in_piece = 0;
    std::optional<NamedFile::Pin> pin;
    IoError error;
};

enum class SendStep {
    done,
    wait,    // The peer takes no more now.
    cold,    // The next bytes of the file are not in memory: warm() on the disk pool.
    turn,    // Much was sent; others first.
    failed,  // cursor.error
};

class Socket : public std::enable_shared_from_this<Socket> {
public:
    // Takes the descriptor over; it does not block.
    Socket(Shard& shard, std::shared_ptr<const Power> power, int descriptor);
    ~Socket();

    bool is_open() const { return open_; }
    int descriptor() { return descriptor_.native_handle(); }
    Shard& shard() { return shard_; }

    // Closes; all waits end with Readiness::closed, at a later turn.
    void close();
    // The same, and the peer sees a reset.
    void reset();

    // Awaits that `direction` is possible, or the deadline. May also end early: then the next call
    // of the system says that nothing can be done yet.
    class Wait {
    public:
        Wait(Socket* socket, Direction direction, Instant deadline)
            : socket_(socket), direction_(direction), deadline_(deadline) {}
        bool await_ready();
        void await_suspend(std::coroutine_handle<> waiter);
        Readiness await_resume() const noexcept { return readiness_; }

    private:
        friend class Socket;
        Socket* socket_;
        Direction direction_;
        Instant deadline_;
        Readiness readiness_ = Readiness::ready;
        std::coroutine_handle<> waiter_;
        io::TimerId timer_ = 0;
    };
    Wait wait(Direction direction, Instant deadline) { return Wait(this, direction, deadline); }

    // Sends as much as goes without waiting.
    SendStep send(SendCursor& cursor);
    // Reads what send() found cold into the page cache. Blocks: for the disk pool.
    static void warm(SendCursor& cursor);

private:
    struct Side {
        bool armed = false;  // The loop watches; it goes on over waits that ended early.
        bool ready = false;  // News that came while nobody waited.
        Wait* wait = nullptr;
    };
    Side& side(Direction direction) { return direction == Direction::read ? read_ : write_; }
    void arm(Direction direction);
    void end_wait(Side& side, Readiness readiness);
    void end_wait_later(Direction direction);
    SendStep send_bytes(SendCursor& cursor);
    SendStep send_file(SendCursor& cursor);

    Shard& shard_;
    std::shared_ptr<const Power> power_;
    asio::posix::stream_descriptor descriptor_;
    bool open_ = true;
    Side read_;
    Side write_;
};

}  // namespace pabal::os
