#include "tests/unit/io/clock_contract.h"
#include "tests/unit/io/disk_contract.h"
#include "tests/unit/io/network_contract.h"
#include "tests/unit/os/os_world.h"

namespace pabal::io::contract {
namespace {

std::unique_ptr<World> make_world() {
    return std::make_unique<os::OsWorld>();
}

const auto os_world = testing::Values(MakeWorld{make_world});
const auto os_name = [](const auto&) { return std::string("os"); };

INSTANTIATE_TEST_SUITE_P(Os, ClockContract, os_world, os_name);
INSTANTIATE_TEST_SUITE_P(Os, DiskContract, os_world, os_name);
INSTANTIATE_TEST_SUITE_P(Os, NetworkContract, os_world, os_name);

}  // namespace
}  // namespace pabal::io::contract
