#include "sim/disk.h"

#include <algorithm>
#include <set>

#include "base/assert.h"

namespace pabal::sim {
namespace {

std::vector<std::string> parts_of(std::string_view path) {
    std::vector<std::string> parts;
    std::size_t begin = 0;
    while (begin <= path.size()) {
        const auto end = std::min(path.find('/', begin), path.size());
        const auto part = path.substr(begin, end - begin);
        if (part == "..") {
            if (!parts.empty()) parts.pop_back();
        } else if (!part.empty() && part != ".") {
            parts.emplace_back(part);
        }
        begin = end + 1;
    }
    return parts;
}

}  // namespace

Disk::Disk(Scheduler& scheduler, std::string machine, std::uint64_t capacity_bytes)
    : scheduler_(scheduler),
      machine_(std::move(machine)),
      random_(scheduler.random("disk of " + machine_)),
      fault_random_(scheduler.random("disk faults of " + machine_)),
      pool_random_(scheduler.random("disk pool of " + machine_)),
      capacity_bytes_(capacity_bytes),
      root_(make_inode(true)) {
    root_->linked = true;
}

std::shared_ptr<Inode> Disk::make_inode(bool is_directory) {
    auto inode = std::make_shared<Inode>();
    inode->id = ++last_inode_;
    inode->is_directory = is_directory;
    return inode;
}

std::shared_ptr<Inode> Disk::find(std::string_view path) const {
    auto inode = root_;
    for (const auto& part : parts_of(path)) {
        const auto entry = inode->entries.find(part);
        if (entry == inode->entries.end()) return nullptr;
        inode = entry->second;
    }
    return inode;
}

std::optional<Disk::Place> Disk::place_of(std::string_view path) const {
    auto parts = parts_of(path);
    if (parts.empty()) return std::nullopt;
    const std::string name = parts.back();
    parts.pop_back();
    auto inode = root_;
    for (const auto& part : parts) {
        const auto entry = inode->entries.find(part);
        if (entry == inode->entries.end()) return std::nullopt;
        inode = entry->second;
    }
    if (!inode->is_directory) return std::nullopt;
    return Place{inode, name};
}

void Disk::released(Inode& inode) {
    inode.linked = false;
    used_bytes_ -= inode.content.size();
}

void Disk::link(const Place& place, std::shared_ptr<Inode> inode, std::uint64_t group) {
    auto& entry = place.directory->entries[place.name];
    if (entry && entry != inode) released(*entry);
    if (!inode->linked) used_bytes_ += inode->content.size();
    inode->linked = true;
    inode->parent = place.directory;
    inode->name = place.name;
    entry = inode;
    name_changes_.push_back({group, place.directory, place.name, std::move(inode)});
}

void Disk::unlink(const Place& place, std::uint64_t group) {
    place.directory->entries.erase(place.name);
    name_changes_.push_back({group, place.directory, place.name, nullptr});
}

void Disk::unlink_tree(const Place& place) {
    const auto inode = place.directory->entries.at(place.name);
    std::vector<std::string> names;
    for (const auto& [name, child] : inode->entries) names.push_back(name);
    for (const auto& name : names) unlink_tree({inode, name});
    unlink(place, ++last_group_);
    released(*inode);
}

void Disk::settle_names(const Inode& directory) {
    std::set<std::uint64_t> groups;
    for (const auto& change : name_changes_) {
        if (change.directory.get() == &directory) groups.insert(change.group);
    }
    std::vector<NameChange> left;
    for (auto& change : name_changes_) {
        if (!groups.contains(change.group)) {
            left.push_back(std::move(change));
        } else if (change.target) {
            change.directory->durable_entries[change.name] = change.target;
        } else {
            change.directory->durable_entries.erase(change.name);
        }
    }
    name_changes_ = std::move(left);
}

void Disk::settle_everything() {
    for (const auto& change : name_changes_) {
        if (change.target) {
            change.directory->durable_entries[change.name] = change.target;
        } else {
            change.directory->durable_entries.erase(change.name);
        }
    }
    name_changes_.clear();
    for_each_inode([](Inode& inode) {
        for (const auto& change : inode.changes) apply(inode.durable_content, change);
        inode.changes.clear();
    });
}

void Disk::apply(std::vector<std::uint8_t>& content, const Inode::Change& change) {
    if (change.resize) {
        content.resize(change.position);
        return;
    }
    const auto end = change.position + change.bytes.size();
    if (content.size() < end) content.resize(end);
    std::copy(change.bytes.begin(), change.bytes.end(),
              content.begin() + static_cast<std::ptrdiff_t>(change.position));
}

void Disk::blow_after(std::uint64_t operations, std::function<void()> blown) {
    fuse_ = operations;
    blown_ = std::move(blown);
}

bool Disk::blows() {
    if (fuse_ == 0 || --fuse_ > 0) return false;
    auto blown = std::move(blown_);
    blown_ = nullptr;
    blown();
    return true;
}

bool Disk::draw(std::uint32_t per_million) {
    return per_million != 0 && fault_random_.chance(per_million, 1'000'000);
}

bool Disk::is_broken(std::string_view path) const {
    const std::string_view broken = faults.broken_path;
    return !broken.empty() && path.starts_with(broken) &&
           (path.size() == broken.size() || path[broken.size()] == '/');
}

void Disk::note(std::string_view what, std::initializer_list<std::uint64_t> numbers) {
    scheduler_.trace().event(scheduler_.now(), what, machine_, numbers);
}

void Disk::process_died() {
    fuse_ = 0;
    blown_ = nullptr;
    locks_.clear();
    note("disk-process-died", {used_bytes_});
    if (!sabotage.forgets_page_cache) return;
    for_each_inode([](Inode& inode) {
        inode.content = inode.durable_content;
        inode.changes.clear();
    });
}

void Disk::keep_some_names() {
    // A journal keeps the order of its entries: never a later one without those before it.
    const auto keep = static_cast<Keep>(random_.below(3));
    std::vector<std::uint64_t> groups;
    for (const auto& change : name_changes_) {
        if (groups.empty() || groups.back() != change.group) groups.push_back(change.group);
    }
    std::set<std::uint64_t> kept;
    const std::size_t prefix = random_.below(groups.size() + 1);
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (keep == Keep::everything || (keep == Keep::prefix && i < prefix)) {
            kept.insert(groups[i]);
        }
    }
    for (const auto& change : name_changes_) {
        if (!kept.contains(change.group)) continue;
        if (change.target) {
            change.directory->durable_entries[change.name] = change.target;
        } else {
            change.directory->durable_entries.erase(change.name);
        }
    }
    name_changes_.clear();
}

