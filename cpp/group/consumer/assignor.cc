#include "group/consumer/assignor.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pabal::group {
namespace {

// The members that subscribe to each topic, in their order.
std::map<TopicId, std::vector<const std::string*>> subscribers(const AssignorInput& input) {
    std::vector<std::pair<std::string_view, const std::string*>> order;
    for (const auto& [id, member] : input.members) order.emplace_back(member.order, &id);
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a.first != b.first ? a.first < b.first : *a.second < *b.second;
    });
    std::map<TopicId, std::vector<const std::string*>> by_topic;
    for (const auto& [name, id] : order) {
        for (const TopicId& topic : input.members.at(*id).topics) by_topic[topic].push_back(id);
    }
    return by_topic;
}

bool exists(const AssignorInput& input, const TopicPartition& partition) {
    const auto found = input.partition_counts.find(partition.topic);
    return found != input.partition_counts.end() && partition.partition.value() < found->second;
}

bool all_alike(const AssignorInput& input) {
    return std::all_of(input.members.begin(), input.members.end(), [&](const auto& member) {
        return member.second.topics == input.members.begin()->second.topics;
    });
}

// What is assigned to nobody in `targets`.
std::vector<TopicPartition> unassigned(const AssignorInput& input, const Targets& targets) {
    Assignment taken;
    for (const auto& [id, target] : targets)
        for_each(target, [&](const TopicPartition& partition) { add(&taken, partition); });
    std::vector<TopicPartition> free;
    for (const auto& [topic, count] : input.partition_counts) {
        for (std::int32_t i = 0; i < count; ++i) {
            const TopicPartition partition{topic, PartitionIndex(i)};
            if (!contains(taken, partition)) free.push_back(partition);
        }
    }
    return free;
}

// All members may have everything: each keeps up to its quota, the rest goes round.
Targets assign_alike(const AssignorInput& input) {
    Targets targets;
    for (const auto& [id, member] : input.members) targets[id];
    const auto& topics = input.members.begin()->second.topics;
    std::size_t total = 0;
    for (const auto& [topic, count] : input.partition_counts) {
        if (topics.count(topic) > 0) total += static_cast<std::size_t>(count);
    }
    const std::size_t quota = total / targets.size();
    std::size_t larger = total % targets.size();  // Members that get one more.
    Assignment taken;
    for (auto& [id, target] : targets) {
        std::size_t count = 0;
        bool one_more = false;
        for_each(input.members.at(id).target, [&](const TopicPartition& partition) {
            if (topics.count(partition.topic) == 0 || !exists(input, partition)) return;
            if (contains(taken, partition)) return;
            if (count >= quota) {
                if (one_more || larger == 0) return;
                one_more = true;
                --larger;
            }
            ++count;
            add(&target, partition);
            add(&taken, partition);
        });
    }
    std::vector<TopicPartition> free = unassigned(input, targets);
    std::erase_if(free, [&](const auto& partition) { return topics.count(partition.topic) == 0; });
    auto next = free.begin();
    for (auto& [id, target] : targets) {
        for (std::size_t count = partition_count(target); count < quota && next != free.end();
             ++count)
            add(&target, *next++);
    }
    for (auto& [id, target] : targets) {
        if (next == free.end()) break;
        if (partition_count(target) == quota) add(&target, *next++);
    }
    return targets;
}

class Balance {
public:
    explicit Balance(const AssignorInput& input) : input_(input), subscribers_(subscribers(input)) {
        for (const auto& [id, member] : input.members) {
            Assignment& target = targets_[id];
            counts_[id] = 0;
            for_each(member.target, [&](const TopicPartition& partition) {
                if (member.topics.count(partition.topic) == 0 || !exists(input_, partition)) return;
                if (contains(taken_, partition)) return;
                add(&taken_, partition);
                add(&target, partition);
                ++counts_[id];
            });
        }
        for (const TopicPartition& partition : unassigned(input_, targets_)) {
            if (const std::string* member = poorest(partition.topic)) give(partition, *member);
        }
    }

    Targets even() {
        // Each move makes the counts more even, so this ends.
        for (bool moved = true; moved;) {
            moved = false;
            for (const auto& [rich, member] : input_.members) {
                std::vector<TopicPartition> held;
                for_each(targets_[rich], [&](const TopicPartition& p) { held.push_back(p); });
                for (const TopicPartition& partition : held) {
                    const std::string* poor = poorest(partition.topic);
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
    const std::string* poorest(const TopicId& topic) const {
        const auto found = subscribers_.find(topic);
        if (found == subscribers_.end()) return nullptr;
        return *std::min_element(
            found->second.begin(), found->second.end(),
            [&](const auto* a, const auto* b) { return counts_.at(*a) < counts_.at(*b); });
    }
    void give(const TopicPartition& partition, const std::string& member) {
        add(&targets_[member], partition);
        ++counts_[member];
    }

    const AssignorInput& input_;
    std::map<TopicId, std::vector<const std::string*>> subscribers_;
    Targets targets_;
    std::map<std::string, std::size_t> counts_;
    Assignment taken_;
};

}  // namespace

Targets assign_uniform(const AssignorInput& input) {
    if (input.members.empty()) return {};
    if (all_alike(input)) return assign_alike(input);
    return Balance(input).even();
}

Targets assign_range(const AssignorInput& input) {
    Targets targets;
    for (const auto& [id, member] : input.members) targets[id];
    for (const auto& [topic, members] : subscribers(input)) {
        const auto count = static_cast<std::size_t>(input.partition_counts.at(topic));
        std::size_t next = 0;
        for (std::size_t i = 0; i < members.size(); ++i) {
            const std::size_t share = count / members.size() + (i < count % members.size() ? 1 : 0);
            for (std::size_t end = next + share; next < end; ++next) {
                add(&targets[*members[i]],
                    {topic, PartitionIndex(static_cast<std::int32_t>(next))});
            }
        }
    }
    return targets;
}

}  // namespace pabal::group
