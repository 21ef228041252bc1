// The Network port of one process on one host. Owned by the Process; when that is killed, its
// streams are reset (or fall silent with the power), its listeners are gone, and no call has an
// effect.
#pragma once

#include <memory>
#include <string>

#include "io/network.h"
#include "sim/network.h"

namespace pabal::sim {

class NetworkPort final : public io::Network {
public:
    NetworkPort(sim::Network& network, io::Clock& clock, std::string host);
    ~NetworkPort() override;

    // From now on nothing has an effect. With `silent`, the peers are not told.
    void die(bool silent);

    IoResult<std::unique_ptr<io::Listener>> listen(io::Address address) override;
    io::Task<IoResult<std::unique_ptr<io::Stream>>> connect(io::Address address,
                                                            Instant deadline) override;

private:
    std::string host_of(const io::Address& address) const;

    sim::Network& network_;
    io::Clock& clock_;
    std::string host_;
    bool dead_ = false;
};

}  // namespace pabal::sim
