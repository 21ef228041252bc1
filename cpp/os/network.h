// The Network port on sockets. Owned by a node's ports; lives on one shard. Bytes leave by sendmsg,
// ranges of files by sendfile. Its streams and listeners are closed, or at least cut off by
// `reset_all`, before it goes.
#pragma once

#include <memory>
#include <unordered_map>

#include "io/network.h"

namespace pabal::os {

class Machine;
class Power;
class Shard;
class Socket;

class Network final : public io::Network {
public:
    Network(std::shared_ptr<Machine> machine, std::shared_ptr<const Power> power, Shard* shard);
    ~Network() override;

    // Resolves a name in place (addresses need no resolving).
    IoResult<std::unique_ptr<io::Listener>> listen(io::Address address) override;
    io::Task<IoResult<std::unique_ptr<io::Stream>>> connect(io::Address address,
                                                            Instant deadline) override;

    // All connections end with a reset, all listeners close.
    void reset_all();

    // The sockets that are open, whoever owns them.
    struct Registry {
        std::unordered_map<Socket*, std::weak_ptr<Socket>> sockets;
    };

private:
    std::shared_ptr<Machine> machine_;
    std::shared_ptr<const Power> power_;
    Shard* shard_;
    std::shared_ptr<Registry> registry_;
};

}  // namespace pabal::os
