// only-what-was-sent: whatever a client reads was written, unchanged, to that partition by
// somebody; and every response is one that a client can read.
#include <map>
#include <set>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class OnlyWhatWasSent final : public Checker {
public:
    const char* invariant() const override { return "only-what-was-sent"; }

    void sent(const SentBatch& batch) override {
        auto& numbers = sent_[{batch.partition, batch.client}];
        numbers.insert(batch.numbers.begin(), batch.numbers.end());
    }
    void saw(const Sight& sight) override { check(sight.partition, sight.records); }
    void read_all(const Content& content) override { check(content.partition, content.records); }
    void response_garbled(const std::string& what) override { violated(what); }

private:
    void check(const Partition& partition, const std::vector<ReadRecord>& records) {
        auto numbers = sent_.end();
        for (const auto& read : records) {
            if (read.marker) continue;  // The broker's own.
            // Those of one batch are of one client.
            if (numbers == sent_.end() || numbers->first.second != read.record.client) {
                numbers = sent_.find({partition, read.record.client});
            }
            if (!read.record.damaged && numbers != sent_.end() &&
                numbers->second.contains(read.record.number)) {
                continue;
            }
            violated(text(partition) + ": offset " + std::to_string(read.offset.value()) +
                     " holds " + text(read.record) + ", which was never sent there");
            return;
        }
    }

    std::map<std::pair<Partition, std::int32_t>, std::set<std::int64_t>> sent_;
};

}  // namespace

std::unique_ptr<Checker> make_only_what_was_sent() {
    return std::make_unique<OnlyWhatWasSent>();
}

}  // namespace pabal::sim
