// A simulated disk: files and directories in memory, each with what the kernel shows and what is
// durable. Owned by a Machine, it outlives the processes that use it. A killed process loses
// nothing that it wrote; a loss of power keeps of what was not synced whatever the seed picks, in
// sectors of 512 bytes: all, nothing, a prefix with a torn end, or any subset. A creation, rename
// or removal is durable when its directory was synced; of the others a prefix stays, as a journal
// keeps them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/prng.h"
#include "base/result.h"
#include "sim/scheduler.h"

namespace pabal::sim {

inline constexpr std::size_t sector_bytes = 512;

// A file or directory, whatever names it has.
struct Inode {
    // One step since the last sync: bytes at a position, or a new size.
    struct Change {
        std::uint64_t position = 0;
        Bytes bytes;
        bool resize = false;  // Then `position` is the size.
    };

    std::uint64_t id = 0;
    bool is_directory = false;
    bool linked = false;  // Has a name that the kernel shows; else its space is free.
    // Where that name is, while it has one.
    std::weak_ptr<Inode> parent;
    std::string name;
    // Of a file.
    std::vector<std::uint8_t> content;
    std::vector<std::uint8_t> durable_content;
    std::vector<Change> changes;
    // Of a directory.
    std::map<std::string, std::shared_ptr<Inode>> entries;
    std::map<std::string, std::shared_ptr<Inode>> durable_entries;
};

// A disk that lies, to prove that the checkers find out. Never set but by a scenario's sabotage.
struct DiskSabotage {
    bool sync_does_nothing = false;
    bool sync_directory_does_nothing = false;
    bool truncate_does_nothing = false;
    bool rename_loses_target = false;  // The old content goes, the new one does not come.
    bool write_is_short = false;       // Some writes leave out their last byte, and say nothing.
    bool forgets_page_cache = false;   // A killed process loses unsynced writes too.
    bool rots = false;                 // A loss of power flips one bit of a synced file.
};

class Disk {
public:
    struct Faults {
        // In so many of a million calls; drawn from the seed.
        std::uint32_t read_errors_per_million = 0;
        std::uint32_t write_errors_per_million = 0;
        std::uint32_t sync_errors_per_million = 0;
        // Everything at this path or below it fails, until it is empty again.
        std::string broken_path;
        // How long one job of the disk pool takes.
        Duration job_least = Duration::microseconds(20);
        Duration job_most = Duration::microseconds(400);
    };

    Disk(Scheduler& scheduler, std::string machine, std::uint64_t capacity_bytes);

    Faults faults;
    DiskSabotage sabotage;

    void set_capacity(std::uint64_t bytes) { capacity_bytes_ = bytes; }
    std::uint64_t capacity_bytes() const { return capacity_bytes_; }
    std::uint64_t used_bytes() const { return used_bytes_; }
    std::uint64_t free_bytes() const {
        return capacity_bytes_ > used_bytes_ ? capacity_bytes_ - used_bytes_ : 0;
    }

    // How often the machine came up.
    std::uint64_t boots() const { return boots_; }

    // Calls `blown` in the midst of the `operations`-th next call that changes something: a write
    // may have been done in part by then. It has to kill the process before it returns.
    void blow_after(std::uint64_t operations, std::function<void()> blown);
    // The process is gone, the machine runs on. Locks are released.
    void process_died();
    // The machine is gone: what stays is durable by the rules above. Locks are released.
    void power_lost();
    // Flips one bit of a file.
    IoStatus rot(const std::string& path, std::uint64_t position, std::uint8_t bit);

private:
    friend class DiskPort;
    friend class SimFile;

    // A step in the name space. Steps of one group (a rename) become durable together.
    struct NameChange {
        std::uint64_t group;
        std::shared_ptr<Inode> directory;
        std::string name;
        std::shared_ptr<Inode> target;  // None: the name goes.
    };
    enum class Keep { nothing, everything, prefix, subset };

    std::shared_ptr<Inode> make_inode(bool is_directory);
    // The inode at `path`, or none.
    std::shared_ptr<Inode> find(std::string_view path) const;
    // Where the last part of `path` is or would be.
    struct Place {
        std::shared_ptr<Inode> directory;
        std::string name;
    };
    std::optional<Place> place_of(std::string_view path) const;
    void link(const Place& place, std::shared_ptr<Inode> inode, std::uint64_t group);
    void unlink(const Place& place, std::uint64_t group);
    void unlink_tree(const Place& place);
    void released(Inode& inode);
    void settle_names(const Inode& directory);
    void settle_everything();
    static void apply(std::vector<std::uint8_t>& content, const Inode::Change& change);
    void keep_some_names();
    void keep_some_content(Inode& inode);
    void for_each_inode(const std::function<void(Inode&)>& visit);

    // True if the fuse is blown by this call: nothing of it, or a part, may be done any more.
    bool blows();
    bool draw(std::uint32_t per_million);
    bool is_broken(std::string_view path) const;
    void note(std::string_view what, std::initializer_list<std::uint64_t> numbers);

    Scheduler& scheduler_;
    std::string machine_;
    Prng random_;
    Prng fault_random_;
    Prng pool_random_;
    std::uint64_t capacity_bytes_;
    std::uint64_t used_bytes_ = 0;
    std::uint64_t boots_ = 1;
    std::uint64_t last_inode_ = 0;
    std::uint64_t last_group_ = 0;
    std::shared_ptr<Inode> root_;
    std::vector<NameChange> name_changes_;
    std::map<std::uint64_t, std::string> locks_;  // Inode to path.
    std::uint64_t fuse_ = 0;
    std::function<void()> blown_;
};

}  // namespace pabal::sim
