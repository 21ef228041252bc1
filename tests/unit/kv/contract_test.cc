#include "kv/rocks_store.h"
#include "tests/unit/io/store_contract.h"
#include "tests/unit/os/os_world.h"

namespace pabal::io::contract {
namespace {

class RocksWorld : public os::OsWorld {
public:
    IoResult<std::unique_ptr<Store>> open_store(const std::string& directory) override {
        return kv::open_store(directory);
    }
    void kill_store(std::unique_ptr<Store> store) override { store.reset(); }
};

class TemporaryRocksWorld final : public RocksWorld {
public:
    IoResult<std::unique_ptr<Store>> open_store(const std::string& directory) override {
        return kv::open_temporary_store(directory);
    }
};

std::unique_ptr<World> lasting() {
    return std::make_unique<RocksWorld>();
}
std::unique_ptr<World> temporary() {
    return std::make_unique<TemporaryRocksWorld>();
}

INSTANTIATE_TEST_SUITE_P(Rocks, StoreContract,
                         testing::Values(MakeWorld{lasting}, MakeWorld{temporary}));

}  // namespace
}  // namespace pabal::io::contract
