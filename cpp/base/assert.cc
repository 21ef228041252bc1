#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace pabal {

void assertion_failed(const char* condition, const char* reason, const char* file,
                      int line) noexcept {
    std::fprintf(stderr, "pabal: assertion failed: %s (%s) at %s:%d\n", condition, reason, file,
                 line);
    std::fflush(stderr);
    std::abort();
}

}  // namespace pabal
