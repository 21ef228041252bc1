#include "os/machine.h"

#include <mutex>

namespace pabal::os {

std::shared_ptr<Machine> Machine::shared() {
    static std::mutex mutex;
    static std::weak_ptr<Machine> current;
    const std::lock_guard lock(mutex);
    auto machine = current.lock();
    if (!machine) {
        machine = std::make_shared<Machine>(OpenFiles::default_limit());
        current = machine;
    }
    return machine;
}

}  // namespace pabal::os
