// acked-never-lost: what was acknowledged is found again at its offset, as far as the flush policy
// promises: after a kill all of it; after a loss of power all that was synced, which is everything
// of a topic with flush.messages=1 and everything acknowledged before a clean shutdown. In a
// cluster this holds of acks=all whoever leads.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class AckedNeverLost final : public Checker {
public:
    explicit AckedNeverLost(FlushPolicy policy) : policy_(std::move(policy)) {}
    const char* invariant() const override { return "acked-never-lost"; }

    void acknowledged(const SentBatch& batch, Offset base_offset) override {
        if (batch.acks == 0 || base_offset < Offset(0)) return;
        if (policy_.is_replicated && batch.acks != -1) return;
        auto& known = partitions_[batch.partition];
        for (std::size_t i = 0; i < batch.numbers.size(); ++i) {
            const Offset offset = base_offset + static_cast<std::int64_t>(i);
            const RecordId record{batch.client, batch.numbers[i]};
            const auto [entry, fresh] = known.acked.emplace(offset, record);
            if (!fresh && entry->second != record) {
                violated(text(batch.partition) + ": offset " + std::to_string(offset.value()) +
                         " was acknowledged to " + text(entry->second) + " and to " + text(record));
            }
        }
    }

    void delete_asked(const Partition& partition, Offset offset) override {
        auto& known = partitions_[partition];
        known.may_start_at = std::max(known.may_start_at, offset);
    }

    void broker_died(Death death) override {
        if (death == Death::power_lost) ++power_losses_;
    }

    void broker_stopped_cleanly() override {
        for (auto& [partition, known] : partitions_) {
            if (!known.acked.empty()) {
                known.synced_below = std::max(known.synced_below, known.acked.rbegin()->first + 1);
            }
        }
    }

    void read_all(const Content& content) override {
        auto& known = partitions_[content.partition];
        const bool synced = policy_.is_synced(content.partition.topic);
        if (known.power_losses < power_losses_ && !synced) {
            // What was never synced may be gone; its offsets will be given to others.
            const Offset keep = std::max(known.synced_below, content.log_end_offset);
            known.acked.erase(known.acked.lower_bound(keep), known.acked.end());
        }
        known.power_losses = power_losses_;
        std::map<Offset, RecordId> found;
        for (const auto& read : content.records) found.emplace(read.offset, read.record);
        for (const auto& [offset, record] : known.acked) {
            if (offset < content.log_start_offset && offset < known.may_start_at) continue;
            const auto entry = found.find(offset);
            if (entry != found.end() && entry->second == record) continue;
            violated(text(content.partition) + ": " + text(record) +
                     " was acknowledged at offset " + std::to_string(offset.value()) +
                     ", where now " +
                     (entry == found.end()
                          ? "nothing is (the log is " +
                                std::to_string(content.log_start_offset.value()) + ".." +
                                std::to_string(content.log_end_offset.value()) + ")"
                          : text(entry->second) + " is"));
            return;
        }
        // Read once, it need not be held for ever if it was asked to go.
        known.acked.erase(known.acked.begin(), known.acked.lower_bound(std::min(
                                                   content.log_start_offset, known.may_start_at)));
    }

private:
    struct Known {
        std::map<Offset, RecordId> acked;
        Offset may_start_at{0};
        Offset synced_below{0};
        std::uint64_t power_losses = 0;  // That its content has been read again after.
    };
    FlushPolicy policy_;
    std::map<Partition, Known> partitions_;
    std::uint64_t power_losses_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_acked_never_lost(const FlushPolicy& policy) {
    return std::make_unique<AckedNeverLost>(policy);
}

}  // namespace pabal::sim
