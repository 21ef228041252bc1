// The wires between the brokers of one cluster in this process, which its user may cut and slow
// down. A connection between two brokers runs over real sockets; what arrives on it is held back at
// its reader, as packets are that are lost and sent again. Connections of clients are not touched.
// Owned by the cluster's World; its networks live on the shards of their brokers, all other members
// may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "base/exported.h"
#include "base/ids.h"
#include "base/time.h"
#include "io/network.h"

namespace pabal::io {
class Clock;
}

namespace pabal::embedded {

class WiredNetwork;

class PABAL_EXPORTED Wires : public std::enable_shared_from_this<Wires> {
public:
    // `node` listens on that port of this machine, also while it is down.
    void place(BrokerId node, std::uint16_t port);

    // What `from` sends does not reach `to` any more, until heal(); the other way is another cut.
    void cut(BrokerId from, BrokerId to);
    // What `from` sends reaches `to` so much later; zero takes it back.
    void delay(BrokerId from, BrokerId to, Duration by);
    // Takes back all cuts and delays. What was held back arrives now.
    void heal();

    // The network of `node`, over the one that its machine gives. To be made and used on the node's
    // shard; `below` and `clock` outlive it.
    std::unique_ptr<WiredNetwork> network_of(BrokerId node, io::Network& below, io::Clock& clock);

private:
    friend class WiredNetwork;
    friend class WiredListener;
    friend class WiredStream;

    static constexpr std::int32_t nobody = -1;  // A client, or somebody who is no broker of ours.

    // Nothing was ever cut or delayed since the last heal().
    bool is_undisturbed() const { return !disturbed_.load(std::memory_order_acquire); }
    std::int32_t node_at(std::uint16_t port) const;
    bool is_cut(std::int32_t from, std::int32_t to) const;
    Duration delay_of(std::int32_t from, std::int32_t to) const;
    // A connection of ours leaves from that port: who accepts it learns whose it is.
    void connected(std::uint16_t port, std::int32_t node);
    void disconnected(std::uint16_t port);
    void join(WiredNetwork* network);
    void leave(WiredNetwork* network);

    std::atomic<bool> disturbed_{false};
    mutable std::mutex mutex_;
    std::map<std::uint16_t, std::int32_t> nodes_;  // By the ports of listeners and connections.
    std::set<std::pair<std::int32_t, std::int32_t>> cuts_;
    std::map<std::pair<std::int32_t, std::int32_t>, Duration> delays_;
    std::set<WiredNetwork*> networks_;
};

// The Network port of one broker in such a cluster.
class WiredNetwork final : public io::Network {
public:
    WiredNetwork(std::shared_ptr<Wires> wires, std::int32_t node, io::Network& below,
                 io::Clock& clock);
    ~WiredNetwork() override;

    IoResult<std::unique_ptr<io::Listener>> listen(io::Address address) override;
    io::Task<IoResult<std::unique_ptr<io::Stream>>> connect(io::Address address,
                                                            Instant deadline) override;

    // The broker is dead: nothing is waited for any more.
    void die();

private:
    friend class Wires;
    friend class WiredStream;
    friend class WiredListener;

    // Waiting for the wire to be whole again; on the shard.
    struct Wait;

    // Something may be whole again: everybody who waits looks once more. From any thread.
    void look_again();
    // Until look_again(), the deadline, or `*closed`. False if the deadline came first.
    io::Task<bool> wait_until_healed(Instant deadline);
    std::unique_ptr<io::Stream> wired(std::unique_ptr<io::Stream> stream, std::int32_t peer,
                                      bool accepted);

    std::shared_ptr<Wires> wires_;
    std::int32_t node_;
    io::Network& below_;
    io::Clock& clock_;
    std::set<Wait*> waits_;
    bool dead_ = false;
    // Posts that come after the end find nobody.
    std::shared_ptr<WiredNetwork*> self_;
};

}  // namespace pabal::embedded
