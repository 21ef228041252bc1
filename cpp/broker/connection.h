// One client's connection: takes the frames out of the stream, has them answered in the order of
// their arrival (law 5) and sends the replies in that order, as many as are ready in one gathered
// write. Lives on the broker's shard, owned by Connections.
//
// Memory is bounded: an idle connection holds no buffer; a frame reserves its length from the byte
// budget before memory is taken for it; at most `read_ahead` frames or bytes wait behind the one
// that is being worked on; and nothing more is read while the peer does not take its replies.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/rope.h"
#include "broker/byte_budget.h"
#include "broker/dispatch.h"
#include "broker/frame_buffers.h"
#include "broker/request.h"
#include "io/gate.h"
#include "io/network.h"
#include "io/task.h"

namespace pabal::broker {

// A frame longer than what was left of the read buffer: its memory, once the budget gave it.
struct LongFrame {
    std::size_t length = 0;
    std::size_t filled = 0;
    Bytes beginning;  // What came with the read buffer, until there is memory.
    Buffer content;
    bool reserved = false;
};

// What the connections of one broker share.
struct ConnectionShared {
    Context* context = nullptr;
    Dispatch* dispatch = nullptr;
    ByteBudget* budget = nullptr;
    FrameBuffers* frame_buffers = nullptr;
    std::int32_t max_frame_bytes = 100 << 20;  // socket.request.max.bytes
    Counter* bytes_in = nullptr;
    Counter* bytes_out = nullptr;
    Counter* refused = nullptr;  // Connections closed for what the peer sent.
};

class Connection {
public:
    static constexpr std::size_t read_ahead_frames = 64;
    static constexpr std::size_t read_ahead_bytes = 4 << 20;

    Connection(const ConnectionShared& shared, std::unique_ptr<io::Stream> stream, Peer peer);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Ends when the connection is closed and no request of it is being worked on.
    io::Task<void> run();
    // Reads no more; what has been received is answered, then the connection is closed.
    void stop();
    // Closed at once, with a reset; replies are dropped.
    void reset();

    // Idle for too long: an orderly end, or a reset if the peer does not take what it asked for.
    void expire();

    const Peer& peer() const { return peer_; }
    // Link time of the last byte that was received or taken by the peer; never() while a request
    // is being worked on or waits for memory, as the peer then waits for us.
    Instant idle_since() const {
        if (waiting_memory_) return Instant::never();
        return calls_.empty() || writing_ ? last_active_ : Instant::never();
    }

private:
    struct Work {
        Dispatch::Call call;
        Dispatch::Answer answer;
        Bytes buffer;  // All of it, if the frame has one to itself.
        std::size_t reserved_bytes = 0;
        bool started = false;
        bool done = false;
    };

    bool may_read() const;
    void read_input();
    void read_long_frame();
    void parse();
    void fill_long_frame();  // Its memory is reserved now.
    void take_frame(Bytes frame, std::size_t reserved_bytes, Bytes buffer = Bytes());
    void start_work();
    void collect_replies();
    void release_parked();
    void refuse(std::string_view why);
    void release_read_buffer();
    void wake();
    bool working() const;
    io::Task<void> work_on(Work* work);
    io::Task<void> watch_input();

    ConnectionShared shared_;
    std::unique_ptr<io::Stream> stream_;
    Peer peer_;
    std::deque<std::unique_ptr<Work>> calls_;  // In order of arrival; the first ones are started.
    std::size_t held_bytes_ = 0;               // Reserved by calls_.
    std::uint8_t prefix_[4] = {};              // Of the next frame, if less than its length came.
    std::size_t prefix_size_ = 0;
    std::optional<LongFrame> long_frame_;
    bool large_frames_ = false;         // The last frame did not fit into the read buffer.
    Bytes read_buffer_;                 // While slices of it are being worked on.
    Bytes unparsed_;                    // Of it; waits until earlier frames are answered.
    std::size_t since_turn_bytes_ = 0;  // Taken without letting others run.
    Rope output_;
    std::optional<io::Gate> wake_;
    Instant last_active_;
    bool watching_ = false;        // watch_input runs.
    bool waiting_input_ = false;   // run waits for input and for nothing else.
    bool waiting_memory_ = false;  // run waits for the byte budget.
    bool input_ready_ = false;     // There may be something to read.
    bool end_of_stream_ = false;   // The peer sends nothing more.
    bool input_ended_ = false;     // No more frames are taken; ends after the replies that are due.
    bool closing_ = false;         // No more replies leave.
    bool broken_ = false;          // The stream is of no use any more.
    bool writing_ = false;
};

}  // namespace pabal::broker
