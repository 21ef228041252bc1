// The next state of one partition: who holds it, who is in sync, who leads. Whoever wants a change
// sets what it asks for; `record` completes a reassignment whose replicas are all in sync, elects a
// leader where one is needed, and says what differs from now. Pure.
//
// A leader is elected from the in-sync replicas. Where nobody is left of them, from the eligible
// ones (KIP-966): those that left the in-sync replicas while these were fewer than
// min.insync.replicas. They miss nothing that is committed, since nothing was committed without
// them. Where there is none either, the last leader of all may lead again, and any live replica if
// unclean.leader.election.enable is set: it is then the only one in sync and recovering (KIP-704),
// and records may be lost. Without eligible.leader.replicas.version the last replica in sync stays
// so, even when it is gone, and leads again when it comes back.
#pragma once

#include <optional>
#include <vector>

#include "base/ids.h"
#include "controller/placement.h"
#include "wire/records/partition_change_record.h"

namespace pabal::metadata {
class BrokerConfig;
class ClusterImage;
struct BrokerImage;
struct PartitionImage;
struct TopicImage;
}  // namespace pabal::metadata

namespace pabal::controller {

// Who may lead and be in sync now, while a broker comes or goes that the image still shows as it
// was.
struct Electable {
    const metadata::ClusterImage& image;
    BrokerId leaving = no_broker;
    BrokerId coming = no_broker;
    // The replica that this broker holds lies in another directory than the image says.
    BrokerId moved = no_broker;
    DirectoryId moved_to{};

    // The replica's broker is active, and the directory that holds the replica is not lost.
    bool operator()(const metadata::PartitionImage& partition, BrokerId replica) const;
};

enum class Election : std::uint8_t {
    when_needed,  // The leader stays while it may.
    preferred,    // The first replica leads if it may.
};

// Invariant: leader-in-sync, eligible-misses-nothing.
class PartitionChange {
public:
    // All outlive this.
    PartitionChange(const Electable& electable, const metadata::BrokerConfig& config,
                    const metadata::TopicImage& topic, PartitionIndex index);

    // What is asked for; at first everything is as it stands.
    Replicas isr;
    Replicas replicas;
    Replicas removing;
    Replicas adding;
    std::vector<DirectoryId> directories;  // Of the replicas that there are now, in their order.
    bool recovering;
    Election election = Election::when_needed;
    bool unclean = false;            // Allowed whatever the settings say (ElectLeaders).
    bool unclean_by_setting = true;  // Allowed where unclean.leader.election.enable says so.
    // This replica may have lost the end of its log: it is not eligible any more.
    BrokerId lost_its_end = no_broker;

    // Nothing if nothing changes. `random` chooses the directories of replicas that are added.
    std::optional<wire::PartitionChangeRecord> record(Prng& random);
    // The same where no replica is added.
    std::optional<wire::PartitionChangeRecord> record();

private:
    void complete_reassignment();
    void remember_eligible();
    void remember_last_leader(const wire::PartitionChangeRecord& record);
    bool last_leader_may_lead() const;
    bool may_lead(BrokerId replica) const;
    bool may_be_unclean() const;
    void elect(wire::PartitionChangeRecord& record);
    std::optional<wire::PartitionChangeRecord> build(Prng* random);

    const Electable& electable_;
    const metadata::BrokerConfig& config_;
    const metadata::TopicImage& topic_;
    PartitionIndex index_;
    const metadata::PartitionImage& partition_;
    bool keeps_eligible_;
    Replicas eligible_;
    Replicas last_known_;  // The last leader of all, while nobody leads.
};

// The broker has this directory and can use it, or it is one of Kafka's words for "not known".
bool has_online(const metadata::BrokerImage& broker, DirectoryId directory);
// eligible.leader.replicas.version is finalised.
bool keeps_eligible_leaders(const metadata::ClusterImage& image);
bool contains(const Replicas& replicas, BrokerId broker);
Replicas without(const Replicas& replicas, BrokerId broker);
Replicas without(const Replicas& replicas, const Replicas& others);
// KIP-455.
bool is_reassigned(const metadata::PartitionImage& partition);

}  // namespace pabal::controller
