#include "controller/placement.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>

namespace pabal::controller {
namespace {

// The brokers of one rack, in a random order, from which partitions take by turns.
struct Rack {
    Replicas active;
    Replicas fenced;
    std::size_t next = 0;

    // The broker of the given rank, counted from this partition's turn; nothing past the last.
    std::optional<BrokerId> ranked(std::size_t rank) const {
        if (rank < active.size()) return active[(next + rank) % active.size()];
        rank -= active.size();
        if (rank < fenced.size()) return fenced[(next + rank) % fenced.size()];
        return std::nullopt;
    }
};

void shuffle(Replicas& brokers, Prng& random) {
    for (std::size_t i = brokers.size(); i > 1; --i)
        std::swap(brokers[i - 1], brokers[random.below(i)]);
}

}  // namespace

bool is_active(const metadata::ClusterImage& image, BrokerId broker) {
    const metadata::BrokerImage* known = image.broker(broker);
    return known && !known->fenced && !known->in_controlled_shutdown;
}

Result<std::vector<Replicas>> place_replicas(const metadata::ClusterImage& image, std::size_t count,
                                             int replication_factor, Prng& random) {
    std::map<std::optional<std::string>, Rack> by_name;
    std::size_t active_count = 0;
    for (const auto& [id, broker] : image.brokers()) {
        Rack& rack = by_name[broker.rack];
        if (is_active(image, id)) {
            rack.active.push_back(id);
            ++active_count;
        } else {
            rack.fenced.push_back(id);
        }
    }
    if (active_count == 0)
        return Error{ErrorCode::invalid_replication_factor,
                     "No broker can take replicas now: all are fenced or shutting down."};
    if (static_cast<std::size_t>(replication_factor) > image.brokers().size())
        return Error{ErrorCode::invalid_replication_factor,
                     "Replication factor " + std::to_string(replication_factor) +
                         " is larger than the number of registered brokers, " +
                         std::to_string(image.brokers().size()) + "."};
    std::vector<Rack> racks;
    for (auto& [name, rack] : by_name) {
        shuffle(rack.active, random);
        shuffle(rack.fenced, random);
        racks.push_back(std::move(rack));
    }
    std::size_t first_rack = random.below(racks.size());
    std::vector<Replicas> placed(count);
    for (Replicas& replicas : placed) {
        while (racks[first_rack].active.empty()) first_rack = (first_rack + 1) % racks.size();
        for (std::size_t rank = 0; replicas.size() < static_cast<std::size_t>(replication_factor);
             ++rank) {
            for (std::size_t i = 0; i < racks.size(); ++i) {
                if (replicas.size() == static_cast<std::size_t>(replication_factor)) break;
                const Rack& rack = racks[(first_rack + i) % racks.size()];
                if (auto broker = rack.ranked(rank)) replicas.push_back(*broker);
            }
        }
        // Each rack moves on once the partitions have been around all racks.
        ++racks[first_rack].next;
        first_rack = (first_rack + 1) % racks.size();
    }
    return placed;
}

DirectoryId place_directory(const metadata::ClusterImage& image, BrokerId broker, Prng& random) {
    const metadata::BrokerImage* known = image.broker(broker);
    if (!known) return {};
    std::vector<DirectoryId> open;
    for (DirectoryId directory : known->directories) {
        const auto& cordoned = known->cordoned_directories;
        if (cordoned && std::find(cordoned->begin(), cordoned->end(), directory) != cordoned->end())
            continue;
        open.push_back(directory);
    }
    if (open.empty()) return {};
    return open[open.size() == 1 ? 0 : random.below(open.size())];
}

}  // namespace pabal::controller
