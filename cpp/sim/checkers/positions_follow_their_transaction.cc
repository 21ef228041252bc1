// positions-follow-their-transaction: a position that was committed within a transaction becomes
// the group's when that transaction is committed, and never otherwise.
#include <map>
#include <optional>
#include <tuple>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class PositionsFollowTheirTransaction final : public Checker {
public:
    const char* invariant() const override { return "positions-follow-their-transaction"; }

    void commit_asked_in_transaction(std::int32_t client, std::int64_t transaction,
                                     const std::string& group, const Partition& partition,
                                     Offset offset) override {
        asked_[{group, partition}][offset] = {client, transaction};
        transactions_[{client, transaction}].positions.push_back({group, partition, offset});
    }
    void commit_begun(std::int32_t client, std::int64_t transaction) override {
        transactions_[{client, transaction}].may_commit = true;
    }
    void transaction_ended(std::int32_t client, std::int64_t transaction,
                           TransactionEnd end) override {
        auto& known = transactions_[{client, transaction}];
        known.end = end;
        if (end == TransactionEnd::aborted && known.seen)
            violated("transaction " + std::to_string(transaction) + " of client " +
                     std::to_string(client) + " was aborted, but its position had been seen");
        if (end != TransactionEnd::committed) return;
        for (const auto& [group, partition, offset] : known.positions) {
            auto& least = least_[{group, partition}];
            least = std::max(least, offset);
        }
    }
    void position_read(const std::string& group, const Partition& partition,
                       Offset offset) override {
        const auto asked = asked_.find({group, partition});
        if (asked == asked_.end()) return;
        const auto least = least_.find({group, partition});
        if (least != least_.end() && offset < least->second) {
            violated(group + " stands at " + std::to_string(offset.value()) + " of " +
                     text(partition) + ", although the transaction that put it at " +
                     std::to_string(least->second.value()) + " was committed");
        }
        const auto found = asked->second.find(offset);
        if (found == asked->second.end()) return;
        auto& known = transactions_[found->second];
        known.seen = true;
        if (known.may_commit && known.end != TransactionEnd::aborted) return;
        violated(group + " stands at " + std::to_string(offset.value()) + " of " + text(partition) +
                 ", but the transaction with that position was never committed");
    }
    void broker_died(Death death) override {
        if (death != Death::power_lost) return;
        // What was decided may not have been synced.
        asked_.clear();
        transactions_.clear();
        least_.clear();
    }

private:
    using Name = std::pair<std::int32_t, std::int64_t>;
    using Place = std::pair<std::string, Partition>;
    struct Known {
        bool may_commit = false;
        bool seen = false;
        std::optional<TransactionEnd> end;
        std::vector<std::tuple<std::string, Partition, Offset>> positions;
    };
    std::map<Name, Known> transactions_;
    std::map<Place, std::map<Offset, Name>> asked_;
    std::map<Place, Offset> least_;
};

}  // namespace

std::unique_ptr<Checker> make_positions_follow_their_transaction() {
    return std::make_unique<PositionsFollowTheirTransaction>();
}

}  // namespace pabal::sim
