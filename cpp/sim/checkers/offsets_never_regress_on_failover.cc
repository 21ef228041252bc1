// offsets-never-regress-on-failover: a group finds the position again whose commit was
// acknowledged, or a later one that it asked for, whatever dies. A loss of power may take positions
// that were not synced.
#include <map>
#include <optional>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class OffsetsNeverRegress final : public Checker {
public:
    const char* invariant() const override { return "offsets-never-regress-on-failover"; }

    void commit_asked(const std::string& group, const Partition& partition,
                      Offset offset) override {
        auto& bounds = bounds_[{group, partition}];
        bounds.most = std::max(bounds.most, offset);
    }
    void committed(const std::string& group, const Partition& partition, Offset offset) override {
        auto& bounds = bounds_[{group, partition}];
        bounds.least = std::max(bounds.least, offset);
    }
    void position_read(const std::string& group, const Partition& partition,
                       Offset offset) override {
        const auto& bounds = bounds_[{group, partition}];
        if (offset < bounds.least) {
            violated(group + " stands at " + std::to_string(offset.value()) + " of " +
                     text(partition) + ", although its commit of " +
                     std::to_string(bounds.least.value()) + " was acknowledged");
        } else if (offset > bounds.most) {
            violated(group + " stands at " + std::to_string(offset.value()) + " of " +
                     text(partition) + ", but never asked for more than " +
                     std::to_string(bounds.most.value()));
        }
    }
    void broker_died(Death death) override {
        if (death != Death::power_lost) return;
        for (auto& [key, bounds] : bounds_) bounds.least = Offset(-1);
    }

private:
    struct Bounds {
        Offset least{-1};
        Offset most{-1};
    };
    std::map<std::pair<std::string, Partition>, Bounds> bounds_;
};

}  // namespace

std::unique_ptr<Checker> make_offsets_never_regress_on_failover() {
    return std::make_unique<OffsetsNeverRegress>();
}

}  // namespace pabal::sim
