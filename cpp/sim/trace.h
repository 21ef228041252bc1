// The trace of one simulated run: every action, message and disk operation is mixed into one hash,
// so that two runs of one seed can be compared by a number. Owned by the World. With a sink it also
// tells each event as a line; that changes nothing in the run.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"

namespace pabal::sim {

class Trace {
public:
    using Sink = std::function<void(const std::string& line)>;

    // Where the lines go; none by default.
    void set_sink(Sink sink) { sink_ = std::move(sink); }
    bool is_told() const { return static_cast<bool>(sink_); }

    // An action of the lane whose name has this fingerprint: by far the most frequent event, which
    // is counted and mixed in, but not told.
    void turn(Instant when, std::uint64_t lane);
    // One event: when, what, where, and the numbers that tell it from another; `part` says which of
    // several at that place.
    void event(Instant when, std::string_view what, std::string_view where,
               std::initializer_list<std::uint64_t> numbers, std::uint64_t part = 0);
    // For people only: not part of the hash.
    void remark(Instant when, std::string_view where, std::string_view text);

    std::uint64_t hash() const { return hash_; }
    std::uint64_t event_count() const { return event_count_; }

private:
    void mix(std::uint64_t word);

    std::uint64_t hash_ = 0x706162616C000001ull;
    std::uint64_t event_count_ = 0;
    Sink sink_;
};

// A fingerprint of some bytes, for events that carry content.
std::uint64_t fingerprint(ByteView bytes);

}  // namespace pabal::sim
