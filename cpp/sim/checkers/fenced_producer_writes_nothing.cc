// fenced-producer-writes-nothing: once another producer was given a transactional id, nothing that
// the one before it sends is done: no record of it stands in any log, seen or hidden, and no
// request of it is granted.
#include <map>
#include <set>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class FencedProducerWritesNothing final : public Checker {
public:
    const char* invariant() const override { return "fenced-producer-writes-nothing"; }

    void sent(const SentBatch& batch) override {
        if (!batch.fenced) return;
        fenced_[batch.client].insert(batch.numbers.begin(), batch.numbers.end());
    }
    void acknowledged(const SentBatch& batch, Offset base_offset) override {
        if (!batch.fenced || power_was_lost_) return;
        violated(text(batch.partition) + ": a fenced producer of client " +
                 std::to_string(batch.client) + " was given offset " +
                 std::to_string(base_offset.value()));
    }
    void fenced_producer_served(std::int32_t client, const std::string& what) override {
        if (power_was_lost_) return;
        violated("a fenced producer of client " + std::to_string(client) + " was granted " + what);
    }
    void saw(const Sight& sight) override { look(sight.partition, sight.records); }
    void read_all(const Content& content) override { look(content.partition, content.records); }
    void broker_died(Death death) override {
        power_was_lost_ = power_was_lost_ || death == Death::power_lost;
    }

private:
    void look(const Partition& partition, const std::vector<ReadRecord>& records) {
        if (fenced_.empty() || power_was_lost_) return;
        for (const auto& read : records) {
            const auto numbers = fenced_.find(read.record.client);
            if (numbers == fenced_.end() || !numbers->second.contains(read.record.number)) continue;
            violated(text(partition) + ": " + text(read.record) + " at offset " +
                     std::to_string(read.offset.value()) +
                     " was sent by a producer that was fenced already");
            return;
        }
    }

    std::map<std::int32_t, std::set<std::int64_t>> fenced_;  // What they sent, by client.
    bool power_was_lost_ = false;
};

}  // namespace

std::unique_ptr<Checker> make_fenced_producer_writes_nothing() {
    return std::make_unique<FencedProducerWritesNothing>();
}

}  // namespace pabal::sim
