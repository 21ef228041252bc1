#include "client/assignors.h"

#include <algorithm>
#include <optional>
#include <set>

namespace pabal::client {
namespace {

using Members = std::vector<MemberSubscription>;
using Counts = std::map<std::string, std::int32_t>;

// Static members first, by their instance ids: whoever comes back finds its place again.
bool comes_before(const MemberSubscription& one, const MemberSubscription& other) {
    if (one.instance_id && other.instance_id) return *one.instance_id < *other.instance_id;
    if (one.instance_id || other.instance_id) return one.instance_id.has_value();
    return one.member_id < other.member_id;
}

bool reads(const MemberSubscription& member, const std::string& topic) {
    return std::find(member.topics.begin(), member.topics.end(), topic) != member.topics.end();
}

std::vector<NamedPartition> partitions_of(const std::string& topic, std::int32_t count) {
    std::vector<NamedPartition> partitions;
    for (std::int32_t index = 0; index < count; ++index) {
        partitions.push_back({topic, PartitionIndex(index)});
    }
    return partitions;
}

Assignments range(const Members& members, const Counts& counts) {
    Assignments assignments;
    for (const auto& [topic, count] : counts) {
        std::vector<const MemberSubscription*> readers;
        for (const auto& member : members) {
            if (reads(member, topic)) readers.push_back(&member);
        }
        if (readers.empty()) continue;
        const auto among = static_cast<std::int32_t>(readers.size());
        std::int32_t next = 0;
        for (std::int32_t index = 0; index < among; ++index) {
            const std::int32_t share = count / among + (index < count % among ? 1 : 0);
            auto& mine = assignments[readers[static_cast<std::size_t>(index)]->member_id];
            for (const std::int32_t end = next + share; next < end; ++next) {
                mine.push_back({topic, PartitionIndex(next)});
            }
        }
    }
    return assignments;
}

Assignments round_robin(const Members& members, const Counts& counts) {
    Assignments assignments;
    std::size_t turn = 0;
    for (const auto& [topic, count] : counts) {
        const bool read = std::any_of(members.begin(), members.end(),
                                      [&](const auto& member) { return reads(member, topic); });
        if (!read) continue;
        for (auto& partition : partitions_of(topic, count)) {
            while (!reads(members[turn % members.size()], topic)) ++turn;
            assignments[members[turn++ % members.size()].member_id].push_back(std::move(partition));
        }
    }
    return assignments;
}

// What each partition's reader may keep: what it had last and still subscribes to. Where several
// say so, the one that was told last is right, and of the same generation nobody.
std::map<NamedPartition, std::size_t> kept(const Members& members, const Counts& counts) {
    struct Claim {
        std::size_t member = 0;
        std::int32_t generation = -1;
        bool disputed = false;
    };
    std::map<NamedPartition, Claim> claims;
    for (std::size_t index = 0; index < members.size(); ++index) {
        const auto& member = members[index];
        for (const auto& partition : member.owned) {
            const auto count = counts.find(partition.topic);
            if (count == counts.end() || partition.partition.value() < 0 ||
                partition.partition.value() >= count->second || !reads(member, partition.topic)) {
                continue;
            }
            const auto [claim, first] = claims.try_emplace(partition);
            if (!first && claim->second.generation == member.generation) {
                claim->second.disputed = true;
            } else if (first || claim->second.generation < member.generation) {
                claim->second = {index, member.generation, false};
            }
        }
    }
    std::map<NamedPartition, std::size_t> readers;
    for (const auto& [partition, claim] : claims) {
        if (!claim.disputed) readers.emplace(partition, claim.member);
    }
    return readers;
}

// The least loaded of those who may read; in the order of the members where they are equal.
std::optional<std::size_t> least_loaded(const std::vector<std::size_t>& readers,
                                        const std::vector<std::size_t>& loads) {
    std::optional<std::size_t> best;
    for (const std::size_t reader : readers) {
        if (!best || loads[reader] < loads[*best]) best = reader;
    }
    return best;
}

// Everybody keeps what it has, as far as no other member could have two partitions fewer.
Assignments sticky(const Members& members, const Counts& counts) {
    std::map<std::string, std::vector<std::size_t>> readers;
    for (const auto& [topic, count] : counts) {
        for (std::size_t index = 0; index < members.size(); ++index) {
            if (reads(members[index], topic)) readers[topic].push_back(index);
        }
    }
    std::map<NamedPartition, std::size_t> places = kept(members, counts);
    std::vector<std::size_t> loads(members.size(), 0);
    for (const auto& [partition, member] : places) ++loads[member];

    // Those first that the fewest could read.
    std::vector<NamedPartition> all;
    for (const auto& [topic, count] : counts) {
        if (!readers.contains(topic)) continue;
        for (auto& partition : partitions_of(topic, count)) all.push_back(std::move(partition));
    }
    std::stable_sort(all.begin(), all.end(), [&](const auto& one, const auto& other) {
        return readers[one.topic].size() < readers[other.topic].size();
    });
    for (const auto& partition : all) {
        if (places.contains(partition)) continue;
        const std::size_t reader = *least_loaded(readers[partition.topic], loads);
        places.emplace(partition, reader);
        ++loads[reader];
    }

    // Each move takes the loads nearer to each other, so that there is an end.
    for (bool moved = true; moved;) {
        moved = false;
        for (const auto& partition : all) {
            std::size_t& reader = places.at(partition);
            const std::size_t other = *least_loaded(readers[partition.topic], loads);
            if (loads[reader] < loads[other] + 2) continue;
            --loads[reader];
            ++loads[other];
            reader = other;
            moved = true;
        }
    }

    Assignments assignments;
    for (const auto& [partition, member] : places) {
        assignments[members[member].member_id].push_back(partition);
    }
    return assignments;
}

// Nobody is given what somebody else has not given up yet.
void leave_out_what_moves(const Members& members, Assignments* assignments) {
    std::set<NamedPartition> owned;
    for (const auto& member : members) owned.insert(member.owned.begin(), member.owned.end());
    for (const auto& member : members) {
        std::erase_if((*assignments)[member.member_id], [&](const auto& partition) {
            const bool mine = std::find(member.owned.begin(), member.owned.end(), partition) !=
                              member.owned.end();
            return !mine && owned.contains(partition);
        });
    }
}

}  // namespace

Assignments assign(Assignor assignor, std::vector<MemberSubscription> members,
                   const std::map<std::string, std::int32_t>& partition_counts) {
    std::sort(members.begin(), members.end(), comes_before);
    Assignments assignments;
    switch (assignor) {
        case Assignor::range: assignments = range(members, partition_counts); break;
        case Assignor::round_robin: assignments = round_robin(members, partition_counts); break;
        case Assignor::sticky: assignments = sticky(members, partition_counts); break;
        case Assignor::cooperative_sticky:
            assignments = sticky(members, partition_counts);
            leave_out_what_moves(members, &assignments);
            break;
    }
    for (const auto& member : members) assignments.try_emplace(member.member_id);
    return assignments;
}

}  // namespace pabal::client
