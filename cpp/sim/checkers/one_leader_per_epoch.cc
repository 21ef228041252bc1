// one-leader-per-epoch: a leader epoch, of a partition or of the metadata quorum, has one leader;
// whichever broker is asked, and whenever, names the same one.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class OneLeaderPerEpoch final : public Checker {
public:
    const char* invariant() const override { return "one-leader-per-epoch"; }

    void told_leader(const Partition& partition, BrokerId leader, LeaderEpoch epoch) override {
        if (leader == no_broker || epoch == no_leader_epoch) return;
        const auto [entry, first] = leaders_.emplace(std::pair(partition, epoch), leader);
        if (first || entry->second == leader) return;
        violated(text(partition) + ": broker " + std::to_string(entry->second.value()) +
                 " and broker " + std::to_string(leader.value()) + " both lead in epoch " +
                 std::to_string(epoch.value()));
    }

private:
    std::map<std::pair<Partition, LeaderEpoch>, BrokerId> leaders_;
};

}  // namespace

std::unique_ptr<Checker> make_one_leader_per_epoch() {
    return std::make_unique<OneLeaderPerEpoch>();
}

}  // namespace pabal::sim
