// high-watermark-monotonic: under one leader a partition's high watermark never goes back, and
// whoever asks after an acks=all acknowledgement finds it above what was acknowledged. A new leader
// may know less at first; once everything is at rest, nothing that was ever told is above it.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class HighWatermarkMonotonic final : public Checker {
public:
    explicit HighWatermarkMonotonic(bool is_replicated) : is_replicated_(is_replicated) {}
    const char* invariant() const override { return "high-watermark-monotonic"; }

    void acknowledged(const SentBatch& batch, Offset base_offset) override {
        if (batch.acks != -1 || base_offset < Offset(0)) return;
        auto& least = least_[{batch.partition, batch.leader_epoch}];
        least = std::max(least, base_offset + static_cast<std::int64_t>(batch.numbers.size()));
    }

    // What one client is told, one answer after the other, is in order; answers to several are not.
    void asked(std::int32_t client, const Partition& partition, LeaderEpoch epoch) override {
        asked_[{client, partition}] = least_[{partition, epoch}];
    }

    void saw(const Sight& sight) override {
        const auto key = std::pair(sight.client, sight.partition);
        const auto asked = asked_.find(key);
        if (asked == asked_.end()) return;  // The broker died between asking and reading.
        auto& greatest = greatest_[sight.partition];
        greatest = std::max(greatest, sight.high_watermark);
        // An answer of whatever leader says nothing about one of them.
        if (is_replicated_ && sight.leader_epoch == no_leader_epoch) return;
        if (sight.high_watermark < asked->second) {
            violated(text(sight.partition) + ": the high watermark is " +
                     std::to_string(sight.high_watermark.value()) + " although " +
                     std::to_string(asked->second.value()) + " had been reached before" +
                     (is_replicated_
                          ? " in leader epoch " + std::to_string(sight.leader_epoch.value())
                          : ""));
        }
        auto& least = least_[{sight.partition, sight.leader_epoch}];
        least = std::max(least, sight.high_watermark);
    }

    // Nobody writes meanwhile: this is where it stands, also if answers came before the death.
    void read_all(const Content& content) override {
        if (!is_replicated_) {
            least_[{content.partition, no_leader_epoch}] = content.log_end_offset;
            return;
        }
        const auto greatest = greatest_.find(content.partition);
        if (greatest == greatest_.end() || greatest->second <= content.log_end_offset) return;
        violated(text(content.partition) + ": everything is at rest and the high watermark is " +
                 std::to_string(content.log_end_offset.value()) + ", but once it was " +
                 std::to_string(greatest->second.value()));
    }

    void broker_died(Death death) override {
        if (is_replicated_ && death == Death::killed) return;
        least_.clear();
        asked_.clear();
        greatest_.clear();
    }
    void broker_stopped_cleanly() override { broker_died(Death::killed); }

private:
    bool is_replicated_;
    std::map<std::pair<Partition, LeaderEpoch>, Offset> least_;
    std::map<Partition, Offset> greatest_;
    std::map<std::pair<std::int32_t, Partition>, Offset> asked_;
};

}  // namespace

std::unique_ptr<Checker> make_high_watermark_monotonic(const FlushPolicy& policy) {
    return std::make_unique<HighWatermarkMonotonic>(policy.is_replicated);
}

}  // namespace pabal::sim
