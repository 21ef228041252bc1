// Counts what the test program allocates: `operator new` is replaced in allocations_test.cc.
#pragma once

#include <cstddef>

namespace pabal::wire {

// What was allocated since this was made.
class Allocations {
public:
    Allocations();
    // The most bytes that were held at one time, beyond those held at the beginning.
    std::size_t peak_bytes() const;

private:
    std::size_t before_;
};

}  // namespace pabal::wire
