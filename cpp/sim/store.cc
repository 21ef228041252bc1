#include "sim/store.h"

#include <cerrno>

#include "base/assert.h"

namespace pabal::sim {
namespace {

std::uint64_t fingerprint_of(const io::StoreBatch& batch) {
    std::uint64_t sum = 0;
    for (const auto& operation : batch.operations()) {
        sum = sum * 31 + static_cast<std::uint64_t>(operation.kind);
        sum = sum * 31 + fingerprint(as_bytes(operation.key));
        sum = sum * 31 + fingerprint(as_bytes(operation.value));
    }
    return sum;
}

}  // namespace

StoreImage::StoreImage(Scheduler& scheduler, std::string name)
    : scheduler_(scheduler), name_(std::move(name)), random_(scheduler.random("store " + name_)) {}

void StoreImage::apply(Map& map, const io::StoreBatch& batch) {
    using Kind = io::StoreBatch::Kind;
    for (const auto& operation : batch.operations()) {
        switch (operation.kind) {
            case Kind::put: map[operation.key] = operation.value; break;
            case Kind::remove: map.erase(operation.key); break;
            case Kind::remove_range:
                if (operation.key < operation.value) {
                    map.erase(map.lower_bound(operation.key), map.lower_bound(operation.value));
                }
                break;
        }
    }
}

void StoreImage::make_durable(bool everything) {
    if (everything) {
        // What is shown is what the base will be with all of its history.
        for (const auto& batch : history_) apply(durable_, batch.batch);
        history_.clear();
        seen_ = 0;
        return;
    }
    if (sabotage.loses_synced) return;
    // The write-ahead log is one file: what was logged before is synced too.
    for (; seen_ < history_.size(); ++seen_) {
        auto& batch = history_[seen_];
        if (batch.durability != io::Durability::rebuildable) batch.synced = true;
    }
    // A long history without a flush costs memory: what no crash can take goes to the base.
    while (!history_.empty() && history_.front().synced) {
        apply(durable_, history_.front().batch);
        history_.pop_front();
        --seen_;
    }
}

std::size_t StoreImage::prefix_of(std::size_t count) {
    switch (random_.below(4)) {
        case 0: return 0;
        case 1: return count;
        default: return random_.below(count + 1);
    }
}

void StoreImage::keep_if(const std::function<bool(const Batch& batch)>& keep) {
    for (const auto& batch : history_) {
        if (keep(batch)) apply(durable_, batch.batch);
    }
    history_.clear();
    seen_ = 0;
    shown_ = durable_;
    open_ = false;
    scheduler_.trace().event(scheduler_.now(), "store-crashed", name_, {shown_.size()});
}

void StoreImage::process_died() {
    std::size_t rebuildable = 0;
    std::size_t logged = 0;
    for (const auto& batch : history_) {
        ++(batch.durability == io::Durability::rebuildable ? rebuildable : logged);
    }
    std::size_t keep_rebuildable = prefix_of(rebuildable);
    std::size_t keep_logged = sabotage.loses_logged ? 0 : logged;
    std::size_t skip = 0;
    if (sabotage.keeps_suffix) skip = std::min<std::size_t>(rebuildable, rebuildable / 2 + 1);
    keep_if([&](const Batch& batch) {
        if (batch.durability != io::Durability::rebuildable) {
            return keep_logged > 0 && keep_logged-- > 0;
        }
        if (sabotage.keeps_suffix) return skip == 0 || skip-- == 0;
        return keep_rebuildable > 0 && keep_rebuildable-- > 0;
    });
}

void StoreImage::power_lost() {
    std::size_t rebuildable = 0;
    std::size_t unsynced = 0;
    for (const auto& batch : history_) {
        if (batch.durability == io::Durability::rebuildable) {
            ++rebuildable;
        } else if (!batch.synced) {
            ++unsynced;
        }
    }
    std::size_t keep_rebuildable = prefix_of(rebuildable);
    std::size_t keep_unsynced = sabotage.loses_synced ? 0 : prefix_of(unsynced);
    keep_if([&](const Batch& batch) {
        if (batch.durability == io::Durability::rebuildable) {
            return keep_rebuildable > 0 && keep_rebuildable-- > 0;
        }
        if (batch.synced) return true;
        return keep_unsynced > 0 && keep_unsynced-- > 0;
    });
}

Store::Store(std::shared_ptr<StoreImage> image) : image_(std::move(image)) {
    ASSERT(!image_->open_, "one process opens a store at a time");
    image_->open_ = true;
}

Store::~Store() {
    if (dead_) return;
    image_->make_durable(true);
    image_->open_ = false;
}

IoStatus Store::admit(const char* what, bool changes) const {
    if (dead_) return IoError{EIO, std::string("cannot ") + what + ": the process was killed"};
    if (changes && image_->refuses_writes) {
        return IoError{ENOSPC, std::string("cannot ") + what + ": No space left on device"};
    }
    return {};
}

IoResult<std::optional<std::string>> Store::get(std::string_view key) {
    PABAL_TRY(admit("read the store", false));
    const auto entry = image_->shown_.find(key);
    if (entry == image_->shown_.end()) return std::optional<std::string>();
    return std::optional<std::string>(entry->second);
}

IoStatus Store::write(const io::StoreBatch& batch, io::Durability durability) {
    PABAL_TRY(admit("write to the store", true));
    auto& image = *image_;
    image.scheduler_.trace().event(
        image.scheduler_.now(), "store-write", image.name_,
        {static_cast<std::uint64_t>(durability), batch.operations().size(), fingerprint_of(batch)});
    StoreImage::apply(image.shown_, batch);
    image.history_.push_back({batch, durability, false});
    if (durability == io::Durability::synced) image.make_durable(false);
    return {};
}

IoStatus Store::scan(std::string_view prefix,
                     const std::function<bool(std::string_view, std::string_view)>& visit) {
    PABAL_TRY(admit("scan the store", false));
    for (auto entry = image_->shown_.lower_bound(prefix); entry != image_->shown_.end(); ++entry) {
        if (!std::string_view(entry->first).starts_with(prefix)) break;
        if (!visit(entry->first, entry->second)) break;
    }
    return {};
}

IoStatus Store::flush() {
    PABAL_TRY(admit("flush the store", true));
    auto& image = *image_;
    image.scheduler_.trace().event(image.scheduler_.now(), "store-flush", image.name_, {});
    image.make_durable(true);
    return {};
}

}  // namespace pabal::sim
