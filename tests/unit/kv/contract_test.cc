#include "kv/rocks_store.h"
#include "tests/unit/io/store_contract.h"
#include "tests/unit/os/os_world.h"

namespace pabal::io::contract {
namespace {

class RocksWorld final : public os::OsWorld {
public:
    IoResult<std::unique_ptr<Store>> open_store(const std::string& directory) override {
        return kv::open_store(directory);
    }
    void kill_store(std::unique_ptr<Store> store) override { store.reset(); }
};

std::unique_ptr<World> make_world() {
    return std::make_unique<RocksWorld>();
}

INSTANTIATE_TEST_SUITE_P(Rocks, StoreContract, testing::Values(MakeWorld{make_world}),
                         [](const auto&) { return std::string("rocks"); });

}  // namespace
}  // namespace pabal::io::contract
