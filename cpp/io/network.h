// The Network port: streams of bytes between addresses. All calls and completions are on one shard.
// Every wait has a deadline in link time; close and reset complete all waits with an error.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/rope.h"
#include "base/time.h"
#include "io/task.h"

namespace pabal::io {

struct Address {
    std::string
        host;  // A name, an IPv4 or IPv6 address (without brackets); empty: every interface.
    std::uint16_t port = 0;

    bool operator==(const Address&) const = default;
};

std::string text(const Address& address);  // "host:port", IPv6 in brackets.

struct ReadSome {
    std::size_t count = 0;  // 0 without end_of_stream: nothing is there now.
    bool end_of_stream = false;
};

class Stream {
public:
    virtual ~Stream() = default;

    // Waits, holding no buffer, until something can be read or the peer has closed: true. False if
    // the deadline came first.
    virtual Task<IoResult<bool>> readable(Instant deadline) = 0;
    // Takes what is there, never waits.
    virtual IoResult<ReadSome> read_some(MutableByteView into) = 0;
    // Sends all of `rope`, in order, as one gathered write as far as the system takes it; ranges of
    // files go by sendfile. One write at a time.
    virtual Task<IoStatus> write(Rope rope, Instant deadline) = 0;

    // Orderly end: what was written is still delivered.
    virtual void close() = 0;
    // Abrupt end: the peer sees a reset.
    virtual void reset() = 0;

    virtual const Address& local() const = 0;
    virtual const Address& peer() const = 0;
};

class Listener {
public:
    virtual ~Listener() = default;
    virtual Task<IoResult<std::unique_ptr<Stream>>> accept() = 0;
    virtual const Address& local() const = 0;  // With the port that was chosen for port 0.
    virtual void close() = 0;
};

class Network {
public:
    virtual ~Network() = default;
    virtual IoResult<std::unique_ptr<Listener>> listen(Address address) = 0;
    virtual Task<IoResult<std::unique_ptr<Stream>>> connect(Address address, Instant deadline) = 0;
};

}  // namespace pabal::io
