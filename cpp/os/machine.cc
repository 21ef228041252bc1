#include "os/machine.h"

#include <unistd.h>

#include <mutex>

namespace pabal::os {

std::shared_ptr<Machine> Machine::shared() {
    static std::mutex mutex;
    static std::weak_ptr<Machine> current;
    static pid_t owner = 0;
    const std::lock_guard lock(mutex);
    // A forked child has its parent's memory without the threads in it.
    if (owner != getpid()) current.reset();
    owner = getpid();
    auto machine = current.lock();
    if (!machine) {
        machine = std::make_shared<Machine>(OpenFiles::default_limit());
        current = machine;
    }
    return machine;
}

}  // namespace pabal::os
