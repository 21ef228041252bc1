// one-owner-per-partition-per-generation: no two members of a group have the same partition at the
// same moment. A member has it from when it was told until it gives it up; but only a heartbeat
// that is accepted later proves that the coordinator thought so all the while, as members that were
// taken out do not know. Two proven times of the same partition that overlap are one too many.
#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "sim/checkers/checker.h"

namespace pabal::sim {
namespace {

class OneOwner final : public Checker {
public:
    const char* invariant() const override { return "one-owner-per-partition-per-generation"; }

    void share_told(const std::string& group, const std::string& member,
                    const Partition& partition) override {
        holds_[{group, member}].try_emplace(partition, ++moment_);
    }
    void share_given_up(const std::string& group, const std::string& member,
                        const Partition& partition) override {
        ++moment_;
        holds_[{group, member}].erase(partition);
    }
    void heartbeat_sent(const std::string& group, const std::string& member) override {
        sent_[{group, member}] = ++moment_;
    }
    void heartbeat_accepted(const std::string& group, const std::string& member) override {
        const std::uint64_t until = sent_[{group, member}];
        for (const auto& [partition, since] : holds_[{group, member}]) {
            if (since < until) prove(group, member, partition, since, until);
        }
    }
    void broker_died(Death death) override {
        if (death != Death::power_lost) return;
        // Groups may stand again where they stood before.
        holds_.clear();
        proven_.clear();
    }

private:
    struct Ownership {
        std::string member;
        std::uint64_t since = 0;
        std::uint64_t until = 0;
    };

    void prove(const std::string& group, const std::string& member, const Partition& partition,
               std::uint64_t since, std::uint64_t until) {
        auto& all = proven_[{group, partition}];
        const auto own = std::find_if(all.begin(), all.end(), [&](const Ownership& each) {
            return each.member == member && each.since == since;
        });
        if (own == all.end()) {
            all.push_back({member, since, until});
        } else {
            own->until = until;
        }
        for (const Ownership& other : all) {
            if (other.member == member || other.until <= since || until <= other.since) continue;
            violated(text(partition) + " belongs to " + member + " and to " + other.member +
                     " of " + group + " at the same time");
        }
    }

    std::uint64_t moment_ = 0;
    std::map<std::pair<std::string, std::string>, std::map<Partition, std::uint64_t>> holds_;
    std::map<std::pair<std::string, std::string>, std::uint64_t> sent_;
    std::map<std::pair<std::string, Partition>, std::vector<Ownership>> proven_;
};

}  // namespace

std::unique_ptr<Checker> make_one_owner_per_partition_per_generation() {
    return std::make_unique<OneOwner>();
}

}  // namespace pabal::sim
