// How one client finds its way through a cluster: a connection to each broker that it speaks to,
// and what it was last told about who leads which partition. Owned by a Client; lives on its shard.
// Where there is one broker, every way leads there and nobody is asked.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "io/task.h"
#include "sim/checkers/checker.h"
#include "sim/client/wire_client.h"

namespace pabal::sim {

struct Leader {
    BrokerId broker = no_broker;
    LeaderEpoch epoch = no_leader_epoch;  // Not known where there is one broker.
};

class Route {
public:
    // `told` hears whom an answer of Metadata names as a leader.
    Route(io::Clock& clock, io::Network& network, std::vector<std::string> hosts,
          std::string client_id, Prng random, std::function<void(const Partition&, Leader)> told);

    // For what every broker can be asked: the same one, until a request to it failed.
    WireClient& any();
    WireClient& broker(BrokerId id) { return *brokers_[static_cast<std::size_t>(id.value())]; }
    std::size_t broker_count() const { return brokers_.size(); }

    // The connection to the leader of `partition` as far as this client knows; it asks some broker
    // if it knows of none. Null: that broker did not answer, or knows of none either.
    io::Task<WireClient*> to_leader(Partition partition);
    // What to_leader() went by.
    Leader leader_of(const Partition& partition) const;
    // To be called when the leader was none, or did not answer.
    void forget(const Partition& partition);

    // The same for the coordinator of a group, or of a transactional id.
    enum class Coordinated : std::int8_t { group = 0, transactional_id = 1 };
    io::Task<WireClient*> to_coordinator(std::string key, Coordinated what = Coordinated::group);
    void forget_coordinator(const std::string& key, Coordinated what = Coordinated::group) {
        coordinators_.erase({what, key});
    }

private:
    bool is_known(BrokerId id) const {
        return id.value() >= 0 && static_cast<std::size_t>(id.value()) < brokers_.size();
    }
    WireClient& another();

    std::vector<std::unique_ptr<WireClient>> brokers_;
    Prng random_;
    std::function<void(const Partition&, Leader)> told_;
    std::size_t current_ = 0;
    std::map<Partition, Leader> leaders_;
    std::map<Partition, LeaderEpoch> newest_;  // Of all that was told, forgotten or not.
    std::map<std::pair<Coordinated, std::string>, BrokerId> coordinators_;
};

}  // namespace pabal::sim
