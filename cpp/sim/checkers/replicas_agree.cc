// replicas-agree: once everything is in sync and at rest, all replicas of a partition hold the same
// batches, byte for byte, and end at the same offset; the metadata log does so as far as it is
// committed.
#include <algorithm>
#include <map>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class ReplicasAgree final : public Checker {
public:
    const char* invariant() const override { return "replicas-agree"; }

    void replica_read(const Replica& replica) override {
        const auto [entry, first] = first_.emplace(replica.partition, replica);
        if (!first) compare(entry->second, replica);
    }
    // They run again: what they hold now is another matter.
    void broker_started() override { first_.clear(); }

private:
    static Offset end_of(const Replica& replica) {
        return replica.batches.empty() ? Offset(0) : replica.batches.back().last_offset + 1;
    }

    void compare(const Replica& one, const Replica& other) {
        const std::string who = text(one.partition) + " on brokers " +
                                std::to_string(one.broker.value()) + " and " +
                                std::to_string(other.broker.value());
        const Offset end = one.committed.value_or(std::max(end_of(one), end_of(other)));
        if (end_of(one) < end || end_of(other) < end) {
            violated(who + ": one ends at " + std::to_string(end_of(one).value()) +
                     ", the other at " + std::to_string(end_of(other).value()));
            return;
        }
        // Each begins where its own oldest segment does.
        auto left = one.batches.begin();
        auto right = other.batches.begin();
        while (left != one.batches.end() && right != other.batches.end()) {
            if (std::max(left->base_offset, right->base_offset) >= end) return;
            if (left->last_offset < right->base_offset) {
                ++left;
            } else if (right->last_offset < left->base_offset) {
                ++right;
            } else if (left->base_offset == right->base_offset &&
                       left->fingerprint == right->fingerprint) {
                ++left;
                ++right;
            } else {
                violated(who + ": they differ at offset " +
                         std::to_string(std::max(left->base_offset, right->base_offset).value()));
                return;
            }
        }
    }

    std::map<Partition, Replica> first_;
};

}  // namespace

std::unique_ptr<Checker> make_replicas_agree() {
    return std::make_unique<ReplicasAgree>();
}

}  // namespace pabal::sim
