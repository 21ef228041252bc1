#include "os/node_ports.h"

#include <random>

#include "os/machine.h"
#include "os/system_error.h"

namespace pabal::os {
namespace {

// A store that has no effect any more once its node is killed.
class NodeStore final : public io::Store {
public:
    NodeStore(std::shared_ptr<const Power> power, std::unique_ptr<io::Store> store)
        : power_(std::move(power)), store_(std::move(store)) {}

    IoResult<std::optional<std::string>> get(std::string_view key) override {
        return store_->get(key);
    }
    IoStatus write(const io::StoreBatch& batch, io::Durability durability) override {
        if (power_->is_off()) return killed_error("cannot write to the store");
        return store_->write(batch, durability);
    }
    IoStatus scan(std::string_view prefix,
                  const std::function<bool(std::string_view, std::string_view)>& visit) override {
        return store_->scan(prefix, visit);
    }
    IoStatus flush() override {
        if (power_->is_off()) return killed_error("cannot flush the store");
        return store_->flush();
    }

private:
    std::shared_ptr<const Power> power_;
    std::unique_ptr<io::Store> store_;
};

}  // namespace

NodePorts::NodePorts(std::string name, std::shared_ptr<PolicyTime> policy_time,
                     OpenStore open_store, std::uint64_t seed)
    : machine_(Machine::shared()),
      power_(std::make_shared<Power>()),
      shard_(std::move(name), std::move(policy_time)),
      network_(machine_, power_, &shard_),
      disk_(machine_, power_, &shard_),
      ports_{shard_, network_, disk_, Prng(seed),
             [power = power_, open = std::move(open_store)](
                 const std::string& directory) -> IoResult<std::unique_ptr<io::Store>> {
                 if (power->is_off()) return killed_error("cannot open the store " + directory);
                 PABAL_TRY_ASSIGN(auto store, open(directory));
                 return std::unique_ptr<io::Store>(
                     std::make_unique<NodeStore>(power, std::move(store)));
             }} {}

NodePorts::~NodePorts() = default;

void NodePorts::kill() {
    power_->cut();
    shard_.run([this] { network_.reset_all(); });
}

std::uint64_t NodePorts::random_seed() {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) | device();
}

}  // namespace pabal::os
