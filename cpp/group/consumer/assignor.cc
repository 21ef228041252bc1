#include "group/consumer/assignor.h"

#include <algorithm>
#include <numeric>

namespace pabal::group {
namespace {

// By topic, the places of the members that subscribe to it, in their order.
using Subscribers = std::map<TopicId, std::vector<std::size_t>>;

Subscribers subscribers(const AssignorInput& input) {
    std::vector<std::size_t> order(input.members.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return input.members[a].order < input.members[b].order;
    });
    Subscribers by_topic;
    for (const std::size_t place : order) {
        for (const TopicId& topic : *input.members[place].topics) by_topic[topic].push_back(place);
    }
    return by_topic;
}

bool all_alike(const AssignorInput& input) {
    const auto* first = input.members.front().topics;
    return std::all_of(input.members.begin(), input.members.end(), [&](const auto& member) {
        return member.topics == first || *member.topics == *first;
    });
}

// Which partitions have been given to somebody, of those that exist.
class Taken {
public:
    explicit Taken(const AssignorInput& input) {
        for (const auto& [topic, count] : input.partition_counts)
            taken_[topic].resize(static_cast<std::size_t>(count));
    }

    // Visits what a member had, if it exists, is among `topics` and is nobody's; `take` says
    // whether the member keeps it.
    template <class Take>
    void keep(const Assignment* target, const std::set<TopicId>& topics, Take take) {
        if (!target) return;
        for (const auto& [topic, partitions] : *target) {
            const auto found = taken_.find(topic);
            if (found == taken_.end() || topics.count(topic) == 0) continue;
            for (const PartitionIndex partition : partitions) {
                const auto place = static_cast<std::size_t>(partition.value());
                if (place >= found->second.size() || found->second[place]) continue;
                if (take(TopicPartition{topic, partition})) found->second[place] = true;
            }
        }
    }
    std::vector<TopicPartition> free() const {
        std::vector<TopicPartition> left;
        for (const auto& [topic, taken] : taken_) {
            for (std::size_t i = 0; i < taken.size(); ++i) {
                if (!taken[i])
                    left.push_back({topic, PartitionIndex(static_cast<std::int32_t>(i))});
            }
        }
        return left;
    }

private:
    std::map<TopicId, std::vector<bool>> taken_;
};

// All members may have everything: each keeps up to its quota, the rest goes round.
Targets assign_alike(const AssignorInput& input) {
    Targets targets(input.members.size());
    std::vector<std::size_t> counts(input.members.size());
    const auto& topics = *input.members.front().topics;
    std::size_t total = 0;
    for (const auto& [topic, count] : input.partition_counts)
        total += static_cast<std::size_t>(count);
    const std::size_t quota = total / targets.size();
    std::size_t larger = total % targets.size();  // Members that get one more.
    Taken taken(input);
    for (std::size_t i = 0; i < targets.size(); ++i) {
        bool one_more = false;
        taken.keep(input.members[i].target, topics, [&](const TopicPartition& partition) {
            if (counts[i] >= quota) {
                if (one_more || larger == 0) return false;
                one_more = true;
                --larger;
            }
            ++counts[i];
            add(&targets[i], partition);
            return true;
        });
    }
    const std::vector<TopicPartition> free = taken.free();
    auto next = free.begin();
    for (std::size_t i = 0; i < targets.size(); ++i) {
        for (; counts[i] < quota && next != free.end(); ++counts[i]) add(&targets[i], *next++);
    }
    for (std::size_t i = 0; i < targets.size() && next != free.end(); ++i) {
        if (counts[i] == quota) add(&targets[i], *next++);
    }
    return targets;
}

class Balance {
public:
    explicit Balance(const AssignorInput& input)
        : subscribers_(subscribers(input)),
          targets_(input.members.size()),
          counts_(input.members.size()) {
        Taken taken(input);
        for (std::size_t i = 0; i < targets_.size(); ++i) {
            const AssignedMember& member = input.members[i];
            taken.keep(member.target, *member.topics, [&](const TopicPartition& partition) {
                give(partition, i);
                return true;
            });
        }
        for (const TopicPartition& partition : taken.free()) {
            if (const std::size_t* member = poorest(partition.topic)) give(partition, *member);
        }
    }

    Targets even() {
        // Each move makes the counts more even, so this ends.
        for (bool moved = true; moved;) {
            moved = false;
            for (std::size_t rich = 0; rich < targets_.size(); ++rich) {
                std::vector<TopicPartition> held;
                for_each(targets_[rich], [&](const TopicPartition& p) { held.push_back(p); });
                for (const TopicPartition& partition : held) {
                    const std::size_t* poor = poorest(partition.topic);
                    if (!poor || counts_[*poor] + 1 >= counts_[rich]) continue;
                    remove(&targets_[rich], partition);
                    --counts_[rich];
                    give(partition, *poor);
                    moved = true;
                }
            }
        }
        return std::move(targets_);
    }

private:
    const std::size_t* poorest(const TopicId& topic) const {
        const auto found = subscribers_.find(topic);
        if (found == subscribers_.end()) return nullptr;
        return &*std::min_element(
            found->second.begin(), found->second.end(),
            [&](std::size_t a, std::size_t b) { return counts_[a] < counts_[b]; });
    }
    void give(const TopicPartition& partition, std::size_t member) {
        add(&targets_[member], partition);
        ++counts_[member];
    }

    Subscribers subscribers_;
    Targets targets_;
    std::vector<std::size_t> counts_;
};

}  // namespace

Targets assign_uniform(const AssignorInput& input) {
    if (input.members.empty()) return {};
    if (all_alike(input)) return assign_alike(input);
    return Balance(input).even();
}

Targets assign_range(const AssignorInput& input) {
    Targets targets(input.members.size());
    for (const auto& [topic, members] : subscribers(input)) {
        const auto count = static_cast<std::size_t>(input.partition_counts.at(topic));
        std::size_t next = 0;
        for (std::size_t i = 0; i < members.size(); ++i) {
            const std::size_t share = count / members.size() + (i < count % members.size() ? 1 : 0);
            for (std::size_t end = next + share; next < end; ++next) {
                add(&targets[members[i]], {topic, PartitionIndex(static_cast<std::int32_t>(next))});
            }
        }
    }
    return targets;
}

}  // namespace pabal::group
