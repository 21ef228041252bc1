// Everything through which a node reaches the world. The operating system implements them (os/,
// kv/), and so does the simulator (sim/); one suite of contracts runs against both.
#pragma once

#include <functional>
#include <memory>

#include "base/prng.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/network.h"
#include "io/store.h"

namespace pabal::io {

struct Ports {
    Clock& clock;
    Network& network;
    Disk& disk;
    Prng random;  // Forked by each concern that draws from it.
    // Opens the store in a directory, when it is first needed; blocks.
    std::function<IoResult<std::unique_ptr<Store>>(const std::string& directory)> open_store;
};

}  // namespace pabal::io
