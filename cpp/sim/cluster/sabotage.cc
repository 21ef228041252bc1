#include "sim/cluster/sabotage.h"

#include "sim/machine.h"
#include "sim/network.h"

namespace pabal::sim {

const std::vector<Sabotage>& sabotages() {
    static const std::vector<Sabotage> all{
        {"disk-sync-does-nothing", "answers before the bytes are on disk", "power_loss"},
        {"disk-sync-directory-does-nothing", "creates files that no directory remembers",
         "power_loss"},
        {"disk-truncate-does-nothing", "leaves the torn end of a log in place", "power_loss"},
        {"disk-rename-loses-target", "replaces files so that neither old nor new is left",
         "power_loss"},
        {"disk-write-is-short", "believes a short write", "kill"},
        {"disk-forgets-page-cache", "keeps writes in its own memory after it answered", "kill"},
        {"disk-rots", "serves a bit that flipped", "power_loss"},
        {"store-loses-synced", "answers before the store is synced", "power_loss"},
        {"network-swaps-segments", "writes the answers of one connection out of order", "kill"},
        {"network-repeats-segments", "writes a part of an answer twice", "kill"},
        {"flush-does-nothing", "takes a log for flushed that is not", "power_loss"},
        {"recovery-skips-the-checksum", "believes every batch that it finds", "power_loss"},
        {"recovery-leaves-the-damage", "appends behind the damaged end of a log", "power_loss"},
        {"recovery-forgets-producers", "forgets the producers of a log at its start", "kill"},
        {"offset-is-repeated", "gives an offset twice", "kill"},
        {"duplicate-is-not-known", "does not know a batch again", "kill"},
        {"refused-write-is-acknowledged", "acknowledges what the disk refused", "full_disk"},
        {"reads-past-the-high-watermark", "serves what is not committed", "power_loss"},
        {"commit-is-forgotten-at-load", "loads some commits of groups only", "groups"},
        {"compaction-drops-the-newest", "compacts the newest value of a key away", "compaction"},
        {"cleaned-segment-is-not-synced", "puts segments in place that are not on disk",
         "compaction"},
        {"partition-is-assigned-twice", "gives a partition to two members of a group", "members"},
        {"fenced-member-is-served", "takes heartbeats of members that are none any more",
         "members"},
        {"fenced-member-commits", "takes positions of members that are none any more", "members"},
        {"aborted-transactions-are-not-told", "shows what was aborted as committed",
         "transactions"},
        {"reads-past-the-last-stable-offset", "shows what is not decided as committed",
         "transactions"},
        {"producer-epoch-is-not-checked", "lets a fenced producer write", "transactions"},
        {"producer-epoch-is-given-twice", "fences nobody when another producer comes",
         "transactions"},
        {"participation-is-not-asked", "appends to transactions that nobody knows of",
         "transactions"},
        {"positions-count-at-once", "believes positions of transactions before they end",
         "transactions"},
        {"completes-before-the-markers", "ends transactions of which partitions have not heard",
         "transactions_move"},
        {"markers-are-forgotten-at-load", "forgets who has not heard how a transaction ended",
         "transactions_move"},
        {"deleted-records-return", "forgets the log start offset", "kill"},
        {"log-start-is-not-synced", "answers DeleteRecords before it is durable", "power_loss"},
        {"acknowledges-before-the-sync", "acknowledges what is not on disk", "power_loss"},
        {"partition-name-is-not-synced", "syncs files that no directory remembers", "power_loss"},
        {"journal-is-not-synced", "acknowledges before the sync of the commit journal",
         "power_loss"},
        {"journal-is-not-replayed", "forgets at the start what the commit journal holds",
         "power_loss"},
        {"clean-shutdown-marker-stays", "takes every end for a clean one", "power_loss"},
        {"every-boot-is-the-same", "takes a loss of power for a kill", "power_loss"},
        {"synced-mark-runs-ahead", "notes metadata as synced before it is", "metadata"},
        {"metadata-is-not-synced", "answers CreateTopics before it is durable", "metadata"},
        {"acknowledges-before-the-high-watermark", "acknowledges what its leader alone holds",
         "leader_change"},
        {"high-watermark-ignores-followers", "takes for committed what its leader alone holds",
         "leader_change"},
        {"truncation-is-skipped", "keeps what another leader never had", "leader_change"},
        {"leads-before-it-is-registered", "leads on in the epoch of its earlier life",
         "one_power_loss"},
        {"fenced-epochs-are-served", "answers those who ask another leader", "one_power_loss"},
        {"vote-is-given-twice", "votes for two in one epoch", "quorum"},
        {"vote-is-not-saved", "forgets at a restart for whom it voted", "votes"},
        {"vote-for-a-shorter-log", "lets somebody lead who misses what was committed", "quorum"},
        {"commit-without-a-majority", "takes for committed what a minority holds", "quorum"},
        {"divergence-goes-unnoticed", "lets the metadata logs of voters differ", "cut"},
    };
    return all;
}

bool apply_sabotage(const std::string& id, Machine& broker, Network& network) {
    auto& disk = broker.disk().sabotage;
    StoreSabotage store;
    if (id == "disk-sync-does-nothing")
        disk.sync_does_nothing = true;
    else if (id == "disk-sync-directory-does-nothing")
        disk.sync_directory_does_nothing = true;
    else if (id == "disk-truncate-does-nothing")
        disk.truncate_does_nothing = true;
    else if (id == "disk-rename-loses-target")
        disk.rename_loses_target = true;
    else if (id == "disk-write-is-short")
        disk.write_is_short = true;
    else if (id == "disk-forgets-page-cache")
        disk.forgets_page_cache = true;
    else if (id == "disk-rots")
        disk.rots = true;
    else if (id == "network-swaps-segments")
        network.sabotage.swaps_segments = true;
    else if (id == "network-repeats-segments")
        network.sabotage.repeats_segments = true;
    else if (id == "store-loses-logged")
        store.loses_logged = true;
    else if (id == "store-loses-synced")
        store.loses_synced = true;
    else
        return false;
    broker.set_store_sabotage(store);
    return true;
}

}  // namespace pabal::sim
