// last-stable-offset-monotonic: under one leader, in one leader epoch, a partition's last stable
// offset never goes back, and it is never above the high watermark: what was shown as committed
// once is not called undecided again.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class LastStableOffsetMonotonic final : public Checker {
public:
    explicit LastStableOffsetMonotonic(bool is_replicated) : is_replicated_(is_replicated) {}
    const char* invariant() const override { return "last-stable-offset-monotonic"; }

    void asked(std::int32_t client, const Partition& partition, LeaderEpoch epoch) override {
        asked_[{client, partition}] = least_[{partition, epoch}];
    }

    void saw(const Sight& sight) override {
        if (sight.last_stable_offset > sight.high_watermark) {
            violated(text(sight.partition) + ": the last stable offset is " +
                     std::to_string(sight.last_stable_offset.value()) +
                     ", above the high watermark " + std::to_string(sight.high_watermark.value()));
        }
        const auto asked = asked_.find({sight.client, sight.partition});
        if (asked == asked_.end()) return;  // The broker died between asking and reading.
        // An answer of whatever leader says nothing about one of them.
        if (is_replicated_ && sight.leader_epoch == no_leader_epoch) return;
        if (sight.last_stable_offset < asked->second) {
            violated(text(sight.partition) + ": the last stable offset is " +
                     std::to_string(sight.last_stable_offset.value()) + " although " +
                     std::to_string(asked->second.value()) + " had been reached before" +
                     (is_replicated_
                          ? " in leader epoch " + std::to_string(sight.leader_epoch.value())
                          : ""));
        }
        auto& least = least_[{sight.partition, sight.leader_epoch}];
        least = std::max(least, sight.last_stable_offset);
    }

    void broker_died(Death death) override {
        if (is_replicated_ && death == Death::killed) return;
        least_.clear();
        asked_.clear();
    }
    void broker_stopped_cleanly() override { broker_died(Death::killed); }

private:
    bool is_replicated_;
    std::map<std::pair<Partition, LeaderEpoch>, Offset> least_;
    std::map<std::pair<std::int32_t, Partition>, Offset> asked_;
};

}  // namespace

std::unique_ptr<Checker> make_last_stable_offset_monotonic(const FlushPolicy& policy) {
    return std::make_unique<LastStableOffsetMonotonic>(policy.is_replicated);
}

}  // namespace pabal::sim
