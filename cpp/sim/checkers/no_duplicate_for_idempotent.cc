// no-duplicate-for-idempotent: a record of an idempotent producer stands in its partition once,
// however often it was sent, and after the records that the producer sent before it. Nor is a
// producer refused for its sequence, unless a loss of power took the end of the log from under it.
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class NoDuplicateForIdempotent final : public Checker {
public:
    const char* invariant() const override { return "no-duplicate-for-idempotent"; }

    void sent(const SentBatch& batch) override {
        if (batch.idempotent) idempotent_[batch.client] = true;
    }

    void refused(const SentBatch& batch, const std::string& why) override {
        if (!batch.idempotent || power_was_lost_) return;
        violated(text(batch.partition) + ": client " + std::to_string(batch.client) +
                 " was refused although nothing had been lost: " + why);
    }

    void broker_died(Death death) override {
        power_was_lost_ = power_was_lost_ || death == Death::power_lost;
    }

    void read_all(const Content& content) override {
        std::map<std::int32_t, ReadRecord> last;
        for (const auto& read : content.records) {
            const auto client = read.record.client;
            if (!idempotent_.contains(client)) continue;
            const auto [entry, first] = last.emplace(client, read);
            if (!first && entry->second.record.number >= read.record.number) {
                violated(text(content.partition) + ": " + text(read.record) + " at offset " +
                         std::to_string(read.offset.value()) + " comes after " +
                         text(entry->second.record) + " at offset " +
                         std::to_string(entry->second.offset.value()));
                return;
            }
            entry->second = read;
        }
    }

private:
    std::map<std::int32_t, bool> idempotent_;
    bool power_was_lost_ = false;
};

}  // namespace

std::unique_ptr<Checker> make_no_duplicate_for_idempotent() {
    return std::make_unique<NoDuplicateForIdempotent>();
}

}  // namespace pabal::sim
