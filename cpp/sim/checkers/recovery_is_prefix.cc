// recovery-is-prefix: what a log holds after a crash is what it held before, cut off at one offset.
// Everything that any client ever read or had acknowledged below that offset is still the same;
// only a loss of power may cut below what was read. In a cluster it is the fail-over, too, after
// which what was committed is the same.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class RecoveryIsPrefix final : public Checker {
public:
    explicit RecoveryIsPrefix(bool is_replicated) : is_replicated_(is_replicated) {}
    const char* invariant() const override { return "recovery-is-prefix"; }

    void acknowledged(const SentBatch& batch, Offset base_offset) override {
        if (batch.acks == 0 || base_offset < Offset(0)) return;
        // What its leader alone holds may go with him.
        if (is_replicated_ && batch.acks != -1) return;
        auto& content = partitions_[batch.partition].content;
        for (std::size_t i = 0; i < batch.numbers.size(); ++i) {
            learn(batch.partition, content, base_offset + static_cast<std::int64_t>(i),
                  {batch.client, batch.numbers[i]});
        }
    }

    void saw(const Sight& sight) override {
        auto& content = partitions_[sight.partition].content;
        for (const auto& read : sight.records)
            learn(sight.partition, content, read.offset, read.record);
    }

    void broker_died(Death death) override {
        if (death == Death::power_lost) ++power_losses_;
    }

    void start_failed(const std::string& why) override {
        violated("the broker does not start again after a crash: " + why);
    }

    void read_all(const Content& content) override {
        auto& known = partitions_[content.partition];
        auto beyond = known.content.lower_bound(content.log_end_offset);
        // The broker may have ended a transaction since it told where the log ends.
        if (known.power_losses == power_losses_) {
            while (beyond != known.content.end() && beyond->second.client < 0) ++beyond;
        }
        if (beyond != known.content.end()) {
            if (known.power_losses == power_losses_) {
                violated(text(content.partition) + ": the log ends at " +
                         std::to_string(content.log_end_offset.value()) + ", but " +
                         text(beyond->second) + " had been read at offset " +
                         std::to_string(beyond->first.value()));
                return;
            }
            known.content.erase(beyond, known.content.end());
        }
        known.power_losses = power_losses_;
        for (const auto& read : content.records)
            learn(content.partition, known.content, read.offset, read.record);
    }

private:
    struct Known {
        std::map<Offset, RecordId> content;
        std::uint64_t power_losses = 0;  // That this content has been read again after.
    };

    void learn(const Partition& partition, std::map<Offset, RecordId>& content, Offset offset,
               const RecordId& record) {
        // Looked for first: a record is read far more often than it is new.
        const auto entry = content.lower_bound(offset);
        if (entry == content.end() || entry->first != offset) {
            content.emplace_hint(entry, offset, record);
        } else if (!(entry->second == record)) {
            violated(text(partition) + ": offset " + std::to_string(offset.value()) + " held " +
                     text(entry->second) + " and now holds " + text(record));
        }
    }

    bool is_replicated_;
    std::map<Partition, Known> partitions_;
    std::uint64_t power_losses_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_recovery_is_prefix(const FlushPolicy& policy) {
    return std::make_unique<RecoveryIsPrefix>(policy.is_replicated);
}

}  // namespace pabal::sim
