// Whether a node's ports still have effects. Cut once, from any thread; shared by the ports of one
// node.
#pragma once

#include <atomic>

namespace pabal::os {

class Power {
public:
    bool is_off() const { return off_.load(std::memory_order_acquire); }
    void cut() { off_.store(true, std::memory_order_release); }

private:
    std::atomic<bool> off_{false};
};

}  // namespace pabal::os
