// The broker's one store, opened when somebody first needs it: on the disk pool, off the path to
// the first answer. Owned by the node; everyone who keeps keys in the store asks here for it. A
// store that cannot be opened stays closed: its error is the answer to everyone who asks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/task.h"

namespace pabal::io {
class Gate;
class Store;
struct Ports;
}  // namespace pabal::io

namespace pabal::runtime {

class BrokerStore {
public:
    // `ports` outlives this object.
    BrokerStore(io::Ports* ports, std::string directory);
    ~BrokerStore();

    // The store, open. The first call opens it, the others wait for that.
    io::Task<IoResult<io::Store*>> opened();
    // The store if it is open already, else null.
    io::Store* if_open() const { return store_.get(); }
    const std::string& directory() const { return directory_; }

    // Closes it, on the disk pool, once it is not being opened any more. Nobody may be using it.
    io::Task<void> close();

private:
    io::Ports* ports_;
    std::string directory_;
    std::unique_ptr<io::Store> store_;
    std::optional<IoError> error_;
    bool opening_ = false;
    std::vector<io::Gate*> waiting_;
};

}  // namespace pabal::runtime
