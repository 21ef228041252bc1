// read-committed-atomic: who wants only what was committed sees all records of a transaction or
// none: all if it was committed, none if it was aborted, or if nobody ever asked to commit it. What
// one reader is told to pass over in one partition, no other is shown anywhere.
#include <map>
#include <optional>
#include <set>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class ReadCommittedAtomic final : public Checker {
public:
    const char* invariant() const override { return "read-committed-atomic"; }

    void sent(const SentBatch& batch) override {
        if (batch.transaction == 0) return;
        transactions_[batch.client][batch.transaction];
        first_numbers_[batch.client].emplace(batch.numbers.front(), batch.transaction);
    }
    void commit_begun(std::int32_t client, std::int64_t transaction) override {
        transactions_[client][transaction].may_commit = true;
    }
    void transaction_ended(std::int32_t client, std::int64_t transaction,
                           TransactionEnd end) override {
        auto& known = transactions_[client][transaction];
        known.end = end;
        judge(client, transaction, known);
    }
    void saw(const Sight& sight) override {
        if (sight.is_committed) look(sight.partition, sight.records);
    }
    void read_all(const Content& content) override {
        if (content.is_committed) look(content.partition, content.records);
    }
    void broker_died(Death death) override {
        if (death != Death::power_lost) return;
        // What was decided may not have been synced.
        transactions_.clear();
        first_numbers_.clear();
    }

private:
    struct Known {
        bool may_commit = false;
        std::optional<TransactionEnd> end;
        std::string seen;    // Where a record of it was shown.
        std::string hidden;  // And where one was passed over.
    };

    void look(const Partition& partition, const std::vector<ReadRecord>& records) {
        if (first_numbers_.empty()) return;
        for (const auto& read : records) {
            const auto numbers = first_numbers_.find(read.record.client);
            if (numbers == first_numbers_.end()) continue;
            const auto above = numbers->second.upper_bound(read.record.number);
            if (above == numbers->second.begin()) continue;
            const std::int64_t transaction = std::prev(above)->second;
            auto& known = transactions_[read.record.client][transaction];
            auto& place = read.hidden ? known.hidden : known.seen;
            if (!place.empty()) continue;
            place = "offset " + std::to_string(read.offset.value()) + " of " + text(partition);
            judge(read.record.client, transaction, known);
        }
    }

    void judge(std::int32_t client, std::int64_t transaction, const Known& known) {
        const std::string name =
            "transaction " + std::to_string(transaction) + " of client " + std::to_string(client);
        if (!known.seen.empty() && !known.hidden.empty()) {
            violated(name + " is seen at " + known.seen + " and not at " + known.hidden);
        } else if (!known.seen.empty() && known.end == TransactionEnd::aborted) {
            violated(name + " was aborted and is seen at " + known.seen);
        } else if (!known.seen.empty() && !known.may_commit) {
            violated(name + " is still open and seen at " + known.seen);
        } else if (!known.hidden.empty() && known.end == TransactionEnd::committed) {
            violated(name + " was committed and is not seen at " + known.hidden);
        }
    }

    std::map<std::int32_t, std::map<std::int64_t, Known>> transactions_;
    // Of each client the first number of every batch, and the transaction that it belongs to.
    std::map<std::int32_t, std::map<std::int64_t, std::int64_t>> first_numbers_;
};

}  // namespace

std::unique_ptr<Checker> make_read_committed_atomic() {
    return std::make_unique<ReadCommittedAtomic>();
}

}  // namespace pabal::sim
