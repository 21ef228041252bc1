// The simulated store: an ordered map and the history of its batches. StoreImage is what a machine
// keeps in a directory, Store the port on it that one process opened. A killed process keeps every
// logged batch and a random prefix of the rebuildable ones; a loss of power keeps what was synced
// or flushed, and of either kind a random prefix of the rest, whatever the simulated disk kept.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "base/prng.h"
#include "io/store.h"
#include "sim/scheduler.h"

namespace pabal::sim {

struct StoreSabotage {
    bool loses_logged = false;  // A killed process loses logged batches: no write-ahead log.
    bool loses_synced = false;  // A loss of power loses synced batches: the sync lied.
    bool keeps_suffix = false;  // Rebuildable batches come back without earlier ones.
};

// Outlives the processes that open it.
class StoreImage {
public:
    StoreImage(Scheduler& scheduler, std::string name);

    StoreSabotage sabotage;
    // Fails every write from now on, as a full or broken disk does.
    bool refuses_writes = false;

    void process_died();
    void power_lost();
    bool is_open() const { return open_; }

private:
    friend class Store;

    struct Batch {
        io::StoreBatch batch;
        io::Durability durability;
        bool synced = false;
    };
    using Map = std::map<std::string, std::string, std::less<>>;

    static void apply(Map& map, const io::StoreBatch& batch);
    void make_durable(bool everything);
    // Drops batches for which `keep` is false, and shows what is left.
    void keep_if(const std::function<bool(const Batch& batch)>& keep);
    // How many of `count` are kept.
    std::size_t prefix_of(std::size_t count);

    Scheduler& scheduler_;
    std::string name_;
    Prng random_;
    Map durable_;
    std::deque<Batch> history_;  // Since `durable_`.
    std::size_t seen_ = 0;       // So many of its first are marked as synced where they can be.
    Map shown_;
    bool open_ = false;
};

class Store final : public io::Store {
public:
    explicit Store(std::shared_ptr<StoreImage> image);
    // An orderly end: everything is flushed, unless the process is dead.
    ~Store() override;

    // From now on nothing has an effect.
    void die() { dead_ = true; }

    IoResult<std::optional<std::string>> get(std::string_view key) override;
    IoStatus write(const io::StoreBatch& batch, io::Durability durability) override;
    IoStatus scan(
        std::string_view prefix,
        const std::function<bool(std::string_view key, std::string_view value)>& visit) override;
    IoStatus flush() override;

private:
    IoStatus admit(const char* what, bool changes) const;

    std::shared_ptr<StoreImage> image_;
    bool dead_ = false;
};

}  // namespace pabal::sim
