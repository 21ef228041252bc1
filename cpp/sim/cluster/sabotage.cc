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
        {"store-loses-logged", "forgets what it logged", "kill"},
        {"store-loses-synced", "answers before the store is synced", "power_loss"},
        {"network-swaps-segments", "writes the answers of one connection out of order", "kill"},
        {"network-repeats-segments", "writes a part of an answer twice", "kill"},
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