void Disk::keep_some_content(Inode& inode) {
    const auto keep = static_cast<Keep>(random_.below(4));
    auto& durable = inode.durable_content;
    const std::size_t prefix = random_.below(inode.changes.size() + 1);
    for (std::size_t i = 0; i < inode.changes.size(); ++i) {
        const auto& change = inode.changes[i];
        const bool whole = keep == Keep::everything || (keep == Keep::prefix && i < prefix) ||
                           (keep == Keep::subset && random_.chance(1, 2));
        const bool torn = (keep == Keep::prefix && i == prefix) ||
                          (keep == Keep::subset && !whole && random_.chance(1, 2));
        if (whole) {
            apply(durable, change);
        } else if (torn && !change.resize) {
            // The size may be on disk before the bytes are: then they read as zeros.
            const auto end = change.position + change.bytes.size();
            if (durable.size() < end && random_.chance(1, 2)) durable.resize(end);
            std::size_t at = 0;
            while (at < change.bytes.size()) {
                const auto sector_left = sector_bytes - (change.position + at) % sector_bytes;
                const auto length = std::min<std::size_t>(sector_left, change.bytes.size() - at);
                if (random_.chance(1, 2)) {
                    apply(durable, {change.position + at, change.bytes.slice(at, length), false});
                }
                at += length;
            }
        }
    }
    inode.changes.clear();
}

void Disk::for_each_inode(const std::function<void(Inode&)>& visit) {
    const std::function<void(Inode&)> descend = [&](Inode& inode) {
        visit(inode);
        for (auto& [name, child] : inode.entries) descend(*child);
    };
    descend(*root_);
}

void Disk::power_lost() {
    ++boots_;
    fuse_ = 0;
    blown_ = nullptr;
    locks_.clear();
    keep_some_names();
    // What was durable becomes what is shown, from the root down.
    used_bytes_ = 0;
    std::vector<Inode*> files;
    const std::function<void(Inode&)> restore = [&](Inode& inode) {
        inode.linked = true;
        inode.entries = inode.durable_entries;
        if (!inode.is_directory) {
            keep_some_content(inode);
            inode.content = inode.durable_content;
            used_bytes_ += inode.content.size();
            if (!inode.content.empty()) files.push_back(&inode);
        }
        for (auto& [name, child] : inode.entries) restore(*child);
    };
    restore(*root_);
    if (sabotage.rots && !files.empty()) {
        Inode& file = *files[random_.below(files.size())];
        const auto position = random_.below(file.content.size());
        file.content[position] ^= static_cast<std::uint8_t>(1u << random_.below(8));
        file.durable_content = file.content;
    }
    note("disk-power-lost", {used_bytes_});
}

IoStatus Disk::rot(const std::string& path, std::uint64_t position, std::uint8_t bit) {
    const auto inode = find(path);
    if (!inode || inode->is_directory || position >= inode->content.size()) {
        return IoError{0, "no byte " + std::to_string(position) + " of " + path + " to rot"};
    }
    inode->content[position] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    if (position < inode->durable_content.size()) {
        inode->durable_content[position] ^= static_cast<std::uint8_t>(1u << (bit % 8));
    }
    return {};
}

}  // namespace pabal::sim
