// The simulated network: hosts, listeners and streams between them. Owned by the World. Latencies
// are drawn from the seed; the bytes of a stream arrive in order and whole, cut anywhere; a reader
// that does not read stops its writer. Links can be cut in either direction (what is under way
// waits, as TCP sends it again), streams reset, hosts killed with a reset or silenced by a loss of
// power.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/prng.h"
#include "io/gate.h"
#include "io/network.h"
#include "sim/scheduler.h"

namespace pabal::sim {

struct NetworkProfile {
    Duration latency_least = Duration::microseconds(30);
    Duration latency_most = Duration::microseconds(300);
    // One segment in so many takes up to the tail latency.
    std::uint32_t tail_one_in = 50;
    Duration latency_tail = Duration::milliseconds(20);
    // Bytes under way and unread before a writer has to wait.
    std::uint32_t window_bytes = 64 * 1024;
    // A stream is reset in so many of a million segments.
    std::uint32_t resets_per_million = 0;
};

struct NetworkSabotage {
    // Of what the accepting side, the broker, sends:
    bool swaps_segments = false;    // Some neighbouring segments change places.
    bool repeats_segments = false;  // Some segments arrive twice.
};

enum class HostState {
    running,
    process_dead,  // The kernel answers: connections are refused, streams reset.
    silent,        // Nothing answers.
};

class Network;

// One direction of a connection.
struct Pipe {
    enum class Kind { data, end, reset };
    struct Segment {
        Kind kind;
        Bytes bytes;
    };
    std::deque<std::pair<Instant, Segment>> under_way;
    bool armed = false;    // An event will deliver the first segment.
    bool stalled = false;  // It came to a cut link and waits for it to heal.
    std::deque<Bytes> arrived;
    std::uint64_t unread_bytes = 0;  // Under way and arrived.
};

// One side of a connection; what a Stream holds.
struct Endpoint {
    std::string host;
    io::Address local;
    io::Address peer;
    bool closed = false;  // By us, in order.
    bool broken = false;  // Reset, by whomever.
    bool end_arrived = false;
    io::Gate* readable = nullptr;
    io::Gate* writable = nullptr;  // Or connected.
};

struct Connection {
    std::uint64_t id = 0;
    Endpoint ends[2];  // 0 connected, 1 accepted.
    Pipe pipes[2];     // From that end to the other.
    bool accepted = false;
};

struct ListenerState {
    io::Address local;
    bool closed = false;
    std::deque<std::shared_ptr<Connection>> backlog;
    io::Gate* acceptable = nullptr;
};

class Network {
public:
    explicit Network(Scheduler& scheduler);

    NetworkProfile profile;
    NetworkSabotage sabotage;

    // Cuts what `from` sends to `to`; the other direction is another cut.
    void cut(const std::string& from, const std::string& to);
    void heal(const std::string& from, const std::string& to);
    void heal_all();
    void set_host_state(const std::string& host, HostState state);
    HostState host_state(const std::string& host) const;

private:
    friend class NetworkPort;
    friend class SimStream;
    friend class SimListener;

    using ConnectionPtr = std::shared_ptr<Connection>;

    Duration latency();
    bool is_cut(const std::string& from, const std::string& to) const;
    void send(const ConnectionPtr& connection, int from, Pipe::Segment segment);
    void arm(const ConnectionPtr& connection, int from);
    void deliver(const ConnectionPtr& connection, int from);
    void break_end(Connection& connection, int end);
    // Breaks this end and tells the other.
    void reset(const ConnectionPtr& connection, int end);
    void close(const ConnectionPtr& connection, int end);
    void try_connect(const ConnectionPtr& connection, std::function<void(bool accepted)> done,
                     Duration retry_after);
    void wake(io::Gate* gate);
    void resume_stalled();
    void note(std::string_view what, const Connection& connection, int end,
              std::initializer_list<std::uint64_t> numbers);
    std::uint16_t free_port(const std::string& host);

    Scheduler& scheduler_;
    LaneId lane_;
    Prng random_;
    Prng cut_random_;  // Where streams are cut into segments and reads.
    std::set<std::pair<std::string, std::string>> cuts_;
    std::map<std::string, HostState> hosts_;
    std::map<std::pair<std::string, std::uint16_t>, std::shared_ptr<ListenerState>> listeners_;
    std::map<std::uint64_t, ConnectionPtr> connections_;
    std::map<std::string, std::uint16_t> last_ports_;
    std::uint64_t last_connection_ = 0;
};

}  // namespace pabal::sim
