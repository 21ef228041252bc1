#include "sim/machine.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"

namespace pabal::sim {

// A store as its process holds it: the process can take its effects away.
class OpenStore final : public io::Store {
public:
    OpenStore(Process& process, std::shared_ptr<StoreImage> image)
        : process_(process), store_(std::move(image)) {
        process_.open_stores_.push_back(&store_);
    }
    ~OpenStore() override { std::erase(process_.open_stores_, &store_); }

    IoResult<std::optional<std::string>> get(std::string_view key) override {
        return store_.get(key);
    }
    IoStatus write(const io::StoreBatch& batch, io::Durability durability) override {
        return store_.write(batch, durability);
    }
    IoStatus scan(std::string_view prefix,
                  const std::function<bool(std::string_view, std::string_view)>& visit) override {
        return store_.scan(prefix, visit);
    }
    IoStatus flush() override { return store_.flush(); }

private:
    Process& process_;
    sim::Store store_;
};

Machine::Machine(Scheduler& scheduler, Network& network, std::string name,
                 std::uint64_t disk_capacity_bytes, Skew skew)
    : scheduler_(scheduler),
      network_(network),
      name_(std::move(name)),
      skew_(skew),
      disk_(scheduler, name_, disk_capacity_bytes) {}

void Machine::set_store_sabotage(StoreSabotage sabotage) {
    store_sabotage_ = sabotage;
    for (auto& [directory, image] : stores_) image->sabotage = sabotage;
}

std::shared_ptr<StoreImage> Machine::store_in(const std::string& directory) {
    auto& image = stores_[directory];
    if (!image) {
        image = std::make_shared<StoreImage>(scheduler_, name_ + ":" + directory);
        image->sabotage = store_sabotage_;
    }
    return image;
}

void Machine::lose_power() {
    ASSERT(!in_use_, "a process dies by its own death");
    disk_.power_lost();
    for (auto& [directory, image] : stores_) image->power_lost();
}

std::unique_ptr<Process> Machine::boot() {
    ASSERT(!in_use_, "a machine runs one process at a time");
    in_use_ = true;
    ++boots_;
    return std::unique_ptr<Process>(new Process(*this));
}

Process::Process(Machine& machine)
    : machine_(machine),
      clock_(machine.scheduler_, machine.name_ + "." + std::to_string(machine.boots_),
             machine.skew_),
      network_(machine.network_, clock_, machine.name_),
      disk_(machine.disk_, clock_),
      random_(machine.scheduler_.random("process " + machine.name_ + "." +
                                        std::to_string(machine.boots_))) {}

Process::~Process() {
    ASSERT(open_stores_.empty(), "stores are closed before their process ends");
    if (alive_) die(Death::killed);
    machine_.in_use_ = false;
}

io::Ports Process::ports() {
    auto open_store = [this](const std::string& directory) -> IoResult<std::unique_ptr<io::Store>> {
        if (!alive_) {
            return IoError{EIO, "cannot open a store in " + directory + ": the process was killed"};
        }
        auto image = machine_.store_in(directory);
        if (image->is_open()) {
            return IoError{EAGAIN, "cannot open a store in " + directory + ": it is open already"};
        }
        return std::unique_ptr<io::Store>(std::make_unique<OpenStore>(*this, std::move(image)));
    };
    return io::Ports{clock_, network_, disk_, random_, std::move(open_store)};
}

void Process::die(Death death) {
    if (!alive_) return;
    alive_ = false;
    auto& scheduler = machine_.scheduler_;
    scheduler.trace().event(scheduler.now(), "process-dies", machine_.name_,
                            {static_cast<std::uint64_t>(death)});
    network_.die(death == Death::power_lost);
    disk_.die();
    for (auto* store : open_stores_) store->die();
    if (death == Death::power_lost) {
        machine_.disk_.power_lost();
    } else {
        machine_.disk_.process_died();
    }
    for (auto& [directory, image] : machine_.stores_) {
        if (death == Death::power_lost) {
            image->power_lost();
        } else if (image->is_open()) {
            image->process_died();
        }
    }
}

void Process::set_paused(bool paused) {
    machine_.scheduler_.set_paused(clock_.lane(), paused);
}

}  // namespace pabal::sim
