#include "controller/partition_change.h"

#include <algorithm>

#include "base/assert.h"
#include "metadata/broker_config.h"
#include "metadata/cluster_image.h"
#include "metadata/features.h"

namespace pabal::controller {
namespace {

using metadata::BrokerImage;
using metadata::PartitionImage;

// Kafka's words for directories that are none: 0 unassigned, 1 lost, 2 migrating (KIP-858).
bool is_word(DirectoryId directory) {
    const auto& bytes = directory.value().bytes;
    return std::all_of(bytes.begin(), bytes.end() - 1, [](std::uint8_t byte) { return byte == 0; });
}

std::size_t place_of(const PartitionImage& partition, BrokerId replica) {
    const auto place = std::find(partition.replicas.begin(), partition.replicas.end(), replica);
    return static_cast<std::size_t>(place - partition.replicas.begin());
}

bool contains_all(const Replicas& replicas, const Replicas& others) {
    return std::all_of(others.begin(), others.end(),
                       [&](BrokerId other) { return contains(replicas, other); });
}

}  // namespace

bool has_online(const BrokerImage& broker, DirectoryId directory) {
    constexpr std::uint8_t lost = 1;
    if (is_word(directory)) return directory.value().bytes.back() != lost;
    return broker.directories.empty() ||
           std::find(broker.directories.begin(), broker.directories.end(), directory) !=
               broker.directories.end();
}

bool contains(const Replicas& replicas, BrokerId broker) {
    return std::find(replicas.begin(), replicas.end(), broker) != replicas.end();
}

Replicas without(const Replicas& replicas, BrokerId broker) {
    Replicas rest;
    std::copy_if(replicas.begin(), replicas.end(), std::back_inserter(rest),
                 [&](BrokerId replica) { return replica != broker; });
    return rest;
}

Replicas without(const Replicas& replicas, const Replicas& others) {
    Replicas rest;
    std::copy_if(replicas.begin(), replicas.end(), std::back_inserter(rest),
                 [&](BrokerId replica) { return !contains(others, replica); });
    return rest;
}

bool is_reassigned(const PartitionImage& partition) {
    return !partition.removing.empty() || !partition.adding.empty();
}

bool Electable::operator()(const PartitionImage& partition, BrokerId replica) const {
    if (replica == no_broker || replica == leaving) return false;
    if (replica != coming && !is_active(image, replica)) return false;
    const BrokerImage* broker = image.broker(replica);
    if (!broker) return false;
    if (replica == moved) return has_online(*broker, moved_to);
    const std::size_t place = place_of(partition, replica);
    return place >= partition.directories.size() ||
           has_online(*broker, partition.directories[place]);
}

bool keeps_eligible_leaders(const metadata::ClusterImage& image) {
    return image.feature(metadata::eligible_leaders_feature) > 0;
}

PartitionChange::PartitionChange(const Electable& electable, const metadata::BrokerConfig& config,
                                 const metadata::TopicImage& topic, PartitionIndex index)
    : electable_(electable),
      config_(config),
      topic_(topic),
      index_(index),
      partition_(*topic.partition(index)),
      keeps_eligible_(keeps_eligible_leaders(electable.image)) {
    isr = partition_.isr;
    replicas = partition_.replicas;
    removing = partition_.removing;
    adding = partition_.adding;
    directories = partition_.directories;
    recovering = partition_.leader_recovering;
    eligible_ = partition_.eligible_leader_replicas;
    last_known_ = partition_.last_known_elr;
}

// Below min.insync.replicas nothing is committed, so that whoever leaves misses nothing (KIP-966).
void PartitionChange::remember_eligible() {
    const metadata::ConfigView view(config_, electable_.image);
    const auto least =
        static_cast<std::size_t>(view.topic_integer(topic_.name, "min.insync.replicas"));
    if (isr.size() >= std::min(least, replicas.size())) {
        eligible_.clear();
        return;
    }
    for (BrokerId former : partition_.isr)
        if (!contains(eligible_, former)) eligible_.push_back(former);
    std::erase_if(eligible_, [&](BrokerId replica) {
        return contains(isr, replica) || replica == lost_its_end || !contains(replicas, replica);
    });
    std::sort(eligible_.begin(), eligible_.end());
}

void PartitionChange::remember_last_leader(const wire::PartitionChangeRecord& record) {
    const bool stays = record.leader.value() == -2;
    const bool somebody_leads = stays ? partition_.leader != no_broker : record.leader != no_broker;
    if (somebody_leads) {
        last_known_.clear();
    } else if (isr.empty() && !partition_.isr.empty()) {
        last_known_ = {partition_.leader == no_broker ? partition_.isr.front() : partition_.leader};
    }
}

// KIP-455: when all replicas that shall stay are in sync, those that shall go go.
void PartitionChange::complete_reassignment() {
    if (removing.empty() && adding.empty()) return;
    Replicas staying = without(replicas, removing);
    Replicas in_sync = without(isr, removing);
    if (staying.empty() || !contains_all(in_sync, staying)) return;
    replicas = std::move(staying);
    isr = std::move(in_sync);
    removing.clear();
    adding.clear();
}

bool PartitionChange::may_lead(BrokerId replica) const {
    const bool in_sync = contains(isr, replica) || (isr.empty() && contains(eligible_, replica));
    return in_sync && electable_(partition_, replica);
}

bool PartitionChange::may_be_unclean() const {
    if (unclean) return true;
    return unclean_by_setting && metadata::ConfigView(config_, electable_.image)
                                     .topic_boolean(topic_.name, "unclean.leader.election.enable");
}

bool PartitionChange::last_leader_may_lead() const {
    if (!isr.empty() || !eligible_.empty() || last_known_.size() != 1) return false;
    const BrokerId last = last_known_.front();
    return contains(replicas, last) && electable_(partition_, last);
}

void PartitionChange::elect(wire::PartitionChangeRecord& record) {
    auto first = [&](auto accepts) {
        const auto found = std::find_if(replicas.begin(), replicas.end(), accepts);
        return found == replicas.end() ? no_broker : *found;
    };
    const auto in_sync = [&](BrokerId replica) { return may_lead(replica); };
    BrokerId leader = partition_.leader;
    bool is_unclean = false;
    const bool to_preferred = election == Election::preferred && may_lead(replicas.front());
    if (to_preferred) {
        leader = replicas.front();
    } else if (!may_lead(leader)) {
        leader = first(in_sync);
        if (leader == no_broker && last_leader_may_lead()) {
            leader = last_known_.front();
            is_unclean = true;
        }
        if (leader == no_broker && may_be_unclean()) {
            leader = first([&](BrokerId replica) { return electable_(partition_, replica); });
            is_unclean = leader != no_broker;
        }
    }
    if (leader == partition_.leader) return;
    record.leader = leader;
    if (is_unclean) {
        isr = {leader};
        recovering = true;
        eligible_.clear();
    } else if (leader != no_broker && !contains(isr, leader)) {
        isr = {leader};
        eligible_ = without(eligible_, leader);
    }
}

std::optional<wire::PartitionChangeRecord> PartitionChange::build(Prng* random) {
    wire::PartitionChangeRecord record;
    record.topic_id = topic_.id;
    record.partition_id = index_;
    complete_reassignment();
    if (keeps_eligible_) remember_eligible();
    elect(record);
    // Whoever loses its replica must hear of a new epoch, since it stops following the leader.
    if (record.leader.value() == -2 && !contains_all(replicas, partition_.replicas))
        record.leader = partition_.leader;
    bool changes = record.leader.value() != -2;
    auto differ = [&](const auto& wanted, const auto& current, auto& field) {
        if (wanted == current) return;
        field = wanted;
        changes = true;
    };
    if (keeps_eligible_) {
        remember_last_leader(record);
    } else if (!isr.empty()) {
        eligible_.clear();
        last_known_.clear();
    }
    // Else the last one in sync stays so, even if it is gone: it alone knows what was acknowledged.
    if (!isr.empty() || keeps_eligible_) differ(isr, partition_.isr, record.isr);
    differ(eligible_, partition_.eligible_leader_replicas, record.eligible_leader_replicas);
    differ(last_known_, partition_.last_known_elr, record.last_known_elr);
    differ(removing, partition_.removing, record.removing_replicas);
    differ(adding, partition_.adding, record.adding_replicas);
    differ(directories, partition_.directories, record.directories);
    if (replicas != partition_.replicas) {
        record.replicas = replicas;
        changes = true;
        auto& placed = record.directories.emplace();
        for (BrokerId replica : replicas) {
            const std::size_t place = place_of(partition_, replica);
            if (place < directories.size()) {
                placed.push_back(directories[place]);
            } else {
                ASSERT(random, "whoever adds a replica brings chance along");
                placed.push_back(place_directory(electable_.image, replica, *random));
            }
        }
    }
    if (recovering != partition_.leader_recovering) {
        record.leader_recovery_state = recovering ? 1 : 0;
        changes = true;
    }
    if (!changes) return std::nullopt;
    return record;
}

std::optional<wire::PartitionChangeRecord> PartitionChange::record(Prng& random) {
    return build(&random);
}

std::optional<wire::PartitionChangeRecord> PartitionChange::record() {
    return build(nullptr);
}

}  // namespace pabal::controller
