// high-watermark-monotonic: within one life of its leader, a partition's high watermark never goes
// back, and whoever asks after an acks=all acknowledgement finds it above what was acknowledged.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class HighWatermarkMonotonic final : public Checker {
public:
    const char* invariant() const override { return "high-watermark-monotonic"; }

    void acknowledged(const SentBatch& batch, Offset base_offset) override {
        if (batch.acks != -1 || base_offset < Offset(0)) return;
        auto& least = least_[batch.partition];
        least = std::max(least, base_offset + static_cast<std::int64_t>(batch.numbers.size()));
    }

    // What one client is told, one answer after the other, is in order; answers to several are not.
    void asked(std::int32_t client, const Partition& partition) override {
        asked_[{client, partition}] = least_[partition];
    }

    void saw(const Sight& sight) override {
        const auto key = std::pair(sight.client, sight.partition);
        const auto asked = asked_.find(key);
        if (asked == asked_.end()) return;  // The broker died between asking and reading.
        if (sight.high_watermark < asked->second) {
            violated(text(sight.partition) + ": the high watermark is " +
                     std::to_string(sight.high_watermark.value()) + " although " +
                     std::to_string(asked->second.value()) + " had been reached before");
        }
        auto& least = least_[sight.partition];
        least = std::max(least, sight.high_watermark);
    }

    // Nobody writes meanwhile: this is where it stands, also if answers came before the death.
    void read_all(const Content& content) override {
        least_[content.partition] = content.log_end_offset;
    }

    void broker_died(Death) override {
        least_.clear();
        asked_.clear();
    }
    void broker_stopped_cleanly() override { broker_died(Death::killed); }

private:
    std::map<Partition, Offset> least_;
    std::map<std::pair<std::int32_t, Partition>, Offset> asked_;
};

}  // namespace

std::unique_ptr<Checker> make_high_watermark_monotonic() {
    return std::make_unique<HighWatermarkMonotonic>();
}

}  // namespace pabal::sim
